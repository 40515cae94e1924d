"""What an answer can be: a number or expression, words, a list, a tuple, an interval, a matrix, a statement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from overthink.tasks.domains.math.expressions import Expression, number, number_key, times
from overthink.tasks.domains.math.lexing import Token
from overthink.tasks.domains.math.numerics import Valued
from overthink.tasks.domains.math.units import NONE, Unit


@dataclass(frozen=True)
class Words:
    """Text, its words in lower case."""

    key: str


@dataclass(frozen=True)
class Unread:
    """Mathematics that is not understood: whether it is the same as anything but its own text cannot be told."""

    key: str


@dataclass(frozen=True)
class Scalar:
    """A number or an expression with letters."""

    expression: Expression

    @cached_property
    def valued(self) -> Valued:
        """With the values it has been found to have."""
        return Valued(self.expression)

    @property
    def key(self) -> str:
        """Equal for equal trees; of a rational number its value."""
        return self.expression.key

    def scaled(self, factor: Fraction) -> "Scalar":
        """So many times the same."""
        return self if factor == 1 else Scalar(times([number(factor), self.expression]))


@dataclass(frozen=True)
class Unordered:
    """A list without brackets, or a set: what is in it counts, and how often; not the order."""

    items: tuple["Answer", ...]

    @cached_property
    def key(self) -> str:
        """The items' keys, sorted."""
        return f"{{{', '.join(sorted(item.key for item in self.items))}}}"


@dataclass(frozen=True)
class Ordered:
    """A tuple, a point, or an interval: the brackets and the order count."""

    opening: str
    items: tuple["Answer", ...]
    closing: str

    @cached_property
    def key(self) -> str:
        """The brackets and the items' keys."""
        return f"{self.opening}{', '.join(item.key for item in self.items)}{self.closing}"


@dataclass(frozen=True)
class Pieces:
    """A union of intervals, from left to right."""

    items: tuple[Ordered, ...]

    @cached_property
    def key(self) -> str:
        """The pieces' keys."""
        return " u ".join(item.key for item in self.items)


@dataclass(frozen=True)
class Matrix:
    """A matrix; `fence` tells a determinant or norm from it."""

    rows: tuple[tuple["Answer", ...], ...]
    fence: str = ""

    @cached_property
    def key(self) -> str:
        """The entries' keys, row by row."""
        rows = "; ".join(", ".join(item.key for item in row) for row in self.rows)
        return f"{self.fence}[[{rows}]]"


@dataclass(frozen=True)
class Series:
    """A list with an ellipsis: compared as written, item by item."""

    items: tuple["Answer", ...]

    @cached_property
    def key(self) -> str:
        """The items' keys."""
        return ", ".join(item.key for item in self.items)


@dataclass(frozen=True)
class Ratio:
    """a:b or a:b:c, up to a common factor."""

    items: tuple[Scalar, ...]

    @cached_property
    def key(self) -> str:
        """The terms' keys."""
        return ":".join(item.key for item in self.items)


@dataclass(frozen=True)
class Clock:
    """A time of day, or a length in hours and minutes. `halved`: its half of the day is said by AM or PM.

    A time that says neither, with an hour from 1 to 12, is the time on a clock of 24 hours, or leaves its half out.
    """

    minutes: Fraction
    halved: bool
    ratio: "Ratio | None" = field(default=None, compare=False)  # what the same text says beside a ratio

    @property
    def certain(self) -> bool:
        """Whether the half of the day is known."""
        return self.halved or not 60 <= self.minutes < 13 * 60

    @property
    def key(self) -> str:
        """Hours and minutes."""
        return f"clock {self.minutes // 60}:{number_key(self.minutes % 60)}{'' if self.certain else ' am or pm'}"


@dataclass(frozen=True)
class Residue:
    """A whole number up to multiples of another: 3 mod 7."""

    number: int
    modulus: int

    @property
    def key(self) -> str:
        """The smallest such number that is not negative."""
        return f"{self.number % self.modulus} mod {self.modulus}"


@dataclass(frozen=True)
class Cases:
    """What a function is, by conditions, in any order: tuples of a value and its condition."""

    items: tuple["Answer", ...]

    @cached_property
    def key(self) -> str:
        """The items' keys, sorted."""
        return f"cases {'; '.join(sorted(item.key for item in self.items))}"


@dataclass(frozen=True)
class Based:
    """A whole number written in a base: another base is another answer."""

    number: int
    base: int

    @property
    def key(self) -> str:
        """The number in decimal digits, and the base."""
        return f"{number_key(Fraction(self.number))} in base {self.base}"


@dataclass(frozen=True)
class Statement:
    """`difference` is zero, not zero, negative, or not positive: relation =, !=, < or <=."""

    relation: str
    difference: Scalar

    @property
    def key(self) -> str:
        """The difference's key and the relation."""
        return f"{self.difference.key} {self.relation} 0"


Value = (
    Words
    | Unread
    | Scalar
    | Unordered
    | Ordered
    | Pieces
    | Cases
    | Matrix
    | Series
    | Ratio
    | Clock
    | Based
    | Residue
    | Statement
)


@dataclass(frozen=True)
class Answer:
    """A value and what is said beside it: a name (`x` in x = 4), a unit, and the statement that it was read from.

    `other` is what the same text may mean too: `xy` a product, and `5 m` a length.
    """

    value: Value
    name: str | None = None
    unit: Unit | None = None
    statement: Statement | None = None
    other: "Answer | None" = None
    key: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self._key())

    def _key(self) -> str:
        key = self.value.key
        if self.unit is not None and isinstance(self.value, Scalar) and self.unit.measure == "":
            key = self.value.scaled(self.unit.factor).key
        elif self.unit is not None and self.unit != NONE:
            size = "" if self.unit.factor == 1 else f"{number_key(self.unit.factor)} "
            key = f"{key} {size}{self.unit.measure}"
        return key if self.name is None else f"{self.name} = {key}"


def parts_of(answer: Answer) -> Sequence[Answer]:
    """The answers that an answer is made of."""
    value = answer.value
    if isinstance(value, (Unordered, Ordered, Series, Cases)):
        return value.items
    if isinstance(value, Pieces):
        return [item for piece in value.items for item in piece.items]
    return [item for row in value.rows for item in row] if isinstance(value, Matrix) else []


def scalars_of(answer: Answer) -> list[Scalar]:
    """Every expression in an answer."""
    found = [answer.value] if isinstance(answer.value, Scalar) else []
    if isinstance(answer.value, Ratio):
        found = list(answer.value.items)
    if answer.statement is not None:
        found.append(answer.statement.difference)
    return found + [one for part in parts_of(answer) for one in scalars_of(part)]


Read = Callable[[Sequence[Token]], Answer]  # reads what stands within an answer
