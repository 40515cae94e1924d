"""The recipe's template of the user's turn: columns go in as plain text, and those that do are in the keys."""

import datetime
import json
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import BASE, searched

from overthink.flows.evaluate import evaluate
from overthink.flows.rebuild import rebuild
from overthink.storage.completeness import problems_key
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.user_turns import row_fields
from overthink.tasks.domains.user_template import read_template
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.plan.stored_run import stored_problem_set
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.records import Problem
from overthink.tasks.reporting.compare_runs import compare_runs
from overthink.tasks.stages.problem_rows import problem_of, problem_row

ROW = {"question": " Which? ", "answer": "2", "options": ["a", "b{x}"], "hint": "{question} {{ x }} {% y %}", "n": 1.50}


def problems_file(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(folder: Path, user: str, *rows: dict[str, Any], **settings: Any) -> tuple[Problem, ...]:
    value = BASE | {"problems": {"source": "file", "path": str(problems_file(folder, *rows)), **settings}}
    recipe = check_recipe(value | {"prompt": {"user": user}})
    return load_problems(recipe.problems, asking=recipe.asking).problems


@pytest.mark.parametrize(
    ("user", "turn"),
    [
        ("Q: {question}", "Q: Which?"),
        ("{question}\n{options}\n{question}", 'Which?\n["a", "b{x}"]\nWhich?'),
        ("{{{question}}} \\boxed{{}} {hint}", "{Which?} \\boxed{} {question} {{ x }} {% y %}"),
        ("{n} of {answer}", "1.5 of 2"),
    ],
)
def test_columns_go_in_as_they_are_and_nothing_in_them_is_read(user: str, turn: str, tmp_path: Path) -> None:
    (problem,) = asked(tmp_path, user, ROW)
    assert (problem.asked, problem.question) == (turn, "Which?")


def test_the_question_is_the_problems_whatever_its_column_is_called(tmp_path: Path) -> None:
    row = {"prompt": "1+1?", "question": "another", "answer": "2", "a.b": "dotted", "two words": "spaced"}
    (problem,) = asked(tmp_path, "{question} {prompt} {a.b} {two words}", row, columns={"question": "prompt"})
    assert problem.asked == "1+1? 1+1? dotted spaced"


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("{question} {}", r"prompt.user: `{}` at character 12 names no column: a literal brace is written as {{ or }}"),
        ("{question} }", r"prompt.user: `}` at character 12 names no column"),
        ("{question", r"prompt.user: `{` at character 1 names no column"),
        ("Say something.", r"prompt.user: it asks every problem the same: put in a column, such as {question}"),
        ("{{question}}", r"prompt.user: it asks every problem the same"),
    ],
)
def test_what_is_no_template_is_told_with_the_remedy(user: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        check_recipe(BASE | {"prompt": {"user": user}})
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["question!r", "question:>9", "question.__class__", "options[0]", "question "])
def test_nothing_but_a_columns_name_is_between_braces(name: str, tmp_path: Path) -> None:
    told = (
        f"row 1: `prompt.user` puts in {{{name}}}, which is missing (columns there: question, answer, options, hint, n)"
    )
    with pytest.raises(ProblemError) as error:
        asked(tmp_path, f"{{{name}}}", ROW)
    assert told in str(error.value)


def test_rows_without_the_column_can_be_dropped(tmp_path: Path) -> None:
    path = problems_file(tmp_path, ROW, {"question": "Why?", "answer": "1", "hint": None})
    recipe = check_recipe(
        BASE | {"problems": {"source": "file", "path": str(path)}, "prompt": {"user": "{question} {hint}"}}
    )
    found = load_problems(recipe.problems, True, recipe.asking)
    assert len(found.problems) == 1
    assert "row 2: `prompt.user` puts in {hint}, which is null" in found.dropped[0]


def test_a_format_in_the_braces_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(
        ProblemError, match=r"\{hint:>3\}, which is missing .*; a name stands in braces without a format"
    ):
        asked(tmp_path, "{hint:>3}", ROW)


def test_a_turn_that_would_be_blank_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="row 1: the user's turn is blank"):
        asked(tmp_path, "{hint}", ROW | {"hint": " "})


def test_a_column_that_is_put_in_is_the_problems_identity_and_others_are_not(tmp_path: Path) -> None:
    other = ROW | {"hint": "another"}
    plain = [asked(tmp_path, "Q: {question}", row)[0].problem_key for row in (ROW, other)]
    hinted = [asked(tmp_path, "{hint} {question}", row)[0].problem_key for row in (ROW, other)]
    assert plain[0] == plain[1] == asked(tmp_path, "{question}", ROW)[0].problem_key
    assert len({*plain, *hinted}) == 3
    turned = asked(tmp_path, "{question} {hint}", ROW)[0].problem_key
    assert turned == hinted[0], "the template itself is in the key of the stage"


def test_a_template_is_in_the_keys_of_what_is_sampled_and_graded_and_without_one_they_are_what_they_were() -> None:
    best = {"method": "best_of_n", "n": 8}
    before, same = searched(best), searched(best, prompt={"style": "auto"})
    assert (same.make_key, same.grade_key) == (before.make_key, before.grade_key)
    assert searched(best, prompt={"user": "{question}!"}).make_key != before.make_key
    assert (
        searched(best, prompt={"user": "{question}!"}).make_key
        != searched(best, prompt={"user": "{question}"}).make_key
    )


