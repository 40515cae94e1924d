"""Particle filtering: how particles are weighed and resampled, and how Gibbs iterations follow one another."""

from dataclasses import replace
from random import Random

import pytest
from drawn_trees import BEYOND, DRAWN, SHARPEST
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import searched
from search_trees import GROWTH, DrawnByLot, HandDrawn, Tree, content, found, paths, play, verdicts, written

from overthink.tasks.methods.particle_filtering import entropic_temperature, odds_weights, particle_filtering
from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.tree import Node

FIRST_LOTS = (0.844, 0.758, 0.421, 0.259, 0.511, 0.405, 0.784, 0.303)  # what Random(0) draws


def test_the_lots_are_what_the_expected_paths_were_worked_out_with() -> None:
    source = Random(0)
    assert tuple(round(source.random(), 3) for _ in FIRST_LOTS) == FIRST_LOTS


def test_particles_are_resampled_by_the_odds_of_their_scores() -> None:
    # odds of 4, 1, 1 and 1/4 of 6.25: the lots, at 5.28, 4.74, 2.63 and 1.62, pick c, b, a and a
    tree = {
        "": ["a 0.8", "b 0.5", "c 0.5", "d 0.2"],
        "a": ["-", "-", "g. 0.5", "h. 0.5"],
        "b": ["-", "f. 0.5"],
        "c": ["e. 0.5"],
    }
    played = play(particle_filtering(GROWTH, 4, 1, 1.0, seed=0), HandDrawn(tree))
    assert played.draws[4:] == [("c", 0), ("b", 1), ("a", 2), ("a", 3)]
    # then 3rd, 2nd, 4th and 2nd of four that tie
    assert paths(played.result) == ["a/g stop", "b/f stop", "a/h stop", "b/f stop"]
    assert verdicts(played.result)[(3,)] == ("d", "left")


def test_a_high_temperature_evens_the_odds_out() -> None:
    # at 1e9 all four weigh the same: 4th, 4th, 2nd, 2nd, as in a tie
    tree = {"": ["a 0.8", "b 0.5", "c 0.5", "d 0.2"]}
    played = play(particle_filtering(GROWTH, 4, 1, 1e9, seed=0), HandDrawn(tree, BEYOND))
    assert played.draws[4:] == [("d", 0), ("d", 1), ("b", 2), ("b", 3)]


def valued(*values: float) -> list[Node]:
    return [Node(None, draw, written("a"), None, value=value) for draw, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "temperature", "expected"),
    [
        ((0.8, 0.5, 0.2), 1.0, [1, 1 / 4, 1 / 16]),
        ((0.5, 0.8), 0.5, [1 / 16, 1]),
        ((0.5, 0.8), 2.0, [1 / 2, 1]),
        ((0.3, 0.3), 0.01, [1, 1]),
        ((1.0, 1.0, 0.0), 1.0, [1, 1, 1e-12]),
    ],
)
def test_weights_are_odds_to_the_power_of_one_over_the_temperature(
    values: tuple[float, ...], temperature: float, expected: list[float]
) -> None:
    assert odds_weights(valued(*values), temperature) == pytest.approx(expected, rel=1e-5)


def test_a_finished_particle_is_resampled_with_the_others() -> None:
    tree = {"": ["x 0.1", "a. 0.4", "b 0.4"], "b": ["c. 0.9"]}
    # of a and b the lots pick b, b, a; then c, drawn twice, takes the place of a
    played = play(particle_filtering(GROWTH, 3, 1, SHARPEST, seed=0), HandDrawn(tree))
    assert played.draws[3:] == [("b", 0), ("b", 1)]
    assert paths(played.result) == ["b/c stop"] * 3


def gibbs(n: int, iterations: int) -> Method:
    return particle_filtering(GROWTH, n, iterations, SHARPEST, seed=0)


def test_in_the_next_iteration_the_first_particle_follows_a_path_of_the_one_before() -> None:
    tree = {"": ["a 0.9", "b 0.5", "-", "c 0.95"], "a": ["d. 0.8", "e. 0.6"], "c": ["-", "f. 0.7"]}
    played = play(gibbs(4, 2), HandDrawn(tree))
    assert played.draws == [("", 0), ("", 1), ("a", 0), ("a", 1), ("", 3), ("c", 3)]
    # c goes on beside a, which is followed; then d, the next step of that path, beats f
    assert paths(played.result) == ["a/d stop", "a/d stop", "a/d stop"]


def test_a_particle_may_leave_the_path_that_is_followed() -> None:
    tree = {"": ["a 0.9", "b 0.5", "-", "c 0.1"], "a": ["d. 0.8", "e. 0.6", "-", "g. 0.99"]}
    played = play(gibbs(4, 2), HandDrawn(tree))
    assert played.draws[4:] == [("", 3), ("a", 3)]
    assert paths(played.result) == ["a/d stop", "a/d stop", "a/g stop"]


def test_a_particle_may_end_before_the_path_that_is_followed() -> None:
    tree = {"": ["a 0.9", "b 0.5", "-", "c. 0.95"], "a": ["d. 0.8", "e. 0.6"]}
    assert found(gibbs(4, 2), tree) == ["a/d stop", "a/d stop", "c stop"]


