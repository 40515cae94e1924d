"""Solutions whose first wrong step is known: PRMBench and ProcessBench files, and chains with a slip."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from overthink.storage.keys import content_key
from overthink.tasks.datasets.chains import slipped_steps
from overthink.tasks.datasets.made_problems import chain_id, drawn_chains
from overthink.tasks.datasets.row_layouts import SourceModel
from overthink.tasks.datasets.rows import Row, file_rows, hub_rows, present_field, text_field, usable
from overthink.tasks.datasets.sources import ChainsSource
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem

SolutionFormat = Literal["prmbench", "processbench"]


@dataclass(frozen=True)
class LabelledSolution:
    """A solution and the index of its first wrong step; None where all are right.

    `solution_id` ends in a digest of all other fields, so that an id identifies the content.
    """

    solution_id: str
    question: str
    steps: tuple[str, ...]
    first_wrong: int | None

    @property
    def problem(self) -> Problem:
        """The solution as a problem. It has no reference: it is judged by its steps."""
        key = problem_key(self.solution_id, self.question)
        return Problem(problem_key=key, problem_id=self.solution_id, question=self.question, reference=None)


class SolutionFile(SourceModel, title="file"):
    """A local file of labelled solutions, `.jsonl` or `.parquet`."""

    source: Literal["file"]
    path: Path = Field(description="the file")
    format: SolutionFormat = Field(description="how its rows are laid out")
    limit: int | None = Field(default=None, ge=1, description="rows")


class SolutionHub(SourceModel, title="Hugging Face hub"):
    """A Hugging Face data set of labelled solutions at a revision, such as Qwen/ProcessBench."""

    source: Literal["hub"]
    dataset: str = Field(description="its name on the hub")
    revision: str = Field(description="a commit, branch or tag")
    split: str = Field(description="which of its splits")
    config: str | None = Field(default=None, description="which of its configurations, where it has several")
    format: SolutionFormat = Field(description="how its rows are laid out")
    limit: int | None = Field(default=None, ge=1, description="rows")


# Each chain has two solutions: a right one, and one with a wrong step from which the later ones follow.
SolutionSource = Annotated[ChainsSource | SolutionFile | SolutionHub, Field(discriminator="source")]


@dataclass(frozen=True)
class LabelledSet:
    """Checked solutions. `dropped` holds the errors of rows left out with `--skip-bad-rows`."""

    labeller: str
    solutions: tuple[LabelledSolution, ...]
    dropped: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The labeller and a digest of all solutions."""
        return f"{self.labeller}@{content_key([solution.solution_id for solution in self.solutions])[:8]}"


def load_solutions(source: ChainsSource | SolutionFile | SolutionHub, skip_bad_rows: bool = False) -> LabelledSet:
    """Read and check labelled solutions.

    Raises ProblemError naming file, row and field of the first bad row, unless bad rows are to be skipped.
    """
    match source:
        case ChainsSource():
            return _chains(source)
        case SolutionFile():
            rows, place = file_rows(source.path, "solutions"), str(source.path)
        case SolutionHub():
            rows = hub_rows(source.dataset, source.config, source.split, source.revision)
            place = f"{source.dataset} ({source.split})"
    return _checked(rows, place, source.format, source.limit, skip_bad_rows)


def _solution(name: str, question: str, steps: tuple[str, ...], first_wrong: int | None) -> LabelledSolution:
    digest = content_key([question, steps, first_wrong])[:8]
    return LabelledSolution(f"{name}-{digest}", question, steps, first_wrong)


def _chains(source: ChainsSource) -> LabelledSet:
    solutions = []
    for chain in drawn_chains(source):
        slips = random.Random(f"slip {source.seed} {chain.question}")
        wrong, place = slipped_steps(chain, slips)
        solutions.append(_solution(chain_id(chain), chain.question, tuple(chain.steps), None))
        solutions.append(_solution(chain_id(chain), chain.question, tuple(wrong), place))
    return LabelledSet(f"chains-{source.split}", tuple(solutions))


def _checked(
    rows: Iterator[Row], place: str, layout: SolutionFormat, limit: int | None, skip_bad_rows: bool
) -> LabelledSet:
    solutions: dict[str, LabelledSolution] = {}
    dropped: list[str] = []
    for number, found in enumerate(usable(rows, READERS[layout], skip_bad_rows, dropped), start=1):
        # PRMBench repeats a right solution with each of its wrong ones; it counts once.
        solutions.update({solution.solution_id: solution for solution in found})
        if number == limit:
            break
    if not solutions:
        raise ProblemError(f"{place}: no usable solution in it")
    return LabelledSet(layout, tuple(solutions.values()), tuple(dropped))


def _prmbench(where: str, _index: int, row: Mapping[str, Any]) -> list[LabelledSolution]:
    """A right solution and a modified one; without wrong steps (class multi_solutions) both are right."""
    name = text_field(where, row, "idx")
    original = text_field(where, row, "original_question")
    modified = text_field(where, row, "modified_question")
    steps = _steps(where, row, "modified_process")
    wrong = [place - 1 for place in _places(where, row, "error_steps", range(1, len(steps) + 1))]
    return [
        _solution(name, original, _steps(where, row, "original_process"), None),
        _solution(name, modified, steps, min(wrong, default=None)),
    ]


def _processbench(where: str, _index: int, row: Mapping[str, Any]) -> list[LabelledSolution]:
    """One solution; its `label` is the index of the first wrong step, or -1."""
    name, question = text_field(where, row, "id"), text_field(where, row, "problem")
    steps = _steps(where, row, "steps")
    label = _place(where, "label", present_field(where, row, "label"), range(-1, len(steps)))
    return [_solution(name, question, steps, None if label == -1 else label)]


READERS: dict[SolutionFormat, Callable[[str, int, Mapping[str, Any]], list[LabelledSolution]]] = {
    "prmbench": _prmbench,
    "processbench": _processbench,
}


def _steps(where: str, row: Mapping[str, Any], field: str) -> tuple[str, ...]:
    steps = _list(where, row, field)
    if not steps:
        raise ProblemError(f"{where}: field {field!r} has no steps")
    named = {f"{field}.{index}": step for index, step in enumerate(steps)}
    return tuple(text_field(where, named, name) for name in named)


def _places(where: str, row: Mapping[str, Any], field: str, allowed: range) -> list[int]:
    return [_place(where, field, place, allowed) for place in _list(where, row, field)]


def _list(where: str, row: Mapping[str, Any], field: str) -> list[Any]:
    value = present_field(where, row, field)
    if not isinstance(value, list):
        raise ProblemError(f"{where}: field {field!r} is a {type(value).__name__}, not a list")
    return value


def _place(where: str, field: str, value: Any, allowed: range) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProblemError(f"{where}: field {field!r} holds {value!r}, not the number of a step")
    if value not in allowed:
        raise ProblemError(f"{where}: field {field!r} names step {value}, but steps are {allowed[0]} to {allowed[-1]}")
    return value
