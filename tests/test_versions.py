"""Versions of our own code in the keys of stages: each where it determines the content, and nowhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from applied import fitted, plan_of, recipe_value, written
from plans import build_model, methods_of, plan, searched
from pydantic import BaseModel
from strategies import fixed_choice, strategy_value

from overthink.tasks.datasets.labelled import load_solutions
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.determinants import ADDED_LATER, determinants
from overthink.tasks.domains import known_domains
from overthink.tasks.domains.math.mathematics import Mathematics
from overthink.tasks.engines.engine_config import FakePolicyConfig
from overthink.tasks.engines.registry import identify
from overthink.tasks.plan.prm_eval_plan import plan_prm_eval
from overthink.tasks.plan.prm_train_plan import plan_prm_train
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.grading import GradingConfig
from overthink.tasks.recipes.methods import BestOfN
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe, PrmTrainRecipe
from overthink.tasks.recipes.sampling_config import SamplingConfig
from overthink.tasks.stages import identity as identities
from overthink.tasks.stages.sample import SampleNode

Keys = dict[str, str | None]

# What 0.1 gave them; a change costs every store its rollouts and scores.
FIRST = {
    "cot": ("sample-9bd0f9f102ce403a72ba", "score-6c33a658952429a7f18f"),
    "best_of_n": ("sample-352f444d6e18f2f851a9", "score-019ed2cbe85b020691de"),
    "beam_search": ("search-1379fec58c931b69970e", None),
    "dvts": ("search-42f2378348c749735841", None),
    "rebase": ("search-d9656aef862a80045425", None),
    "particle_filtering": ("search-b6c0352060578dfb1a7b", None),
    "mcts": ("search-88b0d9f4ca851c266e95", None),
}
RUN_IDS = {
    "run": "trial-560fc357be",
    "without a PRM": "trial-7cc045ca64",
    "strategy": "applied-740fa852f5",
    "total": "applied-dad47afe92",
    "without a pilot": "applied-376cbd3dab",
    "prm-eval": "judged-49ca50c2ad",
    "prm-train": "trained-2df8d832e5",
}
SEARCHES = ("beam_search", "dvts", "rebase", "particle_filtering", "mcts")
ALL_METHODS: list[dict[str, Any]] = [
    {"method": "cot"},
    *({"method": "best_of_n", "n": n} for n in (8, 4)),
    {"method": "adaptive", "n": 8},
    *({"method": method, "n": 8} for method in SEARCHES),
]
FIRST_ADAPTIVE = "sample-0f46e83f07b063190f12"


@pytest.mark.parametrize("method", FIRST)
def test_rollouts_and_scores_lie_where_they_lay(method: str) -> None:
    settings: dict[str, Any] = {} if method == "cot" else {"n": 8}
    settings |= {"balance": 0.1} if method == "rebase" else {}  # what it was by default
    found = searched({"method": method, **settings}, **({"budgets": [1]} if method == "cot" else {}))
    assert (found.make_key, found.score_key) == FIRST[method]


def test_a_version_of_one_is_in_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(identities.VERSIONS, "extraction", 1)
    assert searched({"method": "adaptive", "n": 8}).make_key == FIRST_ADAPTIVE


def method_keys(method: dict[str, Any], **changes: Any) -> Keys:
    found = searched(method, **changes)
    return {"make": found.make_key, "score": found.score_key, "grade": found.grade_key, "select": found.select_key}


def strategy_keys(path: Path, limit: dict[str, Any]) -> Keys:
    (found,) = methods_of(plan_of(recipe_value(path, limit)))
    return {str(node.kind): node.key for node in found.nodes}


def train_plan(folder: Path) -> Plan:
    recipe = PrmTrainRecipe.model_validate(
        {
            "name": "trained",
            "problems": {"source": "chains", "count": 4},
            "policy": {"engine": "fake"},
            "training": {"base": {"model": str(folder)}},
        }
    )
    return plan_prm_train(recipe, load_problems(recipe.problems))


def train_keys(folder: Path) -> Keys:
    return {str(node.kind): node.key for node in train_plan(folder).nodes}


def eval_plan() -> Plan:
    recipe = PrmEvalRecipe.model_validate(
        {"name": "judged", "solutions": {"source": "chains", "count": 8}, "prm": {"engine": "fake"}}
    )
    return plan_prm_eval(recipe, load_solutions(recipe.solutions, False))


def eval_keys() -> Keys:
    return {str(node.kind): node.key for node in eval_plan().nodes}


@pytest.fixture
def every_key(tmp_path: Path) -> Any:
    adaptive = {"method": {"method": "adaptive", "n": 12}, "policy_tokens": 700.0}
    choices = [*strategy_value()["choices"][:5], {**strategy_value()["choices"][5], **adaptive}]
    paths = {"strategy": written(tmp_path / "a"), "adaptive strategy": written(tmp_path / "b", choices=choices)}
    model = build_model(tmp_path / "model")
    assert fitted(choices=choices).choices[5].method.method == "adaptive"

    def find() -> dict[str, Keys]:
        return {
            "best_of_n": method_keys({"method": "best_of_n", "n": 8}),
            "adaptive": method_keys({"method": "adaptive", "n": 8}),
            "dvts": method_keys({"method": "dvts", "n": 8}),
            "self_refine": method_keys({"method": "self_refine", "n": 8}),
            "self_verify": method_keys({"method": "self_verify", "n": 8}),
            **{name: strategy_keys(path, {"n": 16}) for name, path in paths.items()},
            "thinking": method_keys({"method": "best_of_n", "n": 8}, policy={"engine": "fake", "thinks": 2}),
            "train": train_keys(model),
            "eval": eval_keys(),
        }

    return find


GRADED = {"grade", "select"}
DECIDED = {"decide", "search", *GRADED}
GRADED_ANEW = {
    **dict.fromkeys(("best_of_n", "adaptive", "dvts", "thinking", "self_refine", "self_verify"), GRADED),
    **dict.fromkeys(("strategy", "adaptive strategy"), DECIDED),
    "train": {"grade", "label"},
}
CHANGED: dict[str, dict[str, set[str]]] = {
    "extraction": {
        **{key: {"make", "score", *GRADED} for key in ("adaptive", "self_verify")},
        "adaptive strategy": {"search", *GRADED},
    },
    "revisions": {key: {"make", "score", *GRADED} for key in ("self_refine", "self_verify")},
    "candidates": {
        "dvts": {"make", *GRADED},
        **{key: {"search", *GRADED} for key in ("strategy", "adaptive strategy")},
    },
    "reasoning": {"thinking": {"make", "score", *GRADED}},
    "decision": dict.fromkeys(("strategy", "adaptive strategy"), DECIDED),
    "labels": {"train": {"label"}},
    "selection": {key: {"select"} for key in (*GRADED_ANEW.keys() - {"train"},)},
    "rollout_measures": {},
    "solution_measures": {"eval": {"measure"}},
}


@pytest.mark.parametrize("part", identities.VERSIONS)
def test_a_new_version_changes_the_keys_of_what_it_computes_and_of_what_follows(
    part: str, every_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = every_key()
    monkeypatch.setitem(identities.VERSIONS, part, identities.VERSIONS[part] + 1)
    assert differing(before, every_key()) == CHANGED[part]


def differing(before: dict[str, Keys], after: dict[str, Keys]) -> dict[str, set[str]]:
    changed = {
        name: {stage for stage, key in keys.items() if after[name][stage] != key} for name, keys in before.items()
    }
    return {name: stages for name, stages in changed.items() if stages}


def test_a_new_version_of_a_domain_grades_anew_and_samples_nothing(
    every_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = every_key()
    monkeypatch.setattr(Mathematics, "version", Mathematics.version + 1)
    assert differing(before, every_key()) == GRADED_ANEW


def test_grades_depend_on_the_version_of_the_library_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = method_keys({"method": "best_of_n", "n": 8})
    monkeypatch.setattr(known_domains, "version", lambda _: "0.0.1")
    after = method_keys({"method": "best_of_n", "n": 8})
    assert {stage for stage in before if before[stage] != after[stage]} == GRADED


# The run ids of every kind of run, literally: a run whose id changes is made anew beside the old one.
def test_runs_are_called_what_they_were_called(tmp_path: Path) -> None:
    found = {
        "run": plan(methods=ALL_METHODS, budgets=[1, 4, 8]).run_id,
        "without a PRM": plan(methods=ALL_METHODS[:4], budgets=[1, 4], prm=None).run_id,
        "strategy": plan_of(recipe_value(written(tmp_path), {"n": 16})).run_id,
        "total": plan_of(recipe_value(written(tmp_path), {"total_tokens": 100_000})).run_id,
        "without a pilot": plan_of(
            recipe_value(written(tmp_path, without_pilot=[fixed_choice(16)]), {"n": 16}, {"n": 4})
        ).run_id,
        "prm-eval": eval_plan().run_id,
        "prm-train": train_plan(build_model(tmp_path / "model")).run_id,
    }
    assert found == RUN_IDS


class LaterSampling(SamplingConfig):
    """The settings of a version that has one more."""

    top_k: Annotated[int | None, ADDED_LATER] = None


class LaterPolicy(FakePolicyConfig):
    patience: Annotated[int, ADDED_LATER] = 3


class LaterBestOfN(BestOfN):
    first: Annotated[bool, ADDED_LATER] = False


class LaterGrading(GradingConfig):
    units: Annotated[bool, ADDED_LATER] = False


def key_with(**changes: Any) -> str:
    """The key of a sample stage, in the hands of a version whose settings are these."""
    (node,) = (node for node in plan().nodes if isinstance(node, SampleNode))
    return replace(node, **changes).key


def test_a_setting_that_is_added_later_changes_no_key_as_long_as_it_has_its_default() -> None:
    assert key_with(sampling=LaterSampling()) == key_with(sampling=SamplingConfig()) == key_with()
    assert key_with(sampling=LaterSampling(top_k=20)) != key_with()
    assert key_with(method=LaterBestOfN(method="best_of_n", n=8)) == key_with()
    assert key_with(method=LaterBestOfN(method="best_of_n", n=8, first=True)) != key_with()
    assert identify(LaterPolicy(engine="fake")) == identify(FakePolicyConfig())
    assert identify(LaterPolicy(engine="fake", patience=4)) != identify(FakePolicyConfig())


def test_the_same_holds_within_lists_of_settings() -> None:
    class LaterOuter(BaseModel):
        each: tuple[LaterGrading, ...]
        named: LaterGrading

    later = LaterOuter(each=(LaterGrading(), LaterGrading(units=True)), named=LaterGrading())
    plain = GradingConfig().model_dump()
    assert determinants(later) == {"each": (plain, plain | {"units": True}), "named": plain}


def test_what_is_not_marked_is_in_the_key() -> None:
    class Unmarked(SamplingConfig):
        top_k: int | None = None

    assert key_with(sampling=Unmarked()) != key_with()
