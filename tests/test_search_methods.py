"""Every search against trees drawn by hand. What is expected was worked out on paper, from the definitions."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_trees import (
    ORDERS,
    RETRY,
    SAMPLING,
    DrawnByLot,
    HandDrawn,
    Tree,
    by_lot,
    content,
    in_turn,
    paths,
    play,
    verdicts,
    written,
)

from tasks.methods.beam_search import beam_search, beam_search_hf
from tasks.methods.candidates import Growth
from tasks.methods.dvts import dvts
from tasks.methods.mcts import Place, Rule, mcts, promise
from tasks.methods.particle_filtering import odds_weights, particle_filtering
from tasks.methods.protocol import Method, Outcome
from tasks.methods.rebase import rebase
from tasks.methods.tree import Node

GROWTH = Growth(SAMPLING, max_depth=3)
DOUBLING = 0.1 / math.log(2)  # a balance at which 0.1 more of a score doubles a path's weight
SHARPEST = 0.001  # a resampling temperature at which only the best particles survive
BEYOND = ("y. 0.55", "z. 0.45")  # what follows where a method leaves the tree that was drawn for others
FIRST_LOTS = (0.844, 0.758, 0.421, 0.259, 0.511, 0.405, 0.784, 0.303)  # what Random(0) draws

METHODS: dict[str, Callable[[Growth], Method]] = {
    "beam_search": lambda growth: beam_search(growth, 4, 2),
    "beam_search_hf": lambda growth: beam_search_hf(growth, 4, 2),
    "dvts": lambda growth: dvts(growth, 4, 2),
    "dvts_siblings": lambda growth: dvts(growth, 4, 2, siblings=True),
    "rebase": lambda growth: rebase(growth, 4, DOUBLING),
    "particles": lambda growth: particle_filtering(growth, 4, 1, SHARPEST, seed=0),
    "mcts": lambda growth: mcts(growth, 4, 2, 0.0, "uct"),
}
OTHERS: dict[str, Callable[[Growth], Method]] = {
    "gibbs": lambda growth: particle_filtering(growth, 6, 3, 1.0, seed=0),
    "warm_particles": lambda growth: particle_filtering(growth, 5, 1, 2.0, seed=1),
    "uct": lambda growth: mcts(growth, 6, 2, 1.0, "uct"),
    "puct": lambda growth: mcts(growth, 6, 3, 1.0, "puct"),
    "one_subtree": lambda growth: dvts(growth, 3, 3),
    "beams_of_one": lambda growth: beam_search(growth, 3, 1),
    "hf_beams_of_one": lambda growth: beam_search_hf(growth, 3, 1),
    "even_rebase": lambda growth: rebase(growth, 5, 100.0),
}
ALL = METHODS | OTHERS
PARTICLES = {"particles", "gibbs", "warm_particles"}
# At most so many rollouts.
LIMITS = {
    **{"beam_search": 2, "beam_search_hf": 4, "dvts": 2, "dvts_siblings": 4, "rebase": 4, "particles": 4, "mcts": 2},
    **{"gibbs": 6, "warm_particles": 5, "uct": 3, "puct": 2, "one_subtree": 1, "beams_of_one": 3},
    **{"hf_beams_of_one": 3, "even_rebase": 5},
}


@dataclass(frozen=True)
class Drawn:
    """A tree, and what each method makes of it with N = 4, M = 2, paths of three steps at most; see METHODS."""

    tree: Tree
    beam_search: list[str]
    beam_search_hf: list[str]
    dvts: list[str]
    dvts_siblings: list[str]
    rebase: list[str]
    particles: list[str]
    mcts: list[str]


DRAWN = {
    "plain": Drawn(
        tree={
            "": ["a 0.9", "b 0.8", "c 0.3", "d 0.2"],
            "a": ["e. 0.7", "f. 0.6"],
            "b": ["g. 0.75", "h. 0.4"],
            "c": ["i. 0.5", "j. 0.1"],
        },
        beam_search=["b/g stop", "a/e stop"],
        beam_search_hf=["b/g stop", "a/e stop", "a/f stop", "b/h stop"],
        dvts=["a/e stop", "c/i stop"],
        dvts_siblings=["a/e stop", "a/f stop", "c/i stop", "c/j stop"],
        # 512:256:8:4 of 4 is 2.63 1.31 0.04 0.02; a draws e, f and e again; b is left with draw 3, its second
        rebase=["a/e stop", "a/f stop", "b/h stop"],
        particles=["a/e stop"] * 4,
        # a falls to 2.2/3 and b, at 0.8, is opened; then it falls to 1.95/3
        mcts=["a/e stop", "a/f stop"],
    ),
    "ties": Drawn(
        tree={
            "": ["a 0.5", "b 0.5", "c 0.5", "d 0.5"],
            "a": ["e. 0.5", "f. 0.5"],
            "b": ["g. 0.5", "h. 0.5"],
            "c": ["i. 0.5", "j. 0.5"],
            "d": ["k. 0.5", "l. 0.5"],
        },
        beam_search=["a/e stop", "a/f stop"],
        beam_search_hf=["a/e stop", "a/f stop", "b/g stop", "b/h stop"],
        dvts=["a/e stop", "c/i stop"],
        dvts_siblings=["a/e stop", "a/f stop", "c/i stop", "c/j stop"],
        rebase=["a/e stop", "b/h stop", "c/i stop", "d/l stop"],  # one draw each: 0, 1, 2 and 3
        # the lots pick d, d, b, b of four; these draw k, l, g, h, of which the next lots pick the third, 2nd, 4th, 2nd
        particles=["b/g stop", "d/l stop", "b/h stop", "d/l stop"],
        mcts=["a/e stop", "a/f stop"],
    ),
    "duplicates": Drawn(
        tree={
            "": ["a 0.6", " a", "b 0.5", "a."],
            "a": ["c. 0.8", "c "],
            "b": ["d. 0.9", "d."],
            "a/c": ["k. 0.9"],
        },
        beam_search=["b/d stop", "a/c stop"],
        beam_search_hf=["b/d stop", "a/c stop"],
        dvts=["a/c stop", "a stop"],  # the second subtree draws b and "a.", which has no equal sibling there
        dvts_siblings=["a/c stop", "a stop"],
        rebase=["a/c stop", "b/d stop"],
        # equal particles all stay: of a, " a" and "a." the lots pick 3rd, 3rd, 2nd, 1st; of "c." and "c" then both
        particles=["a/c/k stop"] * 4,
        mcts=["a/c stop"],
    ),
    "cut and blank steps": Drawn(
        tree={
            "": ["a~", "b 0.4", "", "c 0.6"],
            "b": ["d~", "e 0.5"],
            "b/e": ["g. 0.9", "h~"],
            "c": ["f. 0.7", "\\boxed{9}~"],
        },
        beam_search=["c/f stop", "b/e/g stop"],
        beam_search_hf=["b/e/g stop", "c/f stop"],
        dvts=["b/e/g stop", "c/f stop"],
        dvts_siblings=["b/e/g stop", "c/f stop"],
        rebase=["b dead_end", "c/f stop"],  # 16:64 of 4 is 0.8 3.2: b gets draw 0, which is d~
        particles=["c/f stop", "dead_end", "dead_end", "c dead_end"],
        mcts=["b/e/g stop"],
    ),
    "an early finish": Drawn(
        tree={
            "": ["a. 0.9", "b 0.5", "c 0.4", "d 0.3"],
            "b": ["e 0.6", "f 0.7"],
            "b/e": ["k. 0.8", "l. 0.15"],
            "b/f": ["g. 0.2", "h. 0.1"],
            "c": ["i. 0.95", "j. 0.3"],
        },
        beam_search=["a stop", "b/f/g stop"],
        beam_search_hf=["c/i stop", "a stop", "b/e/k stop", "c/j stop"],
        dvts=["a stop", "c/i stop"],
        dvts_siblings=["a stop", "c/i stop", "c/j stop"],
        # 4:2:1 of the 3 left is 1.71 0.86 0.43: d is pruned; then 1:2 of the 2 left is 0.67 1.33
        rebase=["a stop", "c/i stop", "b/e/k stop", "b/f/h stop"],
        particles=["a stop"] * 4,
        mcts=["a stop", "b/e/k stop"],
    ),
    "a dead end at the question": Drawn(
        tree={"": ["a~", "", "b~", "."]},
        beam_search=["dead_end"],
        beam_search_hf=["dead_end"],
        dvts=["dead_end", "dead_end"],
        dvts_siblings=["dead_end", "dead_end"],
        rebase=["dead_end"],
        particles=["dead_end"] * 4,
        mcts=["dead_end"],
    ),
    "dead ends further down": Drawn(
        tree={
            "": ["a 0.9", "b 0.8", "c 0.3", "d 0.2"],
            "a": ["e~", ""],
            "b": ["f. 0.5", "g 0.6"],
            "b/g": ["h. 0.4", "i. 0.35"],
            "c": ["j~", "k~"],
        },
        beam_search=["a dead_end", "b/g/h stop"],
        beam_search_hf=["b/f stop", "b/g/h stop", "b/g/i stop", "a dead_end"],
        dvts=["a dead_end", "c dead_end"],
        dvts_siblings=["a dead_end", "c dead_end"],
        rebase=["a dead_end", "b/g/h stop", "b/g/i stop"],
        particles=["a dead_end"] * 4,
        mcts=["a dead_end", "b/f stop"],  # g is opened first, and falls to 1.35/3
    ),
    "the depth limit": Drawn(
        tree={
            "": ["a 0.9", "b 0.2", "c 0.6", "d 0.1"],
            "a": ["e 0.5", "f 0.4"],
            "a/e": ["g 0.3", "h 0.35"],
            "a/f": ["o 0.9", "p 0.15"],
            "c": ["i 0.7", "j 0.65"],
            "c/i": ["k 0.8", "l 0.75"],
            "c/j": ["m 0.1", "n 0.05"],
        },
        beam_search=["c/i/k depth", "c/i/l depth"],
        beam_search_hf=["c/i/k depth", "c/i/l depth", "c/j/m depth", "c/j/n depth"],
        dvts=["a/e/h depth", "c/i/k depth"],
        dvts_siblings=["a/e/g depth", "a/e/h depth", "c/i/k depth", "c/i/l depth"],
        # 512:4:64:2 of 4 is 3.52 0.03 0.44 0.01; then e and f share 4 as 2:1
        rebase=["a/e/g depth", "a/e/h depth", "a/f/p depth"],
        particles=["a/e/h depth"] * 4,
        mcts=["a/f/o depth", "a/f/p depth"],  # e, opened first, falls to 1.15/3 and f is at 0.4, then at 1.45/3
    ),
    "answers in steps": Drawn(
        tree={
            "": ["\\boxed{1} 0.7", "b 0.8", "c 0.6", "so \\boxed{2} 0.5"],
            "b": ["d \\boxed{3} 0.3", "e. 0.2"],
            "c": ["f. 0.9", "g. 0.1"],
        },
        beam_search=["\\boxed{1} stop", "b/d \\boxed{3} stop"],
        beam_search_hf=["c/f stop", "\\boxed{1} stop", "so \\boxed{2} stop", "b/d \\boxed{3} stop"],
        dvts=["b/d \\boxed{3} stop", "c/f stop"],
        dvts_siblings=["b/d \\boxed{3} stop", "b/e stop", "c/f stop", "c/g stop"],
        rebase=["\\boxed{1} stop", "so \\boxed{2} stop", "b/d \\boxed{3} stop", "b/e stop"],  # 4:1 of 2 is 1.6 0.4
        particles=["b/d \\boxed{3} stop"] * 4,
        mcts=["\\boxed{1} stop", "b/d \\boxed{3} stop"],  # b is opened first, and falls to 1.3/3
    ),
    "the end straight after a step": Drawn(
        tree={
            "": ["a 0.6", "b 0.5", "c 0.2", "d 0.1"],
            "a": [".", "e 0.4"],
            "a/e": ["g. 0.7", "h. 0.3"],
            "b": ["f. 0.55", "."],
            "c": [".", " ."],
        },
        beam_search=["a/ stop", "b/f stop"],
        beam_search_hf=["a/e/g stop", "a/ stop", "b/f stop", "b/ stop"],
        dvts=["a/ stop", "c/ stop"],
        dvts_siblings=["a/ stop", "c/ stop"],
        rebase=["a/ stop", "b/ stop", "a/e/g stop", "a/e/h stop"],  # 64:32:4:2 of 4 is 2.51 1.25 0.16 0.08
        particles=["a/ stop"] * 4,
        mcts=["a/ stop", "a/e/g stop"],  # a falls to 1.6/3, still before b
    ),
    "a narrow start": Drawn(
        tree={
            "": ["a 0.5", "a", "a", "a"],
            "a": ["b 0.7", "c 0.6"],
            "a/b": ["d. 0.4", "e. 0.9"],
            "a/c": ["f. 0.8", "g. 0.1"],
        },
        beam_search=["a/b/e stop", "a/c/f stop"],
        beam_search_hf=["a/b/e stop", "a/c/f stop", "a/b/d stop", "a/c/g stop"],
        dvts=["a/b/e stop", "a/b/e stop"],
        dvts_siblings=["a/b/d stop", "a/b/e stop", "a/b/d stop", "a/b/e stop"],
        rebase=["a/b/d stop", "a/b/e stop", "a/c/g stop"],  # 2:1 of 4 is 2.67 1.33
        particles=["a/b/e stop"] * 4,
        mcts=["a/b/e stop", "a/b/d stop"],
    ),
    "repeated draws": Drawn(
        tree={
            "": ["a~", "b~", "c~", "d~"],
            "retry 1": ["e~", "", "f~", "."],
            "retry 2": ["g 0.5", "h 0.6", "g", "i~"],
            "g": ["j. 0.2", "k. 0.3"],
            "h": ["l~", "m~"],
            "h retry 3": ["n. 0.8", "o~"],
        },
        beam_search=["h/n stop", "g/k stop"],
        beam_search_hf=["h/n stop", "g/k stop", "g/j stop"],
        dvts=["h/n stop", "g/k stop"],
        dvts_siblings=["h/n stop", "g/j stop", "g/k stop"],
        rebase=["g/j stop", "h/n stop"],  # 1:2 of 4 is 1.33 2.67
        # the fourth particle only draws what is cut; of the three that go to h the second does
        particles=["h/n stop", "h/n stop", "dead_end", "h dead_end"],
        mcts=["h/n stop", "g/k stop"],
    ),
    "nothing but first steps": Drawn(
        tree={"": ["a. 0.2", "b. 0.9", "c. 0.5", "d. 0.7"]},
        beam_search=["b stop", "d stop"],
        beam_search_hf=["b stop", "d stop", "c stop", "a stop"],
        dvts=["b stop", "d stop"],
        dvts_siblings=["a stop", "b stop", "c stop", "d stop"],
        rebase=["a stop", "b stop", "c stop", "d stop"],
        particles=["b stop"] * 4,
        mcts=["b stop", "a stop"],
    ),
    "scores of 0 and 1": Drawn(
        tree={
            "": ["a 0.0", "b 0.0", "c 1.0", "d 1.0"],
            "a": ["g. 0.0", "h. 0.0"],
            "c": ["e. 0.0", "f. 1.0"],
            "d": ["k. 1.0", "l. 1.0"],
        },
        beam_search=["c/f stop", "d/k stop"],
        beam_search_hf=["c/f stop", "d/k stop", "d/l stop", "c/e stop"],
        dvts=["a/g stop", "c/f stop"],
        dvts_siblings=["a/g stop", "a/h stop", "c/e stop", "c/f stop"],
        rebase=["c/e stop", "c/f stop", "d/k stop", "d/l stop"],
        # the lots pick d, d, c, c of two; these draw k, l, e, f, and of k, l and f the lots pick l, l, f, k
        particles=["d/l stop", "d/l stop", "c/f stop", "d/k stop"],
        mcts=["a/g stop", "a/h stop"],
    ),
}


def found(method: Method, tree: Tree) -> list[str]:
    return paths(play(method, HandDrawn(tree)).result)


def scores_of(outcome: Outcome) -> list[tuple[float, ...] | None]:
    return [rollout.scores for rollout in outcome.rollouts]


def test_there_are_enough_trees() -> None:
    assert len(DRAWN) >= 12


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_every_method_returns_exactly_the_expected_paths(drawn: Drawn, name: str) -> None:
    assert found(METHODS[name](GROWTH), drawn.tree) == getattr(drawn, name)


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_without_exploration_both_rules_go_by_the_mean(drawn: Drawn) -> None:
    assert found(mcts(GROWTH, 4, 2, 0.0, "puct"), drawn.tree) == drawn.mcts


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_a_rollout_has_the_scores_of_its_own_steps(drawn: Drawn, name: str) -> None:
    world = HandDrawn(drawn.tree, BEYOND)
    for rollout in play(ALL[name](GROWTH), world).result.rollouts:
        steps = [sample.text.strip() for sample in rollout.path if sample.text.strip()]
        assert rollout.scores == tuple(world.score_of(steps[: index + 1]) for index in range(len(steps)))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_the_order_in_which_replies_land_changes_nothing(drawn: Drawn, name: str) -> None:
    world = HandDrawn(drawn.tree, BEYOND)
    outcomes = [content(play(ALL[name](GROWTH), world, pick).result) for pick in ORDERS]
    assert outcomes == [outcomes[0]] * len(ORDERS)


# Beam search


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


# The variant of search-and-learn


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


# DVTS


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


# REBASE


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


# Particle filtering


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


# MCTS


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


# What holds for all of them


SEEDS = st.integers(0, 1_000_000)
DEEPER = replace(GROWTH, max_depth=4)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS, order=SEEDS)
@settings(max_examples=40, deadline=None)
def test_no_interleaving_of_replies_changes_an_outcome(name: str, seed: int, order: int) -> None:
    world = DrawnByLot(seed)
    in_order = play(ALL[name](DEEPER), world, in_turn)
    shuffled = play(ALL[name](DEEPER), world, by_lot(order))
    assert content(shuffled.result) == content(in_order.result)
    assert sorted(shuffled.draws) == sorted(in_order.draws)


@pytest.mark.parametrize("name", ["beam_search", "beam_search_hf", "dvts"])
@given(seed=SEEDS, order=SEEDS)
@settings(max_examples=40, deadline=None)
def test_no_interleaving_changes_a_search_that_looks_ahead(name: str, seed: int, order: int) -> None:
    world, growth = DrawnByLot(seed), replace(GROWTH, lookahead=1)
    in_order = play(ALL[name](growth), world, in_turn).result
    assert content(play(ALL[name](growth), world, by_lot(order)).result) == content(in_order)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_candidate_is_scored_once_and_only_its_new_step(name: str, seed: int) -> None:
    played = play(ALL[name](DEEPER), DrawnByLot(seed))
    assert all(request.from_step == len(request.steps) - 1 for request in played.scored)
    scored = [node for node in played.result.nodes if node.score is not None]
    asked = [(request.steps, request.sample_index) for request in played.scored]
    assert sorted(asked) == sorted((node.steps, node.draw) for node in scored)
    for node in played.result.nodes:
        blank = not node.sample.text.strip()
        assert (node.value is None) == (node.dropped is not None)
        assert (node.score is None) == (node.dropped is not None or blank)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_draw_is_a_step_of_the_tree(name: str, seed: int) -> None:
    played = play(ALL[name](DEEPER), DrawnByLot(seed))
    addresses = [node.address for node in played.result.nodes]
    assert len(addresses) == len(set(addresses)) == len(played.generated)
    assert addresses == sorted(addresses, key=lambda address: (len(address), address))
    drawn = sorted((len(request.path), request.sample_index) for request in played.generated)
    assert drawn == sorted((len(address) - 1, address[-1]) for address in addresses)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_rollouts_are_paths_of_the_tree_that_ended_as_they_say(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    assert 1 <= len(outcome.rollouts) <= LIMITS[name]
    assert [rollout.sample_index for rollout in outcome.rollouts] == list(range(len(outcome.rollouts)))
    candidates = {tuple(map(id, node.path)): node for node in outcome.nodes if node.dropped is None}
    for rollout in outcome.rollouts:
        assert len(rollout.path) <= 4
        if not rollout.path:
            assert rollout.stop_reason == "dead_end"
            continue
        node = candidates[tuple(map(id, rollout.path))]
        assert rollout.scores == tuple(step.score for step in node.lineage if step.score is not None)
        if rollout.stop_reason == "dead_end":
            assert node.stop is None
            fates = [child.dropped for child in outcome.nodes if child.parent is node]
            assert len([fate for fate in fates if fate]) >= 4
            assert name in PARTICLES or all(fates)  # other particles may have gone on from it
        elif name not in {"mcts", "uct", "puct"}:
            assert rollout.stop_reason == node.stop


@pytest.mark.parametrize("name", sorted(ALL.keys() - PARTICLES))
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_kept_are_the_steps_that_were_gone_on_from_or_returned(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    parents = {id(node.parent) for node in outcome.nodes if node.parent is not None}
    returned = {tuple(map(id, rollout.path)) for rollout in outcome.rollouts}
    kept = [node.address for node in outcome.nodes if node.kept]
    assert kept == [
        node.address for node in outcome.nodes if id(node) in parents or tuple(map(id, node.path)) in returned
    ]


@pytest.mark.parametrize("name", sorted(PARTICLES))
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_particles_that_were_gone_on_from_or_returned_were_kept(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    returned = {tuple(map(id, rollout.path)) for rollout in outcome.rollouts}
    assert all(node.parent.kept for node in outcome.nodes if node.parent is not None)
    assert all(node.kept for node in outcome.nodes if tuple(map(id, node.path)) in returned)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_with_a_depth_of_one_every_path_is_one_step(name: str, seed: int) -> None:
    outcome = play(ALL[name](replace(GROWTH, max_depth=1)), DrawnByLot(seed)).result
    for rollout in outcome.rollouts:
        assert (len(rollout.path), rollout.stop_reason) in {(0, "dead_end"), (1, "stop"), (1, "depth")}
    assert all(len(node.address) == 1 for node in outcome.nodes)
