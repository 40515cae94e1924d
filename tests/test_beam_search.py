"""Beam search, as the paper has it and as search-and-learn does."""

from drawn_trees import DRAWN
from search_trees import GROWTH, RETRY, HandDrawn, found, paths, play, scores_of, verdicts

from overthink.tasks.methods.beam_search import beam_search, beam_search_hf


def test_the_kept_beams_share_the_numbers_of_the_draws() -> None:
    played = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["plain"].tree))
    assert played.draws == [("", 0), ("", 1), ("", 2), ("", 3), ("a", 0), ("a", 1), ("b", 2), ("b", 3)]


def test_a_finished_path_keeps_its_slot() -> None:
    played = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["an early finish"].tree))
    # a has one of the two slots for good: c never gets one, and e loses to f
    assert played.draws[4:] == [("b", 0), ("b", 1), ("b/f", 0), ("b/f", 1)]


def test_a_finished_path_outside_the_best_gets_no_slot() -> None:
    tree = {"": ["a. 0.1", "b 0.5", "c 0.4", "d. 0.2"], "b": ["e. 0.3", "f. 0.2"], "c": ["g. 0.6", "h~"]}
    assert found(beam_search(GROWTH, 4, 2), tree) == ["c/g stop", "b/e stop"]


def test_a_dead_end_keeps_its_slot() -> None:
    played = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["dead ends further down"].tree))
    retries = [("a", draw + attempt * RETRY) for attempt in range(4) for draw in (0, 1)]
    assert [draw for draw in played.draws if draw[0] == "a"] == retries
    # the width left is one: g goes on alone, and f, which is finished beside it, is not returned
    assert [draw for draw in played.draws if draw[0] == "b/g"] == [("b/g", 0), ("b/g", 1)]
    assert verdicts(played.result)[(1, 2)] == ("f", "left")


def test_what_became_of_every_step() -> None:
    outcome = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["the end straight after a step"].tree)).result
    assert verdicts(outcome) == {
        (0,): ("a", "kept"),
        (1,): ("b", "kept"),
        (2,): ("c", "left"),
        (3,): ("d", "left"),
        (0, 0): ("", "kept"),
        (0, 1): ("e", "left"),
        (1, 2): ("f", "kept"),
        (1, 3): ("", "left"),
    }


def test_a_path_that_ends_straight_after_a_step_asks_no_prm_and_inherits_its_value() -> None:
    played = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["the end straight after a step"].tree))
    assert played.scored_paths == ["a", "b", "c", "d", "a/e", "b/f"]
    inherited = {node.address: (node.score, node.value) for node in played.result.nodes if not node.sample.text}
    assert inherited == {(0, 0): (None, 0.6), (1, 3): (None, 0.5)}
    assert scores_of(played.result) == [(0.6,), (0.5, 0.55)]


def test_dropped_steps_stay_in_the_tree() -> None:
    outcome = play(beam_search(GROWTH, 4, 2), HandDrawn(DRAWN["cut and blank steps"].tree)).result
    assert verdicts(outcome) == {
        (0,): ("a", "length"),
        (1,): ("b", "kept"),
        (2,): ("", "blank"),
        (3,): ("c", "kept"),
        (1, 2): ("d", "length"),
        (1, 3): ("e", "kept"),
        (1, 3, 0): ("g", "kept"),
        (1, 3, 1): ("h", "length"),
        (3, 0): ("f", "kept"),
        (3, 1): ("\\boxed{9}", "length"),
    }


def test_beams_are_ordered_best_first_when_they_share_the_draws() -> None:
    tree = {"": ["a 0.5", "b 0.9", "c 0.7", "d 0.1"], "b": ["e. 0.1", "f. 0.2"], "c": ["g. 0.3", "h. 0.4"]}
    played = play(beam_search(GROWTH, 4, 2), HandDrawn(tree))
    assert played.draws[4:] == [("b", 0), ("b", 1), ("c", 2), ("c", 3)]
    assert paths(played.result) == ["c/h stop", "c/g stop"], "both of one beam, where they are the best"


def test_finished_beams_leave_and_the_others_are_repeated_up_to_n() -> None:
    played = play(beam_search_hf(GROWTH, 4, 2), HandDrawn(DRAWN["cut and blank steps"].tree))
    # c and b go on; c/f finishes and leaves; all four draws go to b/e
    assert played.draws[4:] == [
        *(("c", 0), ("c", 1), ("b", 2), ("b", 3)),
        *(("b/e", 0), ("b/e", 1), ("b/e", 2), ("b/e", 3)),
    ]


def test_beams_that_do_not_divide_n_are_repeated_unevenly_the_best_more_often() -> None:
    tree = {"": ["a. 0.9", "b 0.5", "c 0.6"], "c": ["d. 0.1", "e. 0.2"], "b": ["f.", "g.", "h. 0.3"]}
    played = play(beam_search_hf(GROWTH, 3, 1), HandDrawn(tree))
    assert played.draws[3:] == [("c", 0), ("c", 1), ("b", 2)]
    assert paths(played.result) == ["a stop", "b/h stop", "c/e stop"]


def test_it_ends_once_n_paths_are_finished() -> None:
    tree = {"": ["a. 0.3", "b 0.9"], "b": ["c. 0.5", "d 0.8"]}
    played = play(beam_search_hf(GROWTH, 2, 1), HandDrawn(tree))
    assert paths(played.result) == ["b/c stop", "a stop"]
    assert ("b/d", 0) not in played.draws


def test_of_more_than_n_finished_paths_the_best_are_returned() -> None:
    tree = {"": ["a. 0.3", "b 0.9"], "b": ["c. 0.5", "d. 0.4"]}
    outcome = play(beam_search_hf(GROWTH, 2, 1), HandDrawn(tree)).result
    assert paths(outcome) == ["b/c stop", "b/d stop"]
    assert verdicts(outcome)[(0,)] == ("a", "left")


def test_dead_ends_come_last_the_best_first_and_only_up_to_n() -> None:
    tree = {
        "": ["x 0.3", "y 0.2", "w. 0.1", "x"],
        "x": ["a~", "b~"],
        "y": ["", "z 0.9"],
        "y/z": ["c~", "", "d~", "e~"],
    }
    assert found(beam_search_hf(GROWTH, 4, 2), tree) == ["w stop", "y/z dead_end", "x dead_end"]


def test_finished_paths_leave_no_room_for_dead_ends() -> None:
    tree = {"": ["a. 0.3", "b 0.9", "c 0.8"], "b": ["d~"], "c": ["e. 0.5", "f. 0.4", "g. 0.2"]}
    # b and c go on with draws 0, 1 and 2: b is dead, c gets its third; a and g are finished, and there is room for b
    assert found(beam_search_hf(GROWTH, 3, 1), tree) == ["a stop", "c/g stop", "b dead_end"]
    tree["c"] = ["e 0.5", "f 0.4", "g 0.7"]
    tree["c/g"] = ["h. 0.6", "i. 0.5", "j. 0.1"]
    assert found(beam_search_hf(GROWTH, 3, 1), tree) == ["c/g/h stop", "c/g/i stop", "a stop"]
