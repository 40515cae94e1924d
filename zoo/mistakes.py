"""Solutions of chains with mistakes in them, the first anywhere: wrong arithmetic, wrong copies, lost steps."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from overthink.tasks.datasets.chains import LARGEST_VALUE, SMALLEST_VALUE, Chain, Operation

ALL_RIGHT = 0.3  # share of solutions without a mistake
ASTRAY = 0.06  # share of mistakes that leave out or repeat an operation, or end too early
COPIED_WRONG = 0.2  # share of the others that read the value before, the operation or the operand wrongly
OTHER_OPERATION = 0.15  # share of wrong results that are right for another operation, or for a neighbouring operand
LATER_MISTAKES = 0.35  # chance of one more mistake in a step after the first


@dataclass(frozen=True)
class Equation:
    """A step as it is written: `left operation = result`."""

    left: int
    operation: Operation
    result: int

    @property
    def due(self) -> int:
        """The right result of what is on the left."""
        return self.operation.apply(self.left)

    def __str__(self) -> str:
        return f"{self.left}{self.operation.symbol}{self.operation.operand}={self.result}"


@dataclass(frozen=True)
class Solution:
    """A written solution of a chain; from equation `astray` on, its operations are not those that are asked for."""

    chain: Chain
    equations: tuple[Equation, ...]
    boxed: int | None
    astray: int

    @property
    def steps(self) -> list[str]:
        """The steps' texts."""
        return [*map(str, self.equations), *([f"\\boxed{{{self.boxed}}}"] if self.boxed is not None else [])]


def write_solution(chain: Chain, source: random.Random) -> Solution:
    """Solve a chain, with or without mistakes; what follows a mistake goes on from it.

    A solution breaks off where a value leaves the range of chains.
    """
    count = len(chain.operations)
    first = source.randint(0, count) if source.random() >= ALL_RIGHT else None
    operations, astray = list(chain.operations), count + 1
    if first is not None and first < count and source.random() < ASTRAY:
        astray, first = first, None
        operations[astray : source.choice((astray + 1, count))] = [operations[astray]] * source.choice((0, 2))
    value, equations = chain.start, list[Equation]()
    for index, operation in enumerate(operations):
        right = Equation(value, operation, operation.apply(value))
        if not _in_range(right.result):
            return Solution(chain, tuple(equations), None, astray)
        later = first is not None and index > first and source.random() < LATER_MISTAKES
        equations.append(_mistaken(right, source) if index == first or later else right)
        value = equations[-1].result
    return Solution(chain, tuple(equations), _another(value, source) if first == count else value, astray)


def _in_range(value: int) -> bool:
    return SMALLEST_VALUE <= value <= LARGEST_VALUE


def _mistaken(right: Equation, source: random.Random) -> Equation:
    while True:
        wrong = (_copied_wrong if source.random() < COPIED_WRONG else _wrong_result)(right, source)
        if wrong != right and _in_range(wrong.result):
            return wrong


def _copied_wrong(right: Equation, source: random.Random) -> Equation:
    left, symbol, operand = right.left, right.operation.symbol, right.operation.operand
    match source.randrange(4):
        case 0:
            symbol = source.choice("+-")
        case 1:
            operand = source.randint(2, 9) if symbol == "*" else _another(operand, source)
        case _:
            left = _another(left, source)
    operation = Operation(symbol, operand)
    return Equation(left, operation, operation.apply(left))


def _wrong_result(right: Equation, source: random.Random) -> Equation:
    if source.random() >= OTHER_OPERATION:
        return Equation(right.left, right.operation, _another(right.result, source))
    symbol, operand = right.operation.symbol, right.operation.operand
    other = source.choice(
        (Operation(source.choice("+-*"), operand), Operation(symbol, operand + source.choice((-1, 1))))
    )
    return Equation(right.left, right.operation, other.apply(right.left))


def _another(value: int, source: random.Random) -> int:
    while True:
        wrong = source.choice(CHANGES)(str(value), source)
        if wrong != value and _in_range(wrong):
            return wrong


def _other_digit(digits: str, source: random.Random) -> int:
    place = source.randrange(len(digits))
    return int(digits[:place] + str(source.randrange(10)) + digits[place + 1 :])


def _wrong_carry(digits: str, source: random.Random) -> int:
    return int(digits) + source.choice((-1, 1)) * int(10 ** source.randrange(len(digits)))


def _swapped(digits: str, source: random.Random) -> int:
    place = source.randrange(len(digits) - 1)
    return int(digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :])


def _other_end(digits: str, source: random.Random) -> int:
    place = source.randrange(len(digits))
    return int(digits[:place] + "".join(str(source.randrange(10)) for _ in digits[place:]))


CHANGES: tuple[Callable[[str, random.Random], int], ...] = (
    *(_other_digit, _other_digit, _other_digit),
    *(_wrong_carry, _wrong_carry, _wrong_carry),
    *(_swapped, _other_end),
)