def test_generated_problems_have_a_question_alone() -> None:
    recipe = check_recipe(BASE | {"prompt": {"user": "{question} {hint}"}})
    with pytest.raises(ProblemError, match=r"problem chain-.*puts in {hint}.*\(columns there: question\)"):
        load_problems(recipe.problems, asking=recipe.asking)


def test_all_columns_of_a_row_are_kept_as_json_has_them() -> None:
    row = {
        "text": "é\ud800",
        "none": None,
        "nan": float("nan"),
        "flag": True,
        "when": datetime.date(2026, 1, 2),
        "exact": Decimal("1.50"),
        "array": np.array([1, 2]),
        "single": np.float32(0.5),
        "nested": {"image": b"\x00", "name": "x", "list": [b"\x00", 1]},
        "image": b"\x00",
    }
    found = {
        "text": "é\ud800",
        "none": None,
        "nan": None,
        "flag": True,
        "when": "2026-01-02",
        "exact": "1.50",
        "array": [1, 2],
        "single": 0.5,
        "nested": {"name": "x", "list": [1]},
    }
    assert row_fields(row) == found
    problem = Problem("key", "id", "q", None, fields=row_fields(row))
    stored = problem_row(problem)
    assert stored["fields"].startswith('{"text": "é\\ud800"')
    assert problem_of(stored) == problem
    assert problem_row(Problem("key", "id", "q", None))["fields"] is None


@pytest.mark.usefixtures("prefect_server")
async def test_the_policy_is_asked_by_the_template_the_prm_by_the_question_and_the_columns_are_in_sql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, set[str]] = {"policy": set(), "prm": set()}
    write, score = FakePolicy.generate, FakePrm.score

    async def writing(self: FakePolicy, question: str, *others: Any, **named: Any) -> Any:
        heard["policy"].add(question)
        return await write(self, question, *others, **named)

    async def scoring(self: FakePrm, question: str, *others: Any, **named: Any) -> Any:
        heard["prm"].add(question)
        return await score(self, question, *others, **named)

    monkeypatch.setattr(FakePolicy, "generate", writing)
    monkeypatch.setattr(FakePrm, "score", scoring)
    problems = {"source": "file", "path": str(problems_file(tmp_path, ROW))}
    methods = [{"method": "best_of_n", "n": 2}, {"method": "beam_search", "n": 4}]
    value = BASE | {"problems": problems, "methods": methods, "budgets": [2], "prompt": {"user": "{hint}: {question}"}}
    recipe = check_recipe(value)
    run_id = await evaluate(recipe, str(tmp_path / "store"))
    assert heard == {"policy": {"{question} {{ x }} {% y %}: Which?"}, "prm": {"Which?"}}
    store = Store(tmp_path / "store")
    (row,) = query(
        store, "SELECT question, fields->>'hint' AS hint, fields->'options'->>1 AS b FROM problems"
    ).to_pylist()
    assert row == {"question": "Which?", "hint": ROW["hint"], "b": "b{x}"}
    (stored,) = stored_problem_set(store, store.find_run(run_id)).problems
    (loaded,) = load_problems(recipe.problems, asking=recipe.asking).problems
    assert stored == replace(loaded, user_turn=None)
    shutil.rmtree(store.stage(problems_key(store.find_run(run_id))).folder)
    await rebuild(run_id, str(tmp_path / "store"))
    assert stored_problem_set(store, store.find_run(run_id)).problems == (stored,)


@pytest.mark.usefixtures("prefect_server")
async def test_runs_that_ask_the_same_problems_otherwise_can_be_compared(tmp_path: Path) -> None:
    problems = {
        "source": "file",
        "path": str(problems_file(tmp_path, *({**ROW, "question": f"{n}?"} for n in range(4)))),
    }
    store, ids = Store(tmp_path / "store"), []
    for prompt in ({}, {"user": "{hint} {question}"}):
        recipe = check_recipe(BASE | {"problems": problems, "prompt": prompt})
        ids.append(await evaluate(recipe, str(store.root)))
    assert len(set(ids)) == 2
    found = compare_runs(store, *map(store.find_run, ids))
    assert (found.problems_in_both, found.only_before, found.only_after) == (4, 0, 0)
    assert {difference.problems for difference in found.differences} == {4}


@given(st.text(), st.text())
def test_any_text_can_be_written_around_a_column_and_any_text_put_in(around: str, value: str) -> None:
    escaped = around.replace("{", "{{").replace("}", "}}")
    assert read_template(f"{escaped}{{q}}{escaped}").fill({"q": value}) == f"{around}{value}{around}"


def test_a_template_that_puts_in_every_column_reads_back() -> None:
    template = read_template("{a} {{b}} {c d}{a}")
    assert template.columns == ("a", "c d")
    assert template.fill({"a": "{c d}", "c d": "1"}) == "{c d} {b} 1{c d}"
