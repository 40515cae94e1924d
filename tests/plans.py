"""Plans of small recipes, their stage keys, and models of a few weights for them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.node import StageNode

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
    return plan_evaluation(recipe, problem_set or load_problems(recipe.problems))


@dataclass(frozen=True)
class MethodStages:
    """The nodes of one method; the last of a kind where a strategy has a pilot too."""

    nodes: tuple[StageNode, ...]

    def key(self, *kinds: StageKind) -> str | None:
        return next((node.key for node in reversed(self.nodes) if node.kind in kinds), None)

    @property
    def make_key(self) -> str:
        return str(self.key(StageKind.SAMPLE, StageKind.SEARCH))

    @property
    def score_key(self) -> str | None:
        return self.key(StageKind.SCORE)

    @property
    def scores_key(self) -> str | None:
        return self.score_key or self.key(StageKind.SEARCH)

    @property
    def grade_key(self) -> str | None:
        return self.key(StageKind.GRADE)

    @property
    def select_key(self) -> str | None:
        return self.key(StageKind.SELECT)

    def uses(self) -> list[StageUse]:
        return [node.use for node in self.nodes]


def methods_of(of: Plan) -> list[MethodStages]:
    """The nodes of each method, in the order of the recipe."""
    return [
        MethodStages(tuple(node for node in of.nodes if node.method_id == method_id)) for method_id in of.method_ids
    ]


def keys(of: Plan) -> dict[str, str | None]:
    method = methods_of(of)[0]
    return {
        "run": of.run_id,
        "problems": of.problems.key,
        "sample": method.make_key,
        "score": method.score_key,
        "grade": method.grade_key,
        "select": method.select_key,
    }


def searched(method: dict[str, Any] = DVTS, **changes: Any) -> MethodStages:
    (found,) = methods_of(plan(**{"methods": [method], **changes}))
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
