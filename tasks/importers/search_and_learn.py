"""huggingface/search-and-learn: one line per problem, with `completions`, their step `scores` and `pred_…@n`."""

import re
from pathlib import Path

from pydantic import ConfigDict

from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.fields import Filled, Record, Score, Tokens, checked, json_lines, same_length
from overthink.tasks.importers.imported import (
    STEP_DELIMITER,
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    ImportedStep,
    Reported,
    powers_of_two,
)
from overthink.tasks.records import Problem

DOMAIN = "search-and-learn"
PREDICTIONS: dict[str, SelectorName] = {"naive": "prm_last_max", "weighted": "prm_last_vote", "maj": "majority"}
_PREDICTION = re.compile(rf"pred_({'|'.join(PREDICTIONS)})@(\d{{1,6}})")


class Row(Record):
    """One line. The predictions' names hold the number of completions they were chosen from."""

    model_config = ConfigDict(extra="allow")

    problem: Filled
    answer: Filled
    unique_id: Filled | None = None
    level: int | str | None = None
    subject: str | None = None
    completions: list[str]
    scores: list[list[Score]]
    completion_tokens: list[Tokens] | None = None


def read_search_and_learn(path: Path, independent: bool) -> ImportedSet:
    """Read a file. Raises ProblemError naming line and field of the first record that cannot be used."""
    if path.is_dir():
        raise ProblemError(f"{path} is a folder: search-and-learn writes one .jsonl file; name that")
    problems: dict[str, ImportedProblem] = {}
    for index, (where, value) in enumerate(json_lines(path)):
        read = _problem(where, index, checked(Row, value, where))
        if read.problem.problem_id in problems:
            raise ProblemError(f"{where}: unique_id {read.problem.problem_id!r} is there twice")
        problems[read.problem.problem_id] = read
    counts = [len(problem.rollouts) for problem in problems.values()]
    if not any(counts):
        raise ProblemError(f"{path}: no completion in it")
    reported = {said.n for problem in problems.values() for said in problem.reported if said.n is not None}
    reach = min(counts) if independent else max(counts)
    if not reach:
        raise ProblemError(f"{path}: a problem without completions, so no budget can be answered by all")
    return ImportedSet(
        domain=DOMAIN,
        method_id=f"search_and_learn-n{max(counts)}",
        n=max(counts),
        budgets=tuple(sorted({n for n in reported if n <= reach} | set(powers_of_two(reach)))),
        independent=independent,
        is_scored=True,
        problems=tuple(problems.values()),
    )


def _problem(where: str, index: int, row: Row) -> ImportedProblem:
    same_length(where, "scores", len(row.scores), len(row.completions), "completions")
    tokens = row.completion_tokens or [0] * len(row.completions)
    same_length(where, "completion_tokens", len(tokens), len(row.completions), "completions")
    problem_id = row.unique_id or str(index)
    problem = Problem(
        problem_key=problem_key(problem_id, row.problem),
        problem_id=problem_id,
        question=row.problem,
        reference=row.answer,
        domain=DOMAIN,
        level=None if row.level is None else str(row.level),
        subject=row.subject,
    )
    places = (f"{where}, completion {number}" for number in range(len(row.completions)))
    rollouts = map(_rollout, places, row.completions, row.scores, tokens)
    return ImportedProblem(problem, tuple(rollouts), _predictions(where, row))


def _rollout(where: str, text: str, scores: list[float | None], tokens: int) -> ImportedRollout:
    # That tool scores every piece between delimiters, blank ones too.
    steps = text.split(STEP_DELIMITER)
    same_length(where, "scores", len(scores), len(steps), "steps")
    # The tool writes 0 where it did not count.
    return ImportedRollout(text, tuple(map(ImportedStep, steps, scores)), tokens or None)


def _predictions(where: str, row: Row) -> tuple[Reported, ...]:
    found = []
    for field, value in (row.model_extra or {}).items():
        match = _PREDICTION.fullmatch(field)
        if match is None:
            continue
        if not isinstance(value, str):
            raise ProblemError(f"{where}: field {field!r} is no text")
        # An empty box means that no answer was found.
        answer = MATH.boxed(value) or ("" if "\\boxed" in value else value.strip())
        found.append(Reported(field, "choice", selector=PREDICTIONS[match[1]], n=int(match[2]), answer=answer))
    return tuple(found)
