"""Searches that score several steps at once: paths grow to the end of a block before one is chosen."""

from dataclasses import replace
from typing import Any

import pytest
from drawn_trees import ALL, SHARPEST
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import searched
from search_trees import GROWTH, DrawnByLot, HandDrawn, Tree, found, paths, play, scores_of, verdicts

from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.dvts import dvts
from overthink.tasks.methods.mcts import mcts
from overthink.tasks.methods.particle_filtering import particle_filtering
from overthink.tasks.methods.rebase import rebase

BY_TWO = replace(GROWTH, granularity=2, max_depth=4)

# The first steps' scores would choose a and b; those of the blocks' last steps choose c/g and then a/e.
TREE: Tree = {
    "": ["a 0.9", "b 0.8", "c 0.3", "d 0.2"],
    "a": ["e 0.5"],
    "b": ["", "f. 0.4"],
    "c": ["", "", "g 0.7"],
    "d": ["", "", "", "h 0.1"],
    "a/e": ["i. 0.2", "j. 0.3", "k. 0.8", "l. 0.35"],
    "c/g": ["m 0.9", "n 0.6"],
    "c/g/m": ["o. 0.4"],
    "c/g/n": ["", "p 0.45"],
}


def test_beam_search_goes_on_from_the_best_blocks() -> None:
    played = play(beam_search(BY_TWO, 4, 2), HandDrawn(TREE))
    # of e 0.5, f 0.4, g 0.7 and h 0.1 the blocks of g and e go on; then o 0.4 and p 0.45, k 0.8 and l 0.35
    assert paths(played.result) == ["a/e/k stop", "c/g/n/p depth"]
    assert played.scored_paths == ["a/e", "b/f", "c/g", "d/h", "a/e/k", "a/e/l", "c/g/m/o", "c/g/n/p"]
    assert scores_of(played.result) == [(0.9, 0.5, 0.8), (0.3, 0.7, 0.6, 0.45)], "all steps of a block have theirs"


def test_the_steps_within_a_kept_block_are_kept() -> None:
    fate = verdicts(play(beam_search(BY_TWO, 4, 2), HandDrawn(TREE)).result)
    assert {text for text, verdict in fate.values() if verdict == "kept"} == {"a", "e", "k", "c", "g", "n", "p"}


def test_dvts_chooses_once_a_block() -> None:
    assert found(dvts(BY_TWO, 4, 2), TREE) == ["a/e/j stop", "c/g/n/p depth"]


def test_particles_are_resampled_once_a_block() -> None:
    played = play(particle_filtering(BY_TWO, 4, 1, SHARPEST, seed=0), HandDrawn(TREE | {"c/g": ["m 0.9"]}))
    assert paths(played.result) == ["c/g/m/o stop"] * 4


def test_a_particle_follows_the_path_of_the_iteration_before_block_by_block() -> None:
    tree: Tree = {
        "": ["a 0.1", "b 0.2", "-", "c 0.3"],
        "a": ["e 0.9"],
        "b": ["-", "f 0.4"],
        "c": ["-", "-", "-", "g 0.95"],
        "a/e": ["h 0.5", "i 0.5"],
        "a/e/h": ["j. 0.8"],
        "a/e/i": ["-", "k. 0.7"],
        "c/g": ["-", "-", "-", "l 0.5"],
        "c/g/l": ["-", "-", "-", "m. 0.6"],
    }
    played = play(particle_filtering(BY_TWO, 4, 2, SHARPEST, seed=0), HandDrawn(tree))
    # c/g beats a/e, which is followed; then a/e/h/j beats c/g/l/m
    assert paths(played.result) == ["a/e/h/j stop"] * 3


def test_rebase_divides_its_budget_by_blocks() -> None:
    # e 0.5 f 0.4 g 0.7 h 0.1 at balance 0.001: all that is left goes on from g; f is finished and keeps its slot
    assert found(rebase(BY_TWO, 4, 0.001), TREE | {"c/g": ["m 0.9"]}) == ["b/f stop", "c/g/m/o stop"]


def test_mcts_opens_blocks() -> None:
    tree: Tree = {
        "": ["a 0.1", "b 0.9"],
        "a": ["c 0.6"],
        "b": ["", "d 0.2"],
        "a/c": ["e. 0.5", "f. 0.55"],
    }
    assert found(mcts(BY_TWO, 4, 2, 0.0, "uct"), tree) == ["a/c/f stop", "a/c/e stop"]


