"""What is done to each number in a spec: clauses, each in words, as lines of Python, and as what it means.

The words and the lines are what a policy reads and should write. The meaning gives the results that tests expect, so
that no program has to be run to know them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

Amount = int | Literal["k"]
Outcome = int | Literal["dropped", "stopped"]


@dataclass(frozen=True)
class Phrase:
    """A piece of words and of code with a place `{c}` for an amount, which may be the argument `k`, or with none."""

    words: str
    code: str
    meaning: Callable[[int, int], int]
    opposite: str = ""
    amounts: tuple[Amount, ...] = (0,)


SMALL: tuple[Amount, ...] = (2, 3, 4, 5, 6, 7, 8, 9, "k", "k", "k")
FACTORS: tuple[Amount, ...] = (2, 3, 4, 5, "k")
DIVISORS: tuple[Amount, ...] = (3, 4, 5, 6, 7)

CONDITIONS = (
    Phrase("even", "x % 2 == 0", lambda x, _: x % 2 == 0, "x % 2 != 0"),
    Phrase("odd", "x % 2 == 1", lambda x, _: x % 2 == 1, "x % 2 != 1"),
    Phrase("negative", "x < 0", lambda x, _: x < 0, "x >= 0"),
    Phrase("more than {c}", "x > {c}", lambda x, c: x > c, "x <= {c}", SMALL),
    Phrase("less than {c}", "x < {c}", lambda x, c: x < c, "x >= {c}", SMALL),
    Phrase("at least {c}", "x >= {c}", lambda x, c: x >= c, "x < {c}", SMALL),
    Phrase("at most {c}", "x <= {c}", lambda x, c: x <= c, "x > {c}", SMALL),
    Phrase("divisible by {c}", "x % {c} == 0", lambda x, c: x % c == 0, "x % {c} != 0", DIVISORS),
)
CHANGES = (
    Phrase("add {c}", "x + {c}", lambda x, c: x + c, amounts=SMALL),
    Phrase("subtract {c}", "x - {c}", lambda x, c: x - c, amounts=SMALL),
    Phrase("multiply by {c}", "x * {c}", lambda x, c: x * c, amounts=FACTORS),
    Phrase("take it from {c}", "{c} - x", lambda x, c: c - x, amounts=SMALL),
    Phrase("divide by {c}, rounding down", "x // {c}", lambda x, c: x // c, amounts=DIVISORS),
    Phrase("take the remainder by {c}", "x % {c}", lambda x, c: x % c, amounts=DIVISORS),
    Phrase("square it", "x * x", lambda x, _: x * x),
    Phrase("negate it", "-x", lambda x, _: -x),
    Phrase("take the absolute value", "abs(x)", lambda x, _: abs(x)),
)


@dataclass(frozen=True)
class Part:
    """A phrase with its amount filled in."""

    phrase: Phrase
    amount: Amount

    @property
    def words(self) -> str:
        """How it is said."""
        return self.phrase.words.format(c=self.amount)

    @property
    def code(self) -> str:
        """An expression in `x`."""
        return self.phrase.code.format(c=self.amount)

    @property
    def opposite(self) -> str:
        """Of a condition, the expression that is true where it is false."""
        return self.phrase.opposite.format(c=self.amount)

    def of(self, x: int, k: int) -> int:
        """The value of the expression."""
        return self.phrase.meaning(x, k if self.amount == "k" else self.amount)


@dataclass(frozen=True)
class Change:
    """The number becomes another one; where there is a condition, only if it holds, and else by `other`, if any."""

    change: Part
    condition: Part | None = None
    other: Part | None = None

    @property
    def parts(self) -> tuple[Part | None, ...]:
        """All that may have an amount."""
        return (self.change, self.condition, self.other)

    @property
    def words(self) -> str:
        """How it is said, in the imperative."""
        if self.condition is None:
            return self.change.words
        otherwise = f", otherwise {self.other.words}" if self.other else ""
        return f"if it is {self.condition.words}, {self.change.words}{otherwise}"

    @property
    def lines(self) -> list[str]:
        """Its statements."""
        if self.condition is None:
            return [f"x = {self.change.code}"]
        otherwise = ["else:", f"    x = {self.other.code}"] if self.other else []
        return [f"if {self.condition.code}:", f"    x = {self.change.code}", *otherwise]

    def outcome(self, x: int, k: int) -> Outcome:
        """What becomes of a number."""
        if self.condition is None or self.condition.of(x, k):
            return self.change.of(x, k)
        return x if self.other is None else self.other.of(x, k)


Leaving = Literal["drop", "keep", "stop"]


@dataclass(frozen=True)
class Leave:
    """The number is left out where a condition holds, or does not (`keep`), or all from there on are (`stop`)."""

    how: Leaving
    condition: Part
    words_of: ClassVar[dict[Leaving, str]] = {
        "drop": "drop it if it is {}",
        "keep": "keep it only if it is {}",
        "stop": "stop if it is {}",
    }

    @property
    def parts(self) -> tuple[Part | None, ...]:
        """All that may have an amount."""
        return (self.condition,)

    @property
    def words(self) -> str:
        """How it is said, in the imperative."""
        return self.words_of[self.how].format(self.condition.words)

    @property
    def lines(self) -> list[str]:
        """Its statements."""
        condition = self.condition.opposite if self.how == "keep" else self.condition.code
        return [f"if {condition}:", "    break" if self.how == "stop" else "    continue"]

    def outcome(self, x: int, k: int) -> Outcome:
        """What becomes of a number."""
        if bool(self.condition.of(x, k)) == (self.how == "keep"):
            return x
        return "stopped" if self.how == "stop" else "dropped"


Clause = Change | Leave
