"""DVTS: subtrees beside one another, each of which follows its best step."""

from drawn_trees import DRAWN
from search_trees import GROWTH, HandDrawn, found, play, verdicts

from overthink.tasks.methods.dvts import dvts


def test_subtrees_keep_their_own_draws() -> None:
    played = play(dvts(GROWTH, 4, 2), HandDrawn(DRAWN["plain"].tree))
    assert sorted(played.draws) == [("", 0), ("", 1), ("", 2), ("", 3), ("a", 0), ("a", 1), ("c", 2), ("c", 3)]


def test_a_subtree_goes_on_while_another_has_ended() -> None:
    tree = {"": ["a. 0.9", "b 0.5", "c 0.4", "d 0.3"], "c": ["e 0.1", "f 0.2"], "c/f": ["g. 0.7", "h. 0.6"]}
    assert found(dvts(GROWTH, 4, 2), tree) == ["a stop", "c/f/g stop"]


def test_a_finished_sibling_of_a_better_step_is_lost() -> None:
    tree = {"": ["a. 0.5", "b 0.9"], "b": ["c. 0.1", "d 0.0"]}
    assert found(dvts(GROWTH, 2, 2), tree) == ["b/c stop"]
    assert found(dvts(GROWTH, 2, 2, siblings=True), tree) == ["b/c stop"]


def test_siblings_are_kept_with_the_best_step() -> None:
    outcome = play(dvts(GROWTH, 4, 2, siblings=True), HandDrawn(DRAWN["an early finish"].tree)).result
    assert verdicts(outcome) == {
        (0,): ("a", "kept"),
        (1,): ("b", "left"),
        (2,): ("c", "kept"),
        (3,): ("d", "left"),
        (2, 2): ("i", "kept"),
        (2, 3): ("j", "kept"),
    }