def test_a_block_ends_with_its_path() -> None:
    tree: Tree = {"": ["a. 0.3", "b 0.9"], "b": ["", "c 0.2"]}
    assert found(beam_search(BY_TWO, 2, 2), tree) == ["a stop"]


def test_a_block_is_no_candidate_where_one_of_its_steps_is_none() -> None:
    tree: Tree = {"": ["a 0.9", "b 0.1"], "a": ["c~"], "b": ["", "d. 0.2"]}
    played = play(beam_search(BY_TWO, 2, 2), HandDrawn(tree))
    assert paths(played.result) == ["b/d stop"]
    assert verdicts(played.result)[(0,)] == ("a", "left")


def test_where_no_block_is_a_candidate_blocks_are_drawn_again_from_their_first_steps() -> None:
    tree: Tree = {"": ["a 0.9"], "retry 2": ["b 0.1"], "a": ["c~"], "b": ["d. 0.2"]}
    played = play(beam_search(BY_TWO, 1, 1), HandDrawn(tree))
    assert paths(played.result) == ["b/d stop"]
    assert [draw for _, draw in played.draws] == [0, 0, 1_000_000, 1_000_000, 2_000_000, 2_000_000]


def test_where_all_draws_meet_such_steps_the_path_is_at_a_dead_end() -> None:
    assert found(beam_search(BY_TWO, 1, 1), {"": ["a 0.9"], "a": ["c~"]}) == ["dead_end"]


def test_an_end_straight_after_a_step_is_valued_as_that_step() -> None:
    tree: Tree = {"": ["a 0.4", "b 0.3"], "a": ["."], "b": ["", "c. 0.2"]}
    played = play(beam_search(BY_TWO, 2, 2), HandDrawn(tree))
    assert paths(played.result) == ["a/ stop"]
    assert played.scored_paths == ["a", "b/c"]


def test_looking_ahead_begins_at_the_end_of_a_block() -> None:
    tree: Tree = {"": ["a 0.4", "b 0.3"], "a": ["c 0.9"], "b": ["", "d 0.2"]}
    tree |= {"a/c greedy": ["x. 0.1"], "b/d greedy": ["y. 0.7"], "b/d": ["e. 0.5", "f. 0.6"]}
    played = play(beam_search(replace(BY_TWO, lookahead=1), 2, 2), HandDrawn(tree))
    assert paths(played.result) == ["b/d/f stop"]
    assert scores_of(played.result) == [(0.3, 0.2, 0.6)]


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 1_000_000), granularity=st.integers(2, 5))
@settings(max_examples=15, deadline=None)
def test_every_step_of_what_is_returned_is_scored_once(name: str, seed: int, granularity: int) -> None:
    growth = replace(GROWTH, granularity=granularity, max_depth=4)
    played = play(ALL[name](growth), DrawnByLot(seed))
    for rollout in played.result.rollouts:
        assert len(rollout.scores or ()) == len([part for part in rollout.path if part.text.strip()])
    ranked = [node for node in played.result.nodes if node.value is not None]
    assert all(len(node.address) % granularity == 0 or node.stop for node in ranked)


def test_by_confidence_a_block_counts_as_one() -> None:
    played = play(beam_search(replace(BY_TWO, value="confidence"), 4, 2), Confident(TREE))
    assert played.scored == []
    values = {path.sample.text: path.value for path in played.result.nodes if path.value is not None}
    assert values["e"] == pytest.approx(0.5), "the mean confidence of its steps is 1"


class Confident(HandDrawn):
    """A policy that is as sure of a first step as it is unsure of the second."""

    def sample(self, request: Any) -> Any:
        sample = super().sample(request)
        sure = 2.0 if len(request.path) % 2 == 0 else 0.0
        return replace(sample, confidences=(sure,) * len(sample.tokens))


def test_only_a_granularity_of_its_own_is_in_the_key() -> None:
    plain = {"method": "dvts", "n": 8}
    assert searched({**plain, "granularity": 1}).make_key == searched(plain).make_key
    assert searched({**plain, "granularity": 2}).make_key != searched(plain).make_key
