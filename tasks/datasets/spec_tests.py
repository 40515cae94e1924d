"""What the programs of specs are run on: hidden and public tests, and inputs whose results are compared.

All of it is drawn from a series that the spec alone seeds. The expected results are what the spec means, clause by
clause; its program is never run for them.
"""

import random
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

from overthink.tasks.datasets.specs import Argument, Arguments, Spec, draw_spec
from overthink.tasks.datasets.splits import Split

HIDDEN, PUBLIC, INPUTS = 10, 2, 12
LARGEST_RESULT = 99_999
MOST_DRAWS = 20_000
# What comes first among the hidden tests, by argument: where loops go wrong.
EDGES: dict[str, tuple[Argument, ...]] = {
    "values": ((), (0,), (-3, -3, 8)),
    "n": (0, 1, 30),
    "a": (3, -4, 0),
    "b": (2, -4, 12),
    "k": (1, -2, 6),
}


@dataclass(frozen=True)
class GradedSpec:
    """A spec with the calls that its programs are tested with; no two of them are the same."""

    spec: Spec

    @cached_property
    def _calls(self) -> list[Arguments]:
        source = random.Random(f"calls {self.spec.question}")
        names = self.spec.arguments
        calls = [{name: EDGES[name][place] for name in names} for place in range(3)]
        while len(calls) < HIDDEN + PUBLIC + INPUTS:
            call = _draw_call(source, names)
            if call not in calls:
                calls.append(call)
        return calls

    @property
    def hidden(self) -> list[str]:
        """The tests that grade, the edges first."""
        return [self._test(call) for call in self._calls[:HIDDEN]]

    @property
    def public(self) -> list[str]:
        """The tests that a solver may run."""
        return [self._test(call) for call in self._calls[HIDDEN : HIDDEN + PUBLIC]]

    @property
    def inputs(self) -> list[str]:
        """Calls without a known result."""
        return [self._call(call) for call in self._calls[HIDDEN + PUBLIC :]]

    @property
    def fields(self) -> dict[str, str | list[str]]:
        """What the domain `code` reads of a problem."""
        return {
            "entry_point": self.spec.name,
            "tests": self.hidden,
            "public_tests": self.public,
            "inputs": self.inputs,
        }

    def _call(self, given: Arguments) -> str:
        values = (given[name] for name in self.spec.arguments)
        return f"{self.spec.name}({', '.join(str(list(one) if isinstance(one, tuple) else one) for one in values)})"

    def _test(self, given: Arguments) -> str:
        result = self.spec.result(given)
        return f"assert {self._call(given)} {'is' if result is None else '=='} {result}"

    @property
    def is_told_apart(self) -> bool:
        """Whether results stay small, and each clause and the finish change that of some hidden test."""
        hidden = self._calls[:HIDDEN]
        results = [self.spec.result(call) for call in hidden]
        numbers = [number for result in results for number in (result if isinstance(result, list) else [result or 0])]
        if any(abs(number) > LARGEST_RESULT for number in numbers):
            return False
        return all([less.result(call) for call in hidden] != results for less in self.spec.reduced)


def _draw_call(source: random.Random, names: tuple[str, ...]) -> Arguments:
    call: Arguments = {}
    for name in names:
        match name:
            case "values":
                call[name] = tuple(source.randint(-12, 20) for _ in range(source.randint(3, 8)))
            case "n":
                call[name] = source.choice((source.randint(2, 20), source.randint(100, 400)))
            case "a":
                call[name] = source.randint(-8, 8)
            case "b":
                call[name] = source.randint(0, 20)
            case _:
                call[name] = source.randint(-4, 12)
    return call


def generate_specs(split: Split, count: int, shortest: int, longest: int, seed: int) -> list[GradedSpec]:
    """`count` distinct specs of one split, their numbers of clauses cycling through `shortest`..`longest`.

    Raises ValueError where there are too few distinct specs of a number of clauses.
    """
    source = random.Random(f"specs {split} {seed}")
    specs: dict[str, GradedSpec] = {}
    for index in range(count):
        found = _draw_new_spec(source, shortest + index % (longest - shortest + 1), split, specs)
        specs[found.spec.body] = found
    return list(specs.values())


def _draw_new_spec(source: random.Random, clauses: int, split: Split, known: Container[str]) -> GradedSpec:
    for _ in range(MOST_DRAWS):
        spec = draw_spec(source, clauses)
        if spec.split == split and spec.body not in known:
            tested = GradedSpec(spec)
            if tested.is_told_apart:
                return tested
    raise ValueError(f"split {split} has too few distinct specs of {clauses} clauses: ask for fewer or longer ones")
