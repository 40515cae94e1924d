"""Stage grade: each answer against the reference itself, whatever its neighbours, its order and its part."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.store import Store
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.grade import DETAILS, NO_ANSWER, NO_REFERENCE, GradeNode
from overthink.tasks.stages.node import Problems, StoredStage


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    with MathJudge(time_limit=30) as judge:
        yield judge


def rollout(unit: str, index: int, text: str) -> dict[str, Any]:
    identity = {"problem_key": unit, "problem_id": unit, "rollout_id": f"{unit}/{index}", "sample_index": index}
    return {**identity, "text": text}


class Graded:
    """Rollouts of some problems, graded into a stage; each with the answer that is boxed in it."""

    def __init__(
        self, folder: Path, judge: MathJudge, answers: dict[str, Sequence[str]], reference: str | None
    ) -> None:
        store = Store(folder)
        self.samples, self.stage = store.stage("sample-1"), store.stage("grade-1")
        for unit, boxed in answers.items():
            rows = [rollout(unit, index, f"\\boxed{{{answer}}}") for index, answer in enumerate(boxed)]
            self.samples.write_part(Extent((unit,), 0, len(rows)), {"rollouts": rows_table("rollouts", rows)})
        self.done: list[None] = []
        problems = tuple(Problem(unit, unit, "question", reference) for unit in answers)
        self.context = ShardContext(self.stage, store.stage, judge, lambda _: self.done.append(None))
        self.node = GradeNode(
            problems=Problems("set", problems, []),
            rollouts=StoredStage(self.samples.key, None, 1),
            grader=Grader(MATH, GradingConfig()),
        )

    def grade(self, *extents: Extent) -> None:
        for extent in extents:
            self.node.make_now(self.context, extent)

    def verdicts(self) -> dict[str, bool | None]:
        table = self.stage.table("grades")
        return dict(zip(table["rollout_id"].to_pylist(), table["correct"].to_pylist(), strict=True))

    def rows(self, table: str) -> list[dict[str, Any]]:
        return sorted(self.stage.table(table).to_pylist(), key=lambda row: row["rollout_id"])


NEIGHBOURS = [("28", ["28", "0.28", "28.0"]), ("(4,3)", ["(4,3)", "(3,4)", "4"]), ("x>3", ["x>3", "3", "(3,\\infty)"])]


@pytest.mark.parametrize(("reference", "answers"), NEIGHBOURS)
def test_the_verdict_on_an_answer_is_the_same_in_every_order(
    reference: str, answers: list[str], judge: MathJudge, tmp_path: Path
) -> None:
    alone = {}
    for place, answer in enumerate(answers):
        single = Graded(tmp_path / f"alone-{place}", judge, {"p": [answer]}, reference)
        single.grade(Extent(("p",), 0, 1))
        (alone[answer],) = single.verdicts().values()
    assert alone[reference] is True, "identical text is right"
    for place, order in enumerate(itertools.permutations(answers)):
        graded = Graded(tmp_path / str(place), judge, {"p": order}, reference)
        graded.grade(Extent(("p",), 0, len(order)))
        assert list(graded.verdicts().values()) == [alone[answer] for answer in order]


def test_parts_added_later_are_those_of_all_at_once(judge: MathJudge, tmp_path: Path) -> None:
    answers = {"p": ["\\frac{1}{2}", "7", "0.5", "7.0", "0.50", "x"], "q": ["0.5", "1", "2", "3", "4", "5"]}
    whole, grown = (Graded(tmp_path / name, judge, answers, "0.5") for name in ("whole", "grown"))
    whole.grade(Extent(("p", "q"), 0, 6))
    grown.grade(Extent(("p", "q"), 0, 2), Extent(("q", "p"), 2, 6))
    for table in ("answers", "grades"):
        assert grown.rows(table) == whole.rows(table)
    assert len(grown.done) == 4, "each problem of each part is told"


def test_problems_are_graded_at_the_same_time_and_written_in_order(tmp_path: Path) -> None:
    units = tuple(f"p{number:02d}" for number in range(20))
    with MathJudge(time_limit=30) as judge:
        graded = Graded(tmp_path, judge, {unit: ["\\frac{1}{2}", "2"] for unit in units}, "0.5")
        graded.grade(Extent(units, 0, 2))
    assert graded.stage.table("answers")["problem_key"].to_pylist() == [unit for unit in units for _ in range(2)]
    assert list(graded.verdicts().values()) == [True, False] * 20


@pytest.mark.parametrize(
    ("reference", "answer", "correct", "detail"),
    [
        ("1", "1", True, DETAILS["equal"]),
        ("1", "2", False, DETAILS["different"]),
        ("1", " ", False, NO_ANSWER),
        (None, "1", None, NO_REFERENCE),
        ("18", "\\approx 18", None, DETAILS["unread"]),
        ("1/2", "\\int_0^1 x\\,dx", None, DETAILS["unread"]),
        ("3", "9" * 5000, None, DETAILS["unread"]),
        ("3", "9^{9^{9^{9}}}", None, DETAILS["undecided"]),
    ],
)
def test_every_verdict_has_its_reason(
    reference: str | None, answer: str, correct: bool | None, detail: str, judge: MathJudge, tmp_path: Path
) -> None:
    graded = Graded(tmp_path, judge, {"p": [answer]}, reference)
    graded.grade(Extent(("p",), 0, 1))
    (row,) = graded.rows("grades")
    assert (row["correct"], row["detail"], row["reference"]) == (correct, detail, reference)
    assert row["grader"] == "math (boxed)"


def test_a_comparison_that_was_cut_off_says_so(tmp_path: Path) -> None:
    with MathJudge(time_limit=0.0) as judge:
        graded = Graded(tmp_path, judge, {"p": ["\\frac{1}{2}"]}, "\\sqrt{2}")
        graded.grade(Extent(("p",), 0, 1))
    assert graded.rows("grades")[0]["detail"] == DETAILS["limit"]


def test_what_cannot_be_compared_in_time_is_unknown(tmp_path: Path) -> None:
    with MathJudge(time_limit=1) as judge:
        graded = Graded(tmp_path, judge, {"p": ["9^{9^{9^{9}}}", "2"]}, "\\sqrt{2}")
        graded.grade(Extent(("p",), 0, 2))
    assert list(graded.verdicts().values()) == [None, False]
    assert graded.rows("grades")[0]["detail"] == DETAILS["undecided"]
