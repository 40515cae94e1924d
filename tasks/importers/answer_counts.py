"""jkomiyama/BoInf-code-publish: one line per problem, with the answers and token counts of its rollouts, no texts."""

import re
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Annotated

from pydantic import Field

from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.fields import Filled, Record, Tokens, checked, json_lines, same_length
from overthink.tasks.importers.imported import (
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    Reported,
    independent_set,
)
from overthink.tasks.records import Problem

DOMAIN = "answer-counts"  # never the file's name: a path is part of no key
# It holds the reference, so that problems of one number in two files are mostly two problems.
NO_QUESTION = "(The question is not stored. Its answer is {}.)"
_ESCAPED = re.compile(r"\\.", re.DOTALL)

Answered = Annotated[tuple[str | None, Tokens | None], Field(strict=False)]  # JSON has no tuples


class CountedRow(Record):
    """One line: `all_answers` holds the answer and the tokens of each rollout, "" or null where it gave no answer.

    The other fields are counted from these: `answer_counts` leaves out null.
    """

    problem_num: int
    total_answers: int
    answer_counts: dict[str, int]
    gold_answer: Filled
    majority_answer: str | None
    all_answers: Annotated[list[Answered], Field(min_length=1)]


def read_answer_counts(path: Path) -> ImportedSet:
    """Read a file; its rollouts are independent. Raises ProblemError naming line and field of what cannot be used."""
    if path.is_dir():
        raise ProblemError(f"{path} is a folder: name a .jsonl file of answers and token counts")
    problems: dict[int, ImportedProblem] = {}
    for where, value in json_lines(path):
        row = checked(CountedRow, value, where)
        if row.problem_num in problems:
            raise ProblemError(f"{where}: problem_num {row.problem_num} is there twice")
        problems[row.problem_num] = _problem(where, row)
    if not problems:
        raise ProblemError(f"{path}: no row in it")
    return independent_set(
        DOMAIN,
        tuple(problems.values()),
    )


def _problem(where: str, row: CountedRow) -> ImportedProblem:
    same_length(where, "all_answers", len(row.all_answers), row.total_answers, "total_answers")
    if row.answer_counts != Counter(answer for answer, _ in row.all_answers if answer is not None):
        raise ProblemError(f"{where}: field 'answer_counts' does not count the answers of field 'all_answers'")
    problem_id, question = str(row.problem_num), NO_QUESTION.format(row.gold_answer)
    problem = Problem(problem_key(problem_id, question), problem_id, question, row.gold_answer, DOMAIN)
    rollouts = (
        ImportedRollout(_text(f"{where}, answer {index}", answer), (), tokens)
        for index, (answer, tokens) in enumerate(row.all_answers)
    )
    return ImportedProblem(problem, tuple(rollouts), _said(row))


def _text(where: str, answer: str | None) -> str:
    """The answer in a box, which every domain reads; nothing where there is no answer."""
    if not answer or not answer.strip():
        return ""
    box = f"{{{answer}}}"
    if not _closes_at_its_end(box):
        raise ProblemError(f"{where}: the braces of {answer!r} do not match, so that no box holds it; mend the answer")
    return f"\\boxed{box}"


def _closes_at_its_end(box: str) -> bool:
    """Whether the brace that opens a text is closed by its last letter."""
    letters = _ESCAPED.sub("", box)
    depths = [*accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in letters)]
    return 0 in depths and depths.index(0) == len(letters) - 1


def _said(row: CountedRow) -> tuple[Reported, ...]:
    """What that tool counts: an answer is right where its text is the reference's."""
    answers = [
        Reported("all_answers", "answer", sample_index=index, answer=answer, correct=answer == row.gold_answer)
        for index, (answer, _) in enumerate(row.all_answers)
    ]
    tokens = [count for _, count in row.all_answers if count is not None]
    spent = sum(tokens) if len(tokens) == row.total_answers else None
    majority = Reported(
        "majority_answer",
        "choice",
        selector="majority",
        n=row.total_answers,
        answer=row.majority_answer,
        correct=row.majority_answer == row.gold_answer,
    )
    return (*answers, majority, Reported("all_answers", "policy_tokens", value=spent))
