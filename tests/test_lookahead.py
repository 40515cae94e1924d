"""Searches that rank a step by what a greedy path comes to behind it."""

from dataclasses import replace

import pytest
from drawn_trees import BEYOND
from search_trees import GROWTH, HandDrawn, Tree, found, paths, play, scores_of

from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.dvts import dvts

LOOKING_AHEAD: Tree = {
    "": ["a 0.9", "b 0.6", "c 0.5", "d 0.4"],
    "a greedy": ["x 0.1"],
    "b greedy": ["y 0.3"],
    "c greedy": ["z. 0.8"],
    "d greedy": ["w 0.7"],
    "b": ["k. 0.2", "l. 0.1"],
    "c": ["e. 0.2", "f. 0.3"],
    "d": ["g 0.5", "h 0.6"],
    "d/g greedy": ["u. 0.9"],
    "d/h greedy": ["v. 0.1"],
    "d/g": ["i. 0.4", "j. 0.35"],
}


def test_beam_search_that_looks_one_step_ahead() -> None:
    played = play(beam_search(replace(GROWTH, lookahead=1), 4, 2), HandDrawn(LOOKING_AHEAD))
    # 0.1 0.3 0.8 0.7: c and d go on; e 0.2, f 0.3, g 0.9 (h 0.1): g goes on beside f, which is finished
    assert paths(played.result) == ["c/f stop", "d/g/i stop"]
    assert scores_of(played.result) == [(0.5, 0.3), (0.4, 0.5, 0.4)], "the steps' own"
    assert played.scored_paths == [
        *("a/x", "b/y", "c/z", "d/w"),
        *("c/e", "c/f", "d/g/u", "d/h/v"),
        *("d/g/i", "d/g/j"),
    ]


def test_dvts_that_looks_one_step_ahead() -> None:
    played = play(dvts(replace(GROWTH, lookahead=1), 4, 2), HandDrawn(LOOKING_AHEAD))
    assert paths(played.result) == ["b/k stop", "c/f stop"]
    assert scores_of(played.result) == [(0.6, 0.2), (0.5, 0.3)]


LOOKING_FURTHER: Tree = {
    "": ["a 0.9", "b 0.5"],
    "a greedy": ["x 0.8"],
    "a/x greedy": ["y 0.2"],
    "b greedy": ["z 0.1"],
    "b/z greedy": ["w 0.7"],
    "b": ["c. 0.3", "d 0.1"],
    "b/d greedy": ["q. 0.9"],
    "b/d": ["e. 0.5", "f. 0.6"],
}


@pytest.mark.parametrize("name", ["beam_search", "dvts"])
def test_looking_two_steps_ahead(name: str) -> None:
    growth = replace(GROWTH, lookahead=2)
    method = beam_search(growth, 2, 2) if name == "beam_search" else dvts(growth, 2, 2)
    played = play(method, HandDrawn(LOOKING_FURTHER))
    # a 0.2, b 0.7; then c 0.3, which is finished, and d 0.9, where the greedy path ends after one step
    assert paths(played.result) == ["b/d/f stop"]
    assert scores_of(played.result) == [(0.5, 0.1, 0.6)]
    ahead = [(path, draw) for path, draw in played.draws if path in ("a", "a/x", "b/z")]
    assert ahead == [("a", 0), ("a/x", 0), ("b/z", 1)]


def test_a_path_that_ends_straight_after_a_step_is_ranked_by_what_was_seen_ahead_of_that_step() -> None:
    tree = {"": ["a 0.1", "b 0.3"], "a greedy": ["x 0.8"], "b greedy": ["y 0.2"], "a": [".", "c. 0.7"]}
    assert found(dvts(replace(GROWTH, lookahead=1), 2, 2), tree) == ["a/ stop"]


def test_looking_ahead_costs_k_more_draws_a_step() -> None:
    tree = {"": ["a 0.5", "b 0.5", "c 0.5", "d 0.5"]}
    for letter in "abcd":
        tree |= {f"{letter} greedy": ["x 0.5"], f"{letter}/x greedy": ["y 0.5"]}
    played = play(beam_search(replace(GROWTH, lookahead=2), 4, 2), HandDrawn(tree, BEYOND))
    assert len(played.generated) == 4 * (2 + 1) + 4
    assert sum(node.lookahead_tokens for node in played.result.nodes) == 4 * 4, "x, y and two delimiters, four times"
