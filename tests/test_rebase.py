"""REBASE: how the draws of a round are shared out."""

from drawn_trees import BEYOND, DOUBLING, DRAWN
from search_trees import GROWTH, HandDrawn, play, verdicts

from tasks.methods.rebase import rebase


def test_the_shares_are_consecutive_draws_and_nothing_is_pruned_by_rank() -> None:
    played = play(rebase(GROWTH, 4, DOUBLING), HandDrawn(DRAWN["an early finish"].tree))
    assert played.draws[4:] == [("b", 0), ("b", 1), ("c", 2), ("b/e", 0), ("b/f", 1)]
    assert verdicts(played.result)[(3,)] == ("d", "left")


def test_a_flat_balance_shares_out_evenly() -> None:
    played = play(rebase(GROWTH, 4, 1e9), HandDrawn(DRAWN["plain"].tree, BEYOND))
    assert played.draws[4:] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_a_sharp_balance_gives_all_to_the_best() -> None:
    played = play(rebase(GROWTH, 4, 1e-6), HandDrawn(DRAWN["plain"].tree))
    assert played.draws[4:] == [("a", 0), ("a", 1), ("a", 2), ("a", 3)]


def test_paths_that_ended_take_their_part_of_the_budget() -> None:
    played = play(rebase(GROWTH, 4, DOUBLING), HandDrawn(DRAWN["dead ends further down"].tree))
    # a is at a dead end after three draws and their repeats, but takes one of the budget, as any path that ended
    assert played.draws[-3:] == [("b/g", 0), ("b/g", 1), ("b/g", 2)]
