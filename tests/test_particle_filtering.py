"""Particle filtering: how particles are weighed and resampled, and how Gibbs iterations follow one another."""

from random import Random

import pytest
from drawn_trees import BEYOND, DRAWN, SHARPEST
from search_trees import GROWTH, HandDrawn, found, paths, play, verdicts, written

from overthink.tasks.methods.particle_filtering import odds_weights, particle_filtering
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
