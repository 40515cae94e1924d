"""A verdict that is unknown stays so: in every table, in what is printed and drawn, and before the gate."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.import_rollouts import import_rollouts
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.domains.domain import Judged
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe
from overthink.tasks.recipes.recipe import GateConfig
from overthink.tasks.reporting.gate import judge
from overthink.tasks.reporting.html.contents import report_facts, report_page, report_pictures
from overthink.tasks.reporting.results import accuracy_text, summary_rows

pytestmark = pytest.mark.usefixtures("prefect_server")
SLOW = "9^{9^{9^{9}}}"  # no comparison with it ends
REFERENCE = "5"

# Of `half` the vote is for the answer that nobody can judge, of `none` every answer is it.
ANSWERS = {"right": ["5", "5", "4"], "wrong": ["4", "4", "5"], "half": [SLOW, SLOW, "5"], "none": [SLOW, SLOW, SLOW]}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge as it is where one answer exceeds its limit, without the wait."""
    found = MathJudge.judge

    def unknown(self: MathJudge, reference: str | None, answers: Sequence[str]) -> list[Judged]:
        quick = iter(found(self, reference, [answer for answer in answers if answer != SLOW]))
        return [Judged(SLOW, "unknown") if answer == SLOW else next(quick) for answer in answers]

    monkeypatch.setattr(MathJudge, "judge", unknown)


async def imported(folder: Path, answers: dict[str, list[str]], independent: bool = True) -> tuple[Store, str]:
    path = folder / "rows.jsonl"
    lines = [
        {"id": name, "q": f"What is {name}?", "gold": REFERENCE, "out": f"\\boxed{{{answer}}}", "scores": [0.5]}
        for name, given in answers.items()
        for answer in given
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    mapping = ["problem_id=id", "question=q", "reference=gold", "text=out", "scores=scores"]
    recipe = import_recipe("jsonl", path, ReadAs(mapping), None, GradedAs(extraction="boxed"), independent)
    (run_id,) = await import_rollouts(recipe, folder / "store")
    return Store(folder / "store"), run_id


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    return list(query(store, sql).to_pylist())


@pytest.mark.usefixtures("slow")
async def test_no_table_holds_an_unknown_verdict_as_false(tmp_path: Path) -> None:
    store, _ = await imported(tmp_path, ANSWERS)
    grades = rows(store, "SELECT answer, correct FROM rollouts JOIN grades USING (rollout_id)")
    assert {(row["answer"], row["correct"]) for row in grades} == {("5", True), ("4", False), (SLOW, None)}
    sql = """SELECT problem_id, answer, correct, accuracy, accuracy_low, accuracy_high, unknown FROM selections
        WHERE selector = 'majority' AND n = 3"""
    assert {row.pop("problem_id"): tuple(row.values()) for row in rows(store, sql)} == {
        "right": ("5", True, 1.0, 1.0, 1.0, 0.0),
        "wrong": ("4", False, 0.0, 0.0, 0.0, 0.0),
        "half": (SLOW, None, None, 0.0, 1.0, 1.0),
        "none": (SLOW, None, None, 0.0, 1.0, 1.0),
    }
    sql = (
        "SELECT problem_id, accuracy, accuracy_low, accuracy_high FROM selections WHERE selector = 'majority' AND n = 1"
    )
    one = {row["problem_id"]: row for row in rows(store, sql)}
    assert (one["half"]["accuracy_low"], one["half"]["accuracy_high"]) == (pytest.approx(1 / 3), pytest.approx(1.0))
    assert one["half"]["accuracy"] == pytest.approx(1.0), "of the verdicts that are known"


@pytest.mark.usefixtures("slow")
async def test_the_summary_has_the_share_and_both_bounds(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, ANSWERS)
    found = {(row["selector"], row["n"]): row for row in summary_rows(store, run_id)}
    voted, oracle = found["majority", 3], found["oracle", 3]
    assert (voted["problems"], voted["accuracy"], voted["unknown"]) == (4, 0.5, 0.5)
    assert (voted["accuracy_low"], voted["accuracy_high"]) == (0.25, 0.75)
    assert voted["ci_low"] < 0.5 < voted["ci_high"]
    assert (oracle["accuracy_low"], oracle["accuracy_high"], oracle["unknown"]) == (0.75, 1.0, 0.25)
    assert accuracy_text(voted).endswith("?25.0–75.0")


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("independent", [True, False])
async def test_where_nothing_is_known_everything_says_so(tmp_path: Path, independent: bool) -> None:
    store, run_id = await imported(tmp_path, {"none": [SLOW] * 2, "too": [SLOW] * 2}, independent)
    for row in summary_rows(store, run_id):
        assert (row["accuracy"], row["ci_low"], row["ci_high"]) == (None, None, None)
        assert (row["accuracy_low"], row["accuracy_high"], row["unknown"]) == (0.0, 1.0, 1.0)
        assert accuracy_text(row) == "unknown ?0.0–100.0"
    facts = report_facts(store, [store.find_run(run_id)])
    assert "unknown ?0.0–100.0" in report_page(store, facts)
    list(report_pictures(store, facts))


@pytest.mark.usefixtures("slow")
async def test_terminal_and_report_say_it_beside_the_figure(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, ANSWERS)
    told = CliRunner().invoke(app, ["report", run_id, "--store", store.address]).output
    assert "?25.0–75.0" in told and "The verdict on 5 rollouts is unknown" in told and "50.0 % of the chosen" in told
    page = report_page(store, report_facts(store, [store.find_run(run_id)]))
    assert "?25.0–75.0" in page and "The verdict on 5 rollouts is unknown" in page


@pytest.mark.usefixtures("slow")
async def test_the_gate_refuses_above_a_share(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, ANSWERS)
    run = store.find_run(run_id)
    with pytest.raises(UserError, match=r"the verdict on 50\.0 % of the choices .* more than gate.max_unknown = 2 %"):
        judge(store, run, GateConfig())
    assert judge(store, run, GateConfig(max_unknown=0.5)).against is None, "the first night"
    (tmp_path / "before").mkdir()
    before, before_id = await imported(tmp_path / "before", ANSWERS | {"more": ["5"] * 3})
    store.write_run(before.find_run(before_id))
    for stage in before.stages():
        (store.stage(stage.key).folder).parent.mkdir(exist_ok=True)
        if not store.stage(stage.key).folder.exists():
            stage.folder.rename(store.stage(stage.key).folder)
    with pytest.raises(UserError, match=f"{before_id} cannot be judged|{run_id} cannot be judged"):
        judge(store, run, GateConfig(against=before_id))
    verdict = judge(store, run, GateConfig(against=before_id, max_unknown=0.5))
    (difference,) = verdict.differences
    assert (difference.problems, difference.unknown_before, difference.unknown_after) == (2, 0.5, 0.5)
    assert (difference.lost, difference.won) == (0, 0)


async def test_without_unknown_verdicts_nothing_is_said_of_them(tmp_path: Path) -> None:
    store, run_id = await imported(tmp_path, {"right": ANSWERS["right"], "wrong": ANSWERS["wrong"]})
    assert {row["unknown"] for row in summary_rows(store, run_id)} == {0.0}
    told = CliRunner().invoke(app, ["report", run_id, "--store", store.address]).output
    assert "?" not in told and "unknown verdict" not in told and "The verdict on" not in told
