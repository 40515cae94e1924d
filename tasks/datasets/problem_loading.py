"""Reading a source's problems: every row is checked, and asked as the recipe says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from overthink.tasks.datasets.made_problems import chain_problems, question_problems, spec_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.datasets.row_problems import check_named, row_problem
from overthink.tasks.datasets.rows import Row, ending_of, file_rows, hub_rows, inner_field, usable
from overthink.tasks.datasets.sources import (
    AnySource,
    ChainsSource,
    FileSource,
    HubSource,
    QuestionsSource,
    RowsSource,
    SpecsSource,
    columns_of,
)
from overthink.tasks.datasets.user_turns import Asking, row_fields
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def load_problems(source: AnySource, skip_bad_rows: bool = False, asking: Asking | None = None) -> ProblemSet:
    """Read and check a problem set, asked as a recipe says; without one as mathematics, by the question alone.

    Raises ProblemError naming file, row and field of the first bad row, unless bad rows are to be skipped.
    """
    asking = asking or Asking()
    match source:
        case ChainsSource():
            return _asked(chain_problems(source), asking)
        case SpecsSource():
            return _asked(spec_problems(source), asking)
        case QuestionsSource():
            return _asked(question_problems(source), asking)
        case FileSource():
            rows = file_rows(source.path, "problems")
            title = source.path.name.removesuffix(ending_of(source.path) or "")
            return _checked(rows, str(source.path), title, RowReading(source, skip_bad_rows, asking))
        case HubSource():
            rows = hub_rows(source.dataset, source.config, source.split, source.revision)
            place = f"{source.dataset} ({source.split})"
            return _checked(rows, place, source.dataset.split("/")[-1], RowReading(source, skip_bad_rows, asking))


def _asked(problem_set: ProblemSet, asking: Asking) -> ProblemSet:
    problems = tuple(asking.asked(one, one.reference, f"problem {one.problem_id}") for one in problem_set.problems)
    return problem_set.model_copy(update={"problems": problems})


@dataclass(frozen=True)
class RowReading:
    """How rows are read: as their `source` lays them out, and asked as the recipe says."""

    source: RowsSource
    skip_bad_rows: bool
    asking: Asking


def _checked(rows: Iterable[Row], place: str, title: str, reading: RowReading) -> ProblemSet:
    problems: dict[str, Problem] = {}
    dropped: list[str] = []
    columns = reading.source.layout

    def read(where: str, index: int, row: Mapping[str, Any]) -> Problem:
        problem = row_problem(where, index, row, title, columns)
        answer = None if columns.reference is None else row_fields({"": inner_field(row, columns.reference)})[""]
        problem = reading.asking.asked(problem, answer, where)
        if problem.problem_id in problems:
            raise ProblemError(f"{where}: id {problem.problem_id!r} ({columns.problem_id}) is there twice")
        return problem

    for problem in usable(rows, read, reading.skip_bad_rows, dropped):
        problems[problem.problem_id] = problem
        if len(problems) == reading.source.limit:
            break
    if not problems:
        raise ProblemError(f"{place}: no usable problem in it")
    check_named(place, columns, columns_of(reading.source.preset), problems.values())
    return ProblemSet(title=title, problems=tuple(problems.values()), dropped=tuple(dropped))
