"""MCTS: which step is opened next, and which paths come back."""

from dataclasses import replace

import pytest
from search_trees import GROWTH, HandDrawn, Tree, found, paths, play, verdicts

from overthink.tasks.methods.mcts import Place, Rule, mcts, promise
from overthink.tasks.methods.requests import Method

BOTH_RULES = pytest.mark.parametrize("rule", ["uct", "puct"])
EXPLORED: Tree = {
    "": ["a 0.8", "b 0.6"],
    "a": ["d 0.7", "e. 0.75"],
    "a/d": ["h 0.9", "i 0.0"],
    "b": ["f. 0.99", "g. 0.1"],
}


def opened(method: Method, tree: Tree) -> tuple[list[str], list[str]]:
    """The paths that were opened, in order, and what was returned."""
    played = play(method, HandDrawn(tree))
    return [path for path, draw in played.draws if draw == 0], paths(played.result)


@BOTH_RULES
def test_without_exploration_the_best_mean_is_followed(rule: Rule) -> None:
    # a stands at 2.25/3 and then at 3.15/5, always before b
    assert opened(mcts(GROWTH, 4, 2, 0.0, rule), EXPLORED) == (["", "a", "a/d"], ["a/e stop", "a/d/h depth"])


def test_uct_explores_what_was_seldom_visited() -> None:
    # N=2: a before b. N=4: a 0.75 + sqrt(ln 4 / 3) = 1.43, b 0.6 + sqrt(ln 4) = 1.78. N=6: a 0.75 + sqrt(ln 6 / 3) =
    # 1.52, b 1.69/3 + 0.77 = 1.34: e. Only d is left of a: it is opened. N=8: a 3.15/5 + sqrt(ln 8 / 5) = 1.27,
    # b 0.56 + sqrt(ln 8 / 3) = 1.40: f
    assert opened(mcts(GROWTH, 4, 2, 1.0, "uct"), EXPLORED) == (["", "a", "b", "a/d"], ["a/e stop", "b/f stop"])


def test_puct_explores_by_the_share_of_the_siblings_values() -> None:
    # The shares are 0.571 and 0.429. N=2: 1.20 0.90. N=4: a 0.75 + 0.571 * 2 / 4 = 1.036, b 0.6 + 0.429 * 2 / 2 =
    # 1.029: e, as 0.75 and a share of 0.517 beat d. Then d is opened. N=6: a 0.63 + 0.571 * 2.449 / 6 = 0.86,
    # b 0.6 + 0.429 * 2.449 / 2 = 1.12. N=8: a 0.63 + 0.571 * 2.828 / 6 = 0.90, b 0.563 + 0.429 * 2.828 / 4 = 0.87: h
    assert opened(mcts(GROWTH, 4, 2, 1.0, "puct"), EXPLORED) == (["", "a", "a/d", "b"], ["a/e stop", "a/d/h depth"])


def test_puct_explores_more_with_a_greater_constant() -> None:
    # N=4: a 0.75 + 4 * 0.286 = 1.89, b 0.6 + 4 * 0.429 = 2.31. N=6: a 0.75 + 4 * 0.350 = 2.15, b 0.563 + 4 * 0.262 =
    # 1.61: e. Then d is opened. N=8: a 0.63 + 4 * 0.269 = 1.71, b 0.563 + 4 * 0.303 = 1.78: f
    assert opened(mcts(GROWTH, 4, 2, 4.0, "puct"), EXPLORED) == (["", "a", "b", "a/d"], ["a/e stop", "b/f stop"])


@pytest.mark.parametrize(("rule", "expected"), [("uct", 2.2323038), ("puct", 1.35)])
def test_a_place_is_as_promising_as_its_mean_and_what_is_unknown_of_it(rule: Rule, expected: float) -> None:
    # 0.75 + 2 * sqrt(ln 9 / 4), and 0.75 + 2 * 0.5 * sqrt(9) / (1 + 4)
    parent, child = Place(None, visits=9, total=4.5), Place(None, prior=0.5, visits=4, total=3.0)
    assert promise(parent, child, 2.0, rule) == pytest.approx(expected, abs=1e-6)


@BOTH_RULES
def test_nothing_is_opened_beyond_the_limit_of_expansions(rule: Rule) -> None:
    # One path of two steps at most: two expansions. a falls to 2.0/3, b is better, and nothing has ended.
    tree = {"": ["a 0.9", "b 0.8"], "a": ["c 0.6", "d 0.5"]}
    growth = replace(GROWTH, max_depth=2)
    played = play(mcts(growth, 2, 2, 0.0, rule), HandDrawn(tree))
    assert [path for path, draw in played.draws if draw == 0] == ["", "a"]


@BOTH_RULES
def test_where_nothing_has_ended_the_best_leaf_is_returned(rule: Rule) -> None:
    # a, opened, is no leaf, though its own value is the best: it falls to 1.1/3, and b is the best leaf.
    tree = {"": ["a 0.9", "b 0.5"], "a": ["c 0.1", "d 0.1"]}
    outcome = play(mcts(replace(GROWTH, max_depth=2), 2, 2, 0.0, rule), HandDrawn(tree)).result
    assert paths(outcome) == ["b depth"]
    assert verdicts(outcome)[(1,)] == ("b", "kept")


def test_of_leaves_that_tie_the_first_is_returned() -> None:
    tree = {"": ["a 0.5", "b 0.4"], "a": ["c 0.2", "d 0.4"]}
    # a, opened, falls to 1.1/3, and b, at 0.4, comes before it; of b and d, which tie, b was drawn first
    assert found(mcts(replace(GROWTH, max_depth=2), 2, 2, 0.0, "uct"), tree) == ["b depth"]


def test_a_finished_path_counts_only_once_the_search_comes_to_it() -> None:
    tree = {"": ["a 0.9", "b 0.8"], "a": ["c. 0.5", "d. 0.1"], "b": ["e. 0.7", "f. 0.6"]}
    # a falls to 1.5/3 with c in sight; b is opened and stays, at 2.1/3, before it
    assert opened(mcts(GROWTH, 4, 2, 0.0, "uct"), tree) == (["", "a", "b"], ["b/e stop", "b/f stop"])


def test_the_search_ends_when_everything_is_closed() -> None:
    tree = {"": ["a. 0.9", "b~"]}
    assert opened(mcts(GROWTH, 8, 2, 1.0, "puct"), tree) == ([""], ["a stop"])


@BOTH_RULES
def test_a_leaf_at_a_dead_end_is_kept_as_its_path_is_returned(rule: Rule) -> None:
    outcome = play(mcts(GROWTH, 2, 2, 0.0, rule), HandDrawn({"": ["a 0.9", "b 0.8"], "a": ["c~", ""]})).result
    assert paths(outcome) == ["a dead_end"]
    assert verdicts(outcome)[(0,)] == ("a", "kept")
