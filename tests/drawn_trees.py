"""Trees drawn by hand, and what every search method makes of them, worked out on paper from the definitions."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from search_trees import Tree

from overthink.tasks.methods.beam_search import beam_search, beam_search_hf
from overthink.tasks.methods.dvts import dvts
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.mcts import mcts
from overthink.tasks.methods.particle_filtering import particle_filtering
from overthink.tasks.methods.rebase import rebase
from overthink.tasks.methods.requests import Method

DOUBLING = 0.1 / math.log(2)  # a balance at which 0.1 more of a score doubles a path's weight
SHARPEST = 0.001  # a resampling temperature at which only the best particles survive
BEYOND = ("y. 0.55", "z. 0.45")  # what follows where a method leaves the tree that was drawn for others

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
