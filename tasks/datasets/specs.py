"""Specs: generated programming problems, whose number of clauses sets the difficulty.

A spec goes through numbers, does something to each, and returns what comes of them. Its clauses are told out of order
("before all that", "after all that"), so that a program is no translation word by word. A hash of the program's body
determines a spec's split, so that no test problem can appear in training, whatever the seeds and the words.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from overthink.tasks.datasets.spec_clauses import (
    CHANGES,
    CONDITIONS,
    Change,
    Clause,
    Leave,
    Part,
    Phrase,
)
from overthink.tasks.datasets.splits import Split, split_of

Argument = int | tuple[int, ...]
Arguments = dict[str, Argument]
Result = int | list[int] | None

MOST_CLAUSES = 6
NAMES = ("tally", "total", "gather", "sift", "weigh", "fold", "score", "measure", "survey", "digest")


@dataclass(frozen=True)
class Numbers:
    """What a spec goes through: its arguments, in words, and as an iterable."""

    arguments: tuple[str, ...]
    words: str
    code: str

    def among(self, given: Arguments) -> Sequence[int]:
        """The numbers, where the arguments have these values."""
        match self.arguments, given:
            case ("values",), {"values": tuple(values)}:
                return values
            case ("a", "b"), {"a": int(a), "b": int(b)}:
                return range(a, b + 1)
            case _, {"n": int(n)}:
                return range(1, n + 1) if "range" in self.code else [int(digit) for digit in str(n)]
        raise ValueError(f"{given} are not the arguments {self.arguments}")


NUMBERS = (
    Numbers(("values",), "the numbers in values", "values"),
    Numbers(("n",), "the numbers from 1 to n", "range(1, n + 1)"),
    Numbers(("a", "b"), "the numbers from a to b", "range(a, b + 1)"),
    Numbers(("n",), "the digits of n", "map(int, str(n))"),
)
NUMBER_WEIGHTS = (5, 2, 2, 1)


@dataclass(frozen=True)
class Reduction:
    """What comes of the numbers: in words, its value before the first, the statements for each, and what it means."""

    words: str
    start: str
    lines: tuple[str, ...]
    of: Callable[[list[int]], Result]
    is_number: bool = False


REDUCTIONS = (
    Reduction("the sum", "0", ("result += x",), sum, is_number=True),
    Reduction("the count", "0", ("result += 1",), len, is_number=True),
    Reduction(
        "the largest",
        "None",
        ("if result is None or x > result:", "    result = x"),
        lambda numbers: max(numbers, default=None),
    ),
    Reduction(
        "the smallest",
        "None",
        ("if result is None or x < result:", "    result = x"),
        lambda numbers: min(numbers, default=None),
    ),
    Reduction("the last", "None", ("result = x",), lambda numbers: numbers[-1] if numbers else None),
    Reduction("the list", "[]", ("result.append(x)",), list),
    Reduction(
        "the list without repeats",
        "[]",
        ("if x not in result:", "    result.append(x)"),
        lambda numbers: [*dict.fromkeys(numbers)],
    ),
)
FINISHES = (
    Phrase("plus {c}", "result + {c}", lambda x, c: x + c, amounts=(2, 3, 5, 8, "k", "k", "k")),
    Phrase("minus {c}", "result - {c}", lambda x, c: x - c, amounts=(2, 3, 5, 8, "k", "k", "k")),
    Phrase("times {c}", "result * {c}", lambda x, c: x * c, amounts=(2, 3, 5, "k", "k", "k")),
)


@dataclass(frozen=True)
class Spec:
    """What a function does: its clauses in the order in which they are done, and how they are told.

    `told_before` says of each clause told behind the first whether it is done before all those told up to there.
    """

    name: str
    numbers: Numbers
    clauses: tuple[Clause, ...]
    reduction: Reduction
    finish: Part | None
    told_before: tuple[bool, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the function's arguments; `k` is one where it is used."""
        parts = [part for clause in self.clauses for part in clause.parts] + [self.finish]
        return (*self.numbers.arguments, *(("k",) if any(part and part.amount == "k" for part in parts) else ()))

    @property
    def signature(self) -> str:
        """The call with the arguments' names: `tally(values, k)`."""
        return f"{self.name}({', '.join(self.arguments)})"

    @property
    def question(self) -> str:
        """The problem as the policy reads it."""
        finish = f", {self.finish.words}" if self.finish else ""
        return (
            f"Write the Python function {self.signature}. It goes through {self.numbers.words}. "
            f"With each: {'; '.join(self._told())}. It returns {self.reduction.words} of what is left{finish}."
        )

    def _told(self) -> list[str]:
        first = last = sum(self.told_before)
        told = [self.clauses[first].words]
        for is_before in self.told_before:
            if is_before:
                first -= 1
                told.append(f"before all that, {self.clauses[first].words}")
            else:
                last += 1
                told.append(f"after all that, {self.clauses[last].words}")
        return told

    @property
    def body(self) -> str:
        """The lines of the function below its signature."""
        loop = [line for clause in self.clauses for line in clause.lines] + [*self.reduction.lines]
        end = self.finish.code if self.finish else "result"
        lines = [f"result = {self.reduction.start}", f"for x in {self.numbers.code}:", *(f"    {one}" for one in loop)]
        return "".join(f"    {line}\n" for line in (*lines, f"return {end}"))

    @property
    def program(self) -> str:
        """The reference solution."""
        return f"def {self.signature}:\n{self.body}"

    @property
    def split(self) -> Split:
        """The split this spec belongs to; that of its program, whatever the words and the name."""
        return split_of(self.body)

    def result(self, given: Arguments) -> Result:
        """What the function returns for these arguments."""
        k = given.get("k", 0)
        assert isinstance(k, int)
        left: list[int] = []
        for number in self.numbers.among(given):
            outcome = self._outcome(number, k)
            if outcome == "stopped":
                break
            if isinstance(outcome, int):
                left.append(outcome)
        found = self.reduction.of(left)
        return self.finish.of(found, k) if self.finish and isinstance(found, int) else found

    def _outcome(self, x: int, k: int) -> int | str:
        for clause in self.clauses:
            outcome = clause.outcome(x, k)
            if isinstance(outcome, str):
                return outcome
            x = outcome
        return x

    @property
    def reduced(self) -> list["Spec"]:
        """The spec without one of its clauses each, and without its finish where it has one."""
        less = [
            replace(self, clauses=self.clauses[:index] + self.clauses[index + 1 :], told_before=self.told_before[1:])
            for index in range(len(self.clauses))
        ]
        return less + ([replace(self, finish=None)] if self.finish else [])


