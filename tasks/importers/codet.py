"""microsoft/CodeT: a folder with programs and tests that a model wrote, for the problems of HumanEval's file.

Lines name no problem. They stand in the order of the task numbers as texts (0, 1, 10, 100, …), and each holds its
problem's prompt without the examples.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from overthink.tasks.counted import counted
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.asserted import all_assertions
from overthink.tasks.importers.fields import Filled, Record, checked, json_lines
from overthink.tasks.importers.imported import (
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    independent_set,
    steps_in,
)
from overthink.tasks.records import Problem

DOMAIN = "codet"  # never the file's name: a path is part of no key
USUAL_BUDGET = 10  # papers tell pass@1, pass@10 and pass@100 of programs
TESTS_PER_TEXT = 5  # as CodeT takes them
TESTS_FOLLOW = "    pass\n"  # in the prompt for tests, behind that of the problem


class PromptedLine(Record):
    """What a model wrote for one problem: programs, or tests, which the prompt asks for behind the same function."""

    prompt: str
    samples: Annotated[list[str], Field(min_length=1)]


class ProblemLine(Record):
    """One problem, as HumanEval's file has it."""

    task_id: Annotated[str, Field(pattern=r"/\d+$")]
    prompt: str
    entry_point: Filled
    test: Filled

    @property
    def number(self) -> str:
        """Its task number."""
        return self.task_id.rpartition("/")[2]


PlacedLine = tuple[str, PromptedLine]  # with its place


def read_codet(path: Path, problems: Path) -> ImportedSet:
    """Read a folder, for the problems of a file. Raises ProblemError naming file, line and field."""
    known = [checked(ProblemLine, value, where) for where, value in json_lines(problems)]
    known.sort(key=lambda one: one.number)
    programs, tests = _written(path, "solutions"), _written(path, "tests")
    if len(programs) != len(tests):
        raise ProblemError(f"{path}: programs for {counted(len(programs), 'problem')}, and tests for {len(tests)}")
    if not 0 < len(programs) <= len(known):
        raise ProblemError(f"{path}: programs for {counted(len(programs), 'problem')}, and {problems} has {len(known)}")
    found = independent_set(DOMAIN, tuple(map(_problem, known, programs, tests)))
    told = {USUAL_BUDGET} if found.budgets[-1] >= USUAL_BUDGET else set()
    return replace(found, budgets=tuple(sorted({*found.budgets, *told})))


def _written(path: Path, what: str) -> list[PlacedLine]:
    """The lines of the one file in a folder that has `what` in its name."""
    files = sorted(path.glob(f"*{what}*.jsonl*"))
    if len(files) != 1:
        raise ProblemError(f"{path}: it holds {len(files)} files *{what}*.jsonl or .jsonl.gz: leave one in it")
    return [(where, checked(PromptedLine, value, where)) for where, value in json_lines(files[0])]


def _problem(known: ProblemLine, programs: PlacedLine, tests: PlacedLine) -> ImportedProblem:
    (where, line), (other, asked) = programs, tests
    _same_problem(where, line.prompt, known)
    _same_problem(other, asked.prompt.partition(TESTS_FOLLOW)[0], known)
    begun = "assert " if asked.prompt.rstrip().endswith("assert") else ""
    generated = all_assertions([begun + text for text in asked.samples], known.entry_point, TESTS_PER_TEXT)
    fields = {"prompt": known.prompt, "entry_point": known.entry_point, "tests": known.test}
    problem = Problem(
        problem_key(known.task_id, known.prompt),
        known.task_id,
        known.prompt,
        None,  # the domain makes it of the tests
        DOMAIN,
        fields=fields | {"generated_tests": generated},
    )
    rollouts = tuple(ImportedRollout(text, steps_in(text)) for text in line.samples)
    return ImportedProblem(problem, rollouts, place=where)


def _same_problem(where: str, prompt: str, known: ProblemLine) -> None:
    """Raise ProblemError where a prompt has a line that its problem has not, or is about another function."""
    own = {line.strip() for line in known.prompt.splitlines()}
    has_all = all(line.strip() in own for line in prompt.splitlines())
    if not has_all or f"def {known.entry_point}(" not in prompt:
        raise ProblemError(
            f"{where}: field 'prompt' is not that of {known.task_id} ({known.entry_point}), which is next where the "
            "numbers of tasks are sorted as texts: name the file of the problems that these programs were written for"
        )
