"""A domain beside mathematics: how it asks, compares and grades, what keys it is in, and how a wrong name is told."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from applied import applying, fitted, recipe_value, written
from bare_stages import carry_out, without_prefect
from plans import BASE, methods_of
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.domains import known_domains
from overthink.tasks.domains.domain import Extraction, Judged, PlainDomain, Reason, Verdict
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import KnownStyle, Message
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.plan.stored_run import stored_problems
from overthink.tasks.recipes.loading import read_recipe, read_runs
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Problem
from overthink.tasks.reporting.compare_runs import compare_runs

ASKED = "Name one word."


class Words(PlainDomain):
    """The last word counts; case is nothing, and a word that begins with x is never decided."""

    name: ClassVar[str] = "words"
    instruction: ClassVar[str | None] = ASKED

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        words = text.split()
        return words[-1] if words else None

    def key(self, answer: str) -> str:
        return answer.lower()

    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        if answer.startswith("x"):
            return "unknown", "x is unknown"
        return ("equal" if answer.lower() == problem.reference else "different"), None


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    domain = Words()
    monkeypatch.setitem(known_domains.DOMAINS, "words", domain)  # type: ignore[arg-type]
    return domain


def said(role: Any, content: str) -> Message:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("style", "system", "asked"),
    [
        ("qwen", None, [said("system", ASKED), said("user", "q")]),
        ("llama3", None, [said("system", ASKED), said("user", "q")]),
        ("llama3", "Be brief.", [said("system", "Be brief."), said("user", "q")]),
        ("r1", None, [said("user", f"q\n{ASKED}")]),
        ("plain", None, [said("user", "q")]),
        ("plain", "Be brief.", [said("system", "Be brief."), said("user", "q")]),
    ],
)
def test_an_instruction_stands_where_the_family_has_it(
    style: KnownStyle, system: str | None, asked: list[Message]
) -> None:
    assert Words().messages("q", style, system) == asked


def test_without_an_instruction_the_question_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Words, "instruction", None)
    assert Words().messages("q", "qwen") == Words().messages("q", "r1") == [said("user", "q")]


def test_answers_are_compared_one_by_one() -> None:
    problem = Problem("key", "id", "q", "yes")
    with Words().judge(5.0) as judge:
        assert judge.grade(problem, ["Yes", "no", "xno"]) == [
            Judged("yes", "equal"),
            Judged("no", "different"),
            Judged("xno", "unknown", "x is unknown"),
        ]
        assert judge.grade(Problem("key", "id", "q", None), ["Yes"]) == [Judged("yes", None)]
        assert judge.groups(["Yes", "no", "YES", "no"]) == [0, 1, 0, 1]
    assert Words().is_final("a word") and not Words().is_final("  ")


@pytest.mark.usefixtures("words")
def test_a_policy_is_asked_in_the_words_of_its_domain_and_they_are_in_its_identity() -> None:
    policy = OpenAIPolicyConfig(model="m", endpoints=("http://127.0.0.1:1/v1",))
    asked = policy.asked_by("words", PromptConfig())
    assert asked.model_dump() == policy.model_dump(), "the recipe says its domain once"
    prompts = [identify(config).determinants["prompt_style"] for config in (policy, asked)]
    assert prompts[0] != prompts[1] and ASKED in prompts[1]
    assert identify(asked.asked_by(MATH.name, PromptConfig())) == identify(policy)


def plan_in(domain: str, value: dict[str, Any]) -> Plan:
    """A plan in a domain that only this process has."""
    recipe = Recipe.model_validate(value).model_copy(update={"domain": domain})
    return plan_evaluation(recipe, load_problems(recipe.problems))


def test_a_domain_is_in_the_keys_of_what_it_reads_and_of_nothing_else(
    words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = [{"method": name, "n": 8} for name in ("best_of_n", "adaptive", "dvts")]
    value = BASE | {"methods": methods}

    def keys(plan: Plan) -> set[str]:
        return {f"{use.method_id} {use.key}" for use in plan.uses()}

    def changed(before: set[str], after: set[str]) -> set[str]:
        return {key.rpartition("-")[0] for key in after - before}

    in_math, in_words = keys(plan_in("math", value)), keys(plan_in("words", value))
    graded = {
        f"{method} {kind}" for method in ("best_of_n-n8", "adaptive-n8", "dvts-n8-m4") for kind in ("grade", "select")
    }
    ended = {"adaptive-n8 sample", "adaptive-n8 score", "dvts-n8-m4 search"}
    assert changed(in_math, in_words) == graded | ended | {"None problems"}
    monkeypatch.setattr(Words, "version", 2)
    assert changed(in_words, keys(plan_in("words", value))) == graded | ended
    assert keys(plan_in("math", value)) == in_math
    assert words.version == 2


@pytest.mark.usefixtures("words")
def test_two_runs_are_compared_by_their_own_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)
    problems = tmp_path / "problems.jsonl"
    rows = [{"question": f"{number}?", "answer": "\\boxed{0}"} for number in range(8)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"problems": {"source": "file", "path": str(problems)}}
    store, runs = Store(tmp_path / "store"), []
    with monkeypatch.context() as yesterday:
        yesterday.setattr(Words, "version", 0)
        yesterday.setattr(Words, "grade", lambda *_: ("different", None))
        runs.append(plan_in("words", BASE | changes | {"seed": 1}))
        carry_out(runs[0], store.root)
    runs.append(plan_in("words", BASE | changes | {"seed": 2}))
    carry_out(runs[1], store.root)
    before, after = (store.find_run(plan.run_id) for plan in runs)
    assert {row["correct"] for row in query(store, "SELECT correct FROM selections").to_pylist()} == {True, False}
    found = compare_runs(store, before, after)
    assert found.regraded == (before.run_id,)
    assert all(one.before > 0 for one in found.differences), "yesterday's grader called every answer wrong"
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no domain 'words': name one of math, choice, "):
        compare_runs(store, before, after)


@pytest.mark.usefixtures("words")
def test_a_finished_run_has_its_problems_where_it_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)
    store, plan = Store(tmp_path / "store"), plan_in("words", BASE)
    carry_out(plan, store.root)
    assert stored_problems(store, store.find_run(plan.run_id)).key == plan.problems.key


@pytest.mark.usefixtures("words")
def test_a_strategy_holds_for_its_domain(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(UserError, match="was fitted with domain = math, and here it is words: say domain as"):
        plan_in("words", recipe_value(path, methods=applying(path, {"n": 16})))


@pytest.mark.usefixtures("words")
def test_a_domain_is_in_what_a_strategy_decides_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    found = fitted().model_copy(update={"domain": "words"})
    monkeypatch.setattr("overthink.tasks.plan.strategy_nodes.read_strategy", lambda _: found)
    value = recipe_value(path, methods=applying(path, {"n": 16}))
    (one,) = methods_of(plan_in("words", value))
    monkeypatch.setattr(Words, "version", 2)
    (other,) = methods_of(plan_in("words", value))
    kinds = (StageKind.DECIDE, StageKind.SEARCH)
    assert [kind for kind in kinds if one.key(kind) is None or one.key(kind) == other.key(kind)] == []
    assert one.grade_key != other.grade_key and one.select_key != other.select_key
    assert one.key(StageKind.SAMPLE) == other.key(StageKind.SAMPLE) is not None, "of the pilot"


TOLD = (
    "there is no domain 'lettres': name one of "
    + ", ".join(known_domains.DOMAINS)
    + ", or install the package that has it"
)
PRESET = {"columns": {}, "domain": "lettres"}
MISNAMED: dict[str, dict[str, Any]] = {
    "domain": {"domain": "lettres"},
    "problems.preset.domain": {"problems": {"source": "file", "path": "p.jsonl", "preset": PRESET}},
}


@pytest.mark.parametrize("key", MISNAMED)
def test_an_unknown_domain_is_told_with_its_place_and_the_remedy(key: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(BASE | MISNAMED[key]))
    with pytest.raises(UserError) as told:
        read_recipe(path)
    assert str(told.value) == f"{path}: {key}: {TOLD}"


def test_so_it_is_in_a_sweep_and_in_an_import(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    grid = {"problems": [BASE["problems"]], "policies": [BASE["policy"]], "methods": [{"method": "cot"}]}
    path.write_text(yaml.safe_dump({"name": "swept", "budgets": [1], "domain": "lettres", **grid}))
    with pytest.raises(UserError, match=f": domain: {TOLD}"):
        read_runs(path)
    words = ["import", "jsonl", str(path), "--map", "question=q", "--map", "reference=r", "--map", "text=t"]
    result = CliRunner().invoke(app, [*words, "--domain", "lettres"])
    assert (result.exit_code, " ".join(result.stderr.split())) == (2, f"--domain: {TOLD}")


def test_a_recipe_without_a_domain_is_of_mathematics_and_says_so_when_written_out() -> None:
    recipe = Recipe.model_validate(BASE)
    assert (recipe.domain, recipe.model_dump()["domain"], recipe.grader.domain) == ("math", "math", MATH)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert (
        Recipe.model_validate({name: value for name, value in recipe.model_dump().items() if name != "domain"})
        == recipe
    )
