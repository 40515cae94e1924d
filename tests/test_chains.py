"""Chains: arithmetic, solutions, splits and generation."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.datasets.chains import (
    LARGEST_VALUE,
    LONGEST_CHAIN,
    MOST_DRAWS,
    SMALLEST_VALUE,
    Chain,
    Operation,
    draw_chain,
    generate_chains,
    right_steps,
)
from overthink.tasks.datasets.splits import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CHAIN = Chain(12, (Operation("+", 30), Operation("*", 3), Operation("-", 26)))


def test_question_values_and_solution_by_hand() -> None:
    assert CHAIN.question == "Take 12, plus 30, times 3, minus 26. What is the result?"
    assert CHAIN.values == [42, 126, 100]
    assert CHAIN.solution == "12+30=42\n\n42*3=126\n\n126-26=100\n\n\\boxed{100}"


def generated() -> list[Chain]:
    return [chain for split in SPLITS for chain in generate_chains(split, 120, 1, 12, seed=3)]


def test_values_equal_the_spoken_arithmetic_and_stay_in_range() -> None:
    for chain in generated():
        start, *spoken = re.findall(r"\d+|plus|minus|times", chain.question)
        value, values = int(start), []
        for word, operand in zip(spoken[::2], map(int, spoken[1::2]), strict=True):
            value = {"plus": value + operand, "minus": value - operand, "times": value * operand}[word]
            values.append(value)
        assert chain.values == values
        assert all(SMALLEST_VALUE <= value <= LARGEST_VALUE for value in values)


def test_every_line_of_a_solution_is_true_arithmetic() -> None:
    for chain in generated():
        *worked, last = chain.solution.split("\n\n")
        for line in worked:
            a, symbol, b, after = re.fullmatch(r"(\d+)([-+*])(\d+)=(\d+)", line).groups()  # type: ignore[union-attr]
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[symbol] == int(after)
        assert last == f"\\boxed{{{chain.values[-1]}}}"


def test_the_solution_is_right_by_right_steps() -> None:
    assert all(all(right_steps(chain, chain.solution.split("\n\n"))) for chain in generated())


@settings(deadline=None, derandomize=True, max_examples=100)
@given(data=st.data(), length=st.integers(1, 12))
def test_one_wrong_digit_makes_its_step_and_all_later_ones_wrong(data: st.DataObject, length: int) -> None:
    (chain,) = generate_chains("train", 1, length, length, seed=1)
    steps = chain.steps
    wrong = data.draw(st.integers(0, len(steps) - 1))
    digits = [match.start() for match in re.finditer(r"\d", steps[wrong])]
    place = data.draw(st.sampled_from(digits))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != steps[wrong][place]]))
    steps[wrong] = steps[wrong][:place] + digit + steps[wrong][place + 1 :]
    assert right_steps(chain, steps) == [index < wrong for index in range(len(steps))]


def test_steps_after_the_end_are_wrong() -> None:
    assert right_steps(CHAIN, [*CHAIN.steps, "100+1=101"]) == [True] * 4 + [False]


def test_a_step_left_out_makes_the_later_ones_wrong() -> None:
    assert right_steps(CHAIN, [CHAIN.steps[0], *CHAIN.steps[2:]]) == [True, False, False]


def test_a_chain_of_one_split_belongs_to_it() -> None:
    for split in SPLITS:
        assert {chain.split for chain in generate_chains(split, 60, 1, 12, seed=9)} == {split}


def test_no_test_chain_appears_in_training() -> None:
    trained = {
        chain.question for seed in (0, 1, 2, 3) for chain in generate_chains("train", 5_000, 1, LONGEST_CHAIN, seed)
    }
    assert len(trained) > 18_000
    tested = [chain for seed in (0, 1, 2, 3) for chain in generate_chains("test", 300, 1, LONGEST_CHAIN, seed)]
    assert not trained & {chain.question for chain in tested}


def test_splits_never_change() -> None:
    # Written down once: another hash would move test problems into the training of models already trained.
    splits = [Chain(start, (Operation("+", 10),)).split for start in range(10, 22)]
    assert splits == [*["train"] * 2, *["test"] * 2, *["train"] * 7, "validation"]


def test_generation_is_deterministic_and_distinct() -> None:
    chains = generate_chains("test", 300, 1, 5, seed=0)
    assert chains == generate_chains("test", 300, 1, 5, seed=0)
    assert len({chain.question for chain in chains}) == 300


def test_another_seed_draws_other_chains() -> None:
    assert not set(generate_chains("test", 20, 6, 12, 0)) & set(generate_chains("test", 20, 6, 12, 1))


def test_fewer_chains_are_the_first_of_more() -> None:
    assert generate_chains("test", 50, 1, 12, 0) == generate_chains("test", 90, 1, 12, 0)[:50]


def test_lengths_cycle() -> None:
    assert [len(chain.operations) for chain in generate_chains("test", 7, 2, 4, 0)] == [2, 3, 4, 2, 3, 4, 2]


def test_too_many_chains_are_refused_before_long(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = 0

    def counted(source: random.Random, length: int) -> Chain:
        nonlocal draws
        draws += 1
        return draw_chain(source, length)

    monkeypatch.setattr("overthink.tasks.datasets.chains.draw_chain", counted)
    with pytest.raises(ValueError, match="too few distinct chains of 1 operations"):
        generate_chains("test", 100_000, 1, 1, seed=0)
    assert MOST_DRAWS < draws < 10 * MOST_DRAWS


@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (4, 3), (1, 13), (-1, -1)])
def test_lengths_out_of_range_are_refused(shortest: int, longest: int) -> None:
    with pytest.raises(ValueError, match="must lie within"):
        generate_chains("test", 1, shortest, longest, seed=0)
