"""Chains: generated arithmetic problems, whose number of steps sets the difficulty.

A chain starts from a number and applies one operation per step. The running value grows along the chain, so late
steps are harder than early ones. A hash of its question determines a chain's split, so no test problem can appear in
training, whatever the seeds.
"""

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass

from overthink.tasks.datasets.splits import Split, split_of

STEP_DELIMITER = "\n\n"
LARGEST_VALUE = 9999
SMALLEST_VALUE = 10
LONGEST_CHAIN = 12
MOST_DRAWS = 20_000
WORDS = {"+": "plus", "-": "minus", "*": "times"}


@dataclass(frozen=True)
class Operation:
    """One operation of a chain: a symbol of `+ - *` and a positive operand."""

    symbol: str
    operand: int

    def apply(self, value: int) -> int:
        """The running value after this operation."""
        match self.symbol:
            case "+":
                return value + self.operand
            case "-":
                return value - self.operand
            case _:
                return value * self.operand


@dataclass(frozen=True)
class Chain:
    """A start value in 10..99 and 1 to 12 operations; every running value lies in 10..9999."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def question(self) -> str:
        """The problem as the policy reads it."""
        spoken = "".join(f", {WORDS[operation.symbol]} {operation.operand}" for operation in self.operations)
        return f"Take {self.start}{spoken}. What is the result?"

    @property
    def values(self) -> list[int]:
        """The running value after each operation; as many as there are operations."""
        return _running(self.start, self.operations)

    @property
    def steps(self) -> list[str]:
        """The reference solution: one step per operation, then the boxed answer."""
        return self.written(self.values)

    def written(self, values: list[int]) -> list[str]:
        """The solution with these running values: one step per operation, then the boxed answer."""
        befores = [self.start, *values[:-1]]
        worked = [
            f"{before}{operation.symbol}{operation.operand}={after}"
            for before, operation, after in zip(befores, self.operations, values, strict=True)
        ]
        return [*worked, f"\\boxed{{{values[-1]}}}"]

    @property
    def solution(self) -> str:
        """The steps joined by blank lines, as the policy should write them."""
        return STEP_DELIMITER.join(self.steps)

    @property
    def split(self) -> Split:
        """The split this chain belongs to."""
        return split_of(self.question)


def _running(value: int, operations: Sequence[Operation]) -> list[int]:
    values = []
    for operation in operations:
        value = operation.apply(value)
        values.append(value)
    return values


def slipped_steps(chain: Chain, source: random.Random) -> tuple[list[str], int]:
    """A solution with one wrong step, and that step's index; the later steps follow from its wrong value.

    The slip is a wrong digit of the step's result. No two values lead to the same one, so the answer is wrong too.
    """
    while True:
        place = source.randrange(len(chain.operations))
        digits = str(chain.values[place])
        position = source.randrange(len(digits))
        wrong = int(digits[:position] + str(source.randrange(10)) + digits[position + 1 :])
        values = [*chain.values[:place], wrong, *_running(wrong, chain.operations[place + 1 :])]
        if wrong != chain.values[place] and all(SMALLEST_VALUE <= value <= LARGEST_VALUE for value in values):
            return chain.written(values), place


def right_steps(chain: Chain, steps: list[str]) -> list[bool]:
    """For each written step, whether it and all before it equal the reference (checked arithmetic)."""
    labels, right = [], True
    for index, step in enumerate(steps):
        right = right and index < len(chain.steps) and step.strip() == chain.steps[index]
        labels.append(right)
    return labels


def generate_chains(split: Split, count: int, shortest: int, longest: int, seed: int) -> list[Chain]:
    """`count` distinct chains of one split, their lengths cycling through `shortest`..`longest`.

    Raises ValueError where the lengths are out of range or too few distinct chains of a length exist.
    """
    if not 1 <= shortest <= longest <= LONGEST_CHAIN:
        raise ValueError(f"chain lengths {shortest}..{longest} must lie within 1..{LONGEST_CHAIN}")
    source = random.Random(f"chains {split} {seed}")
    lengths = range(shortest, longest + 1)
    chains: dict[Chain, None] = {}
    for index in range(count):
        chains[_draw_new_chain(source, lengths[index % len(lengths)], split, chains)] = None
    return list(chains)


def _draw_new_chain(source: random.Random, length: int, split: Split, known: Container[Chain]) -> Chain:
    for _ in range(MOST_DRAWS):
        chain = draw_chain(source, length)
        if chain.split == split and chain not in known:
            return chain
    raise ValueError(f"split {split} has too few distinct chains of {length} operations: ask for fewer or longer ones")


def draw_chain(source: random.Random, length: int) -> Chain:
    """One chain of `length` operations, of whichever split its question hashes to."""
    start = source.randint(10, 99)
    value, operations = start, []
    for _ in range(length):
        operation = _draw_operation(source, value)
        value = operation.apply(value)
        operations.append(operation)
    return Chain(start, tuple(operations))


def _draw_operation(source: random.Random, value: int) -> Operation:
    largest_addend = 99 if value < 100 else 999
    while True:
        symbol = source.choice("+-*")
        operand = source.randint(2, 9) if symbol == "*" else source.randint(10, largest_addend)
        operation = Operation(symbol, operand)
        if SMALLEST_VALUE <= operation.apply(value) <= LARGEST_VALUE:
            return operation
