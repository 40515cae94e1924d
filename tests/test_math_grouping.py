"""Groups of equal answers: a partition of the pool, whatever its order."""

from contextlib import nullcontext
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from math_cases import DIFFERENT, EQUAL, shared_cases

from overthink.tasks.domains.math.equality import STRICT, same
from overthink.tasks.domains.math.grouping import partition
from overthink.tasks.domains.math.numerics import Undecided
from overthink.tasks.domains.math.reading import read_answer


def groups(answers: list[str]) -> list[list[str]]:
    """The groups as sorted lists of their answers."""
    labels = partition([read_answer(answer) for answer in answers], nullcontext)
    members: dict[int, list[str]] = {}
    for label, answer in zip(labels, answers, strict=True):
        members.setdefault(label, []).append(answer)
    return sorted(sorted(group) for group in members.values())


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["18", "18 cm"], [["18", "18 cm"]]),
        (["18", "18 cm", "18 kg"], [["18"], ["18 cm"], ["18 kg"]]),
        (["28", r"28\%", "0.28"], [["0.28", r"28\%"], ["28"]]),
        (["28", r"28\%"], [["28"], [r"28\%"]]),
        (["4", "x=4", "x = 4.0"], [["4", "x = 4.0", "x=4"]]),
        (["4", "x=4", "n=4"], [["4"], ["n=4"], ["x=4"]]),
        (["y=2x+3", "2x-y+3=0", "2x+3"], [["2x+3", "2x-y+3=0", "y=2x+3"]]),
        (["y=2x+3", "2x+3", "f(x)=2x+3"], [["2x+3"], ["f(x)=2x+3"], ["y=2x+3"]]),
        (["3,4", "4,3", "(3,4)", "(4,3)", r"\{3,4\}"], [["(3,4)"], ["(4,3)"], ["3,4", "4,3", r"\{3,4\}"]]),
        (["(0,1)", "0<x<1", r"x \in (0,1)"], [["(0,1)", "0<x<1", r"x \in (0,1)"]]),
        (["1 km", "1000 meters", "1", "1000"], [["1"], ["1 km", "1000 meters"], ["1000"]]),
        (["10:30", "10:30 AM"], [["10:30", "10:30 AM"]]),
        (["10:30", "10:30 AM", "10:30 PM"], [["10:30"], ["10:30 AM"], ["10:30 PM"]]),
        (["7^{7^{7^7}}", "3", "7^{7^{7^7}}", "8^{8^{8^8}}"], [["3"], ["7^{7^{7^7}}", "7^{7^{7^7}}"], ["8^{8^{8^8}}"]]),
        ([r"\frac{\cos x}{\sin x}", r"\cot x", r"\csc x"], [[r"\cot x", r"\frac{\cos x}{\sin x}"], [r"\csc x"]]),
    ],
)
def test_groups_in_every_order(answers: list[str], expected: list[list[str]]) -> None:
    for order in permutations(answers):
        assert groups(list(order)) == sorted(sorted(group) for group in expected)


def test_groups_are_numbered_by_first_occurrence() -> None:
    assert partition([read_answer(text) for text in ("2", "1/2", "0.5", "2", "3")], nullcontext) == [0, 1, 1, 0, 2]


POOL = sorted(
    {answer for pair in EQUAL + DIFFERENT for answer in pair}
    | {"18", "18 cm", "18 s", r"28\%", "28", "0.28", "7^{7^{7^7}}"}
)
POOL += [
    case["answer"]
    for case in shared_cases()
    if isinstance(case["answer"], str) and not case["via"].startswith("extract")
]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(pool=st.lists(st.sampled_from(POOL), min_size=2, max_size=8), order=st.randoms(use_true_random=False))
def test_the_partition_does_not_depend_on_the_order(pool: list[str], order: object) -> None:
    before = groups(pool)
    order.shuffle(pool)  # type: ignore[attr-defined]
    assert groups(pool) == before


@settings(deadline=None, derandomize=True, max_examples=300)
@given(triple=st.tuples(*[st.sampled_from(POOL)] * 3))
def test_strictly_the_same_is_an_equivalence(triple: tuple[str, str, str]) -> None:
    def known(one: str, other: str) -> bool:
        try:
            return same(read_answer(one), read_answer(other), STRICT)
        except Undecided:
            return False

    first, second, third = triple
    assert known(first, first)
    assert known(first, second) == known(second, first)
    if known(first, second) and known(second, third):
        assert known(first, third)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(pool=st.lists(st.sampled_from(POOL), min_size=2, max_size=8), copies=st.integers(1, 3))
def test_an_answer_that_comes_more_often_changes_no_group(pool: list[str], copies: int) -> None:
    assert [sorted(set(group)) for group in groups(pool * copies)] == [sorted(set(group)) for group in groups(pool)]
