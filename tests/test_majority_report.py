"""The limit of majority in reports: for which methods, over which problems, by whose verdicts."""

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from search_runs import base
from test_importers import write_lines
from test_majority_limit import drawn
from test_report import cells_of
from test_unknown_verdicts import SLOW, slow
from test_unknown_verdicts import imported as slowly_judged

from overthink.flows.evaluate import evaluate
from overthink.flows.import_rollouts import import_rollouts
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.majority_limit import MajorityLimit, limit_of, majority_limit
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe
from overthink.tasks.reporting.html.contents import report_facts, report_page
from overthink.tasks.reporting.majority_limits import limit_lines, majority_limits, votes_sql

pytestmark = pytest.mark.usefixtures("prefect_server")

MAPPING = ReadAs(["question=q", "reference=gold", "text=out"])
# Problems by the answers of their rollouts, "-" for none; the reference is 1.
VOTES = {"certain": "1111", "in doubt": "121-", "wrong": "2221", "silent": "----"}


def lines(votes: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"q": question, "gold": "1", "out": "no idea" if answer == "-" else f"\\boxed{{{answer}}}"}
        for question, answers in votes.items()
        for answer in answers
    ]


async def imported(folder: Path, *rows: Any, independent: bool = True, extraction: Any = "boxed") -> tuple[Store, str]:
    recipe = import_recipe(
        "jsonl", write_lines(folder / "a.jsonl", *rows), MAPPING, None, GradedAs(extraction=extraction), independent
    )
    (run_id,) = await import_rollouts(recipe, folder / "store")
    return Store(folder / "store"), run_id


def limits_of(store: Store, run_id: str) -> dict[str, MajorityLimit]:
    return majority_limits(store, store.find_run(run_id))


async def test_the_limit_is_that_of_the_stored_votes(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, *lines(VOTES))
    expected = majority_limit([limit_of(drawn(answers, right="1")) for answers in VOTES.values()])
    assert expected is not None and expected.problems == 4, "a problem without any vote counts, and is wrong"
    (found,) = limits_of(store, run_id).values()
    assert found.accuracy == pytest.approx(expected.accuracy, abs=1e-12)
    assert found.interval == pytest.approx(expected.interval, abs=1e-12)
    assert (found.problems, found.unknown) == (4, 0)
    (line,) = limit_lines(store, run_id)
    low, high = found.interval
    told = f"{100 * found.accuracy:.1f} ({100 * low:.0f}–{100 * high:.0f}) %"
    assert line == f"jsonl-n4: majority for N → ∞ is {told} over 4 problems"


async def test_the_page_has_it_with_its_query(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, *lines(VOTES))
    page = report_page(store, report_facts(store, [store.find_run(run_id)]))
    (section,) = re.findall(r"<h3>Majority for N → ∞</h3>.*?</details>", page, flags=re.DOTALL)
    ((name, limit, problems, unknown, highest),) = cells_of(section)
    (found,) = limits_of(store, run_id).values()
    assert (name, problems, unknown) == ("jsonl-n4", "4", "0")
    assert limit.startswith(f"{100 * found.accuracy:.1f} (") and highest == f"{100 * found.highest:.1f}"
    sql = votes_sql(store, store.find_run(run_id))
    assert sql is not None
    rows = query(store, sql).to_pylist()
    assert [row["answer_group"] for row in rows if row["problem_id"] == "3"] == [None], "the silent problem"
    assert sorted(row["votes"] for row in rows) == [0, 1, 1, 2, 3, 4]


async def test_dependent_rollouts_and_single_ones_have_none(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, *lines(VOTES), independent=False)
    assert limits_of(store, run_id) == {} and limit_lines(store, run_id) == []
    page = report_page(store, report_facts(store, [store.find_run(run_id)]))
    assert "Majority for N" not in page
    (tmp_path / "one").mkdir()
    store, run_id = await imported(tmp_path / "one", *lines({"a": "1", "b": "2"}))
    assert limits_of(store, run_id) == {}


async def test_verdicts_are_those_of_the_runs_own_grader(tmp_path: Path) -> None:
    """The same rollouts graded twice: read strictly, "no idea, 1" is no answer."""
    rows = [{"q": "?", "gold": "1", "out": "\\boxed{2}"}, {"q": "?", "gold": "1", "out": "no idea, 1"}]
    store, strict = await imported(tmp_path, *rows, *rows)
    _, lenient = await imported(tmp_path, *rows, *rows, extraction="lenient")
    assert query(store, "SELECT count(DISTINCT grader) AS graders FROM grades").to_pylist() == [{"graders": 2}]
    assert limits_of(store, strict)["jsonl-n4"].accuracy == 0
    assert limits_of(store, lenient)["jsonl-n4"].accuracy == pytest.approx(limit_of(drawn("2121", right="1"))[0])


@pytest.mark.usefixtures(slow.__name__)
async def test_unknown_verdicts_are_told_apart(tmp_path: Path) -> None:
    store, run_id = await slowly_judged(tmp_path, {"known": ["5", "5"], "unknown": ["5", SLOW]})
    (found,) = limits_of(store, run_id).values()
    low, high = limit_of(drawn("51", right="5", unknown="1"))
    alone, _ = limit_of(drawn("55", right="5"))
    assert (found.accuracy, found.highest) == pytest.approx(((low + alone) / 2, (high + alone) / 2))
    assert found.unknown == 1
    (line,) = limit_lines(store, run_id)
    assert line.endswith(f"; {100 * found.highest:.1f} % if the unknown verdicts, in 1 of them, are all right")


async def test_a_run_has_it_for_its_independent_methods_only(tmp_path: Path) -> None:
    methods = [{"method": "cot"}, {"method": "best_of_n", "n": 4}, {"method": "beam_search", "n": 4}]
    run_id = await evaluate(recipe_of(base(tmp_path), methods=methods, budgets=[4]), tmp_path / "store")
    store = Store(tmp_path / "store")
    assert list(limits_of(store, run_id)) == ["best_of_n-n4"]