def draw_spec(source: random.Random, clauses: int) -> Spec:
    """One spec of this many clauses, of whichever split its body hashes to."""
    (numbers,) = source.choices(NUMBERS, NUMBER_WEIGHTS)
    has_k = source.random() < 0.6
    reduction = source.choice(REDUCTIONS)
    finish = None
    if reduction.is_number and source.random() < 0.5:
        finish = _draw_part(source, FINISHES, has_k)
    return Spec(
        name=source.choice(NAMES),
        numbers=numbers,
        clauses=tuple(_draw_clause(source, has_k) for _ in range(clauses)),
        reduction=reduction,
        finish=finish,
        told_before=tuple(source.random() < 0.5 for _ in range(clauses - 1)),
    )


def _draw_clause(source: random.Random, has_k: bool) -> Clause:
    kind = source.choices(("change", "conditional", "either", "drop", "keep", "stop"), (5, 3, 2, 2, 2, 1))[0]
    change = _draw_part(source, CHANGES, has_k)
    condition = _draw_part(source, CONDITIONS, has_k)
    match kind:
        case "change":
            return Change(change)
        case "conditional":
            return Change(change, condition)
        case "either":
            others = [phrase for phrase in CHANGES if phrase is not change.phrase]
            return Change(change, condition, _draw_part(source, others, has_k))
        case "drop" | "keep" | "stop":
            return Leave(kind, condition)
    raise AssertionError(kind)


def _draw_part(source: random.Random, phrases: Sequence[Phrase], has_k: bool) -> Part:
    phrase = source.choice(phrases)
    return Part(phrase, source.choice([amount for amount in phrase.amounts if has_k or amount != "k"]))