def test_a_particle_may_outlast_the_path_that_is_followed() -> None:
    tree = {"": ["a. 0.6", "b. 0.5", "-", "c 0.7"], "c": ["-", "d 0.8"], "c/d": ["-", "e. 0.9"]}
    assert found(gibbs(4, 2), tree) == ["a stop", "a stop", "c/d/e stop"]


def test_each_iteration_follows_the_one_just_before() -> None:
    tree = {"": ["a. 0.6", "b. 0.3", "-", "c. 0.9", "-", "d. 0.7"]}
    assert found(gibbs(6, 3), tree) == ["a stop", "a stop", "c stop", "c stop"], "d beats a, but not c"


def test_an_iteration_at_a_dead_end_leaves_the_path_to_follow() -> None:
    tree = {"": ["a. 0.6", "b. 0.3", "-", "c~", "-", "d. 0.5"]}
    played = play(gibbs(6, 3), HandDrawn(tree))
    assert paths(played.result) == ["a stop", "a stop", "dead_end", "a stop"]


def test_without_a_finished_path_there_is_none_to_follow() -> None:
    tree = {"": ["a~", "b~", "c. 0.6", "d. 0.5"]}
    assert found(gibbs(4, 2), tree) == ["dead_end", "dead_end", "c stop", "c stop"]


def test_the_seed_decides() -> None:
    outcomes = {tuple(found(particle_filtering(GROWTH, 4, 1, 1.0, seed), DRAWN["ties"].tree)) for seed in range(8)}
    assert len(outcomes) > 1


@pytest.mark.parametrize(
    ("values", "progress", "temperature"),
    [
        ((0.5, 0.5, 0.5, 0.5), 0.1, 1.0),  # all weigh the same: r = 1
        ((1.0, 0.0, 0.0, 0.0), 0.1, 3.6),  # one weighs all: r = 1/4, 4 * (1 - 0.1)
        ((1.0, 0.0, 0.0, 0.0), 0.25, 3.0),
        ((1.0, 0.0, 0.0, 0.0), 0.5, 1.0),  # no longer early
        ((1.0, 0.0, 0.0, 0.0), 2.0, 1.0),
        ((1.0, 1.0, 0.0, 0.0), 0.1, 1.0),  # r = 1/2 has not collapsed
        ((1.0, 1.0, 0.0, 0.0, 0.0), 0.1, 2.25),  # r = 2/5, 2.5 * 0.9
        ((0.8, 0.5, 0.5, 0.2), 0.1, 1.0),  # odds of 4, 1, 1, 1/4: r = 6.25 ** 2 / 18.0625 / 4 = 0.54
        ((0.9, 0.5, 0.5, 0.1), 0.1, 2.4206),  # odds of 9, 1, 1, 1/9: r = 123.457 / 83.0123 / 4
        ((0.3,), 0.1, 1.0),  # one particle is all there are
    ],
)
def test_the_entropic_temperature_by_hand(values: tuple[float, ...], progress: float, temperature: float) -> None:
    assert entropic_temperature(valued(*values), progress) == pytest.approx(temperature, rel=1e-3)


@pytest.mark.parametrize("iterations", [1, 2])
@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=30, deadline=None)
def test_where_the_temperature_is_1_the_entropic_filter_is_the_plain_one(iterations: int, seed: int) -> None:
    # After the first of two steps it is no longer early.
    growth = replace(GROWTH, max_depth=2)
    entropic, plain = (
        play(particle_filtering(growth, 4, iterations, heat, seed), DrawnByLot(seed)) for heat in (None, 1.0)
    )
    assert content(entropic.result) == content(plain.result)
    assert entropic.draws == plain.draws


def test_where_no_weights_collapse_the_entropic_filter_is_the_plain_one() -> None:
    entropic, plain = (
        found(particle_filtering(replace(GROWTH, max_depth=9), 4, 1, heat, 0), DRAWN["ties"].tree)
        for heat in (None, 1.0)
    )
    assert entropic == plain == DRAWN["ties"].particles


def test_a_collapse_is_evened_out_early_and_left_alone_later() -> None:
    tree: Tree = {
        "": ["a 0.999", "b 0.5", "c 0.5", "d 0.5"],
        "a": ["e. 0.5"],
        "b": ["f. 0.5"],
        "c": ["g. 0.5"],
        "d": ["h. 0.5"],
    }
    shallow = play(particle_filtering(replace(GROWTH, max_depth=2), 4, 1, None, seed=0), HandDrawn(tree))
    assert [path for path, _ in shallow.draws[4:]] == ["a"] * 4, "after the first of two steps it is no longer early"
    # After one of ten: r is 1/4 and a little, T = 3.6, odds of 999 ** (1 / 3.6) = 6.9 to 1: the lots, of 9.9, at 8.3,
    # 7.5, 4.2 and 2.6, pick c, b, a and a
    deep = play(particle_filtering(replace(GROWTH, max_depth=10), 4, 1, None, seed=0), HandDrawn(tree))
    assert [path for path, _ in deep.draws[4:]] == ["c", "b", "a", "a"]


def test_only_an_entropic_tempering_is_in_the_key() -> None:
    plain = {"method": "particle_filtering", "n": 8}
    assert searched({**plain, "tempering": "fixed"}).make_key == searched(plain).make_key
    assert searched({**plain, "tempering": "entropic"}).make_key != searched(plain).make_key
