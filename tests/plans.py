"""Plans of small recipes, their stage keys, and models of a few weights for them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from overthink.tasks.datasets.sources import ProblemSet, load_problems
from overthink.tasks.plan.method_plan import MethodPlan
from overthink.tasks.plan.run_plan import Plan, make_plan
from overthink.tasks.recipes.recipe import Recipe

ZOO = Path(__file__).parents[1] / "zoo" / "abacus-prm"  # whose tokenizer the models of these tests have
BASE: dict[str, Any] = {
    "name": "trial",
    "problems": {"source": "chains", "count": 4},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 8}],
    "budgets": [1, 8],
}
DVTS: dict[str, Any] = {"method": "dvts", "n": 8}
AFTER_SAMPLING = {"run", "sample", "score", "grade", "select"}


def plan(problem_set: ProblemSet | None = None, **changes: Any) -> Plan:
    recipe = Recipe.model_validate(BASE | changes)
    return make_plan(recipe, problem_set or load_problems(recipe.problems))


def keys(of: Plan) -> dict[str, str | None]:
    method = of.methods[0]
    return {
        "run": of.run_id,
        "problems": of.problems_key,
        "sample": method.make_key,
        "score": method.score_key,
        "grade": method.grade_key,
        "select": method.select_key,
    }


def searched(method: dict[str, Any] = DVTS, **changes: Any) -> MethodPlan:
    (found,) = plan(**{"methods": [method], **changes}).methods
    return found


def build_model(folder: Path, weights: np.ndarray[Any, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "hidden_size": 4}))
    shutil.copy(ZOO / "tokenizer.json", folder)
    shutil.copy(ZOO / "tokenizer_config.json", folder)
    shutil.copy(ZOO / "chat_template.jinja", folder)
    values = np.arange(12, dtype=np.float32).reshape(3, 4) if weights is None else weights
    save_file({"a": values, "b": np.zeros(5, dtype=np.float32)}, folder / "model.safetensors")
    return folder
