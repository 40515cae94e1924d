"""Beam search and DVTS as a script has them: a list of beams that go on, and a list of those that have finished.

The methods are search-and-learn's (Beeching et al. 2024), and beam search that of Liu et al. 2025 too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from benchmarks.search_case import MethodName


@dataclass(frozen=True)
class Beam:
    """A solution so far, as the policy and as the PRM are shown it, and the score of its last step."""

    text: str
    judged: str
    is_finished: bool = False
    score: float = 0.0


class BeamSearch:
    """N first steps, then M after each of the N/M best; a finished solution keeps its place (Liu et al. 2025)."""

    def __init__(self, start: Beam, n: int, width: int) -> None:
        self.live, self.finished = [start] * n, list[Beam]()
        self._n, self._width = n, width

    def advance(self, grown: Sequence[Beam]) -> None:
        """Go on from the best of the beams that have grown by a step."""
        kept = best(grown, self._n // self._width - len(self.finished))
        self.finished += [beam for beam in kept if beam.is_finished]
        self.live = [beam for beam in kept if not beam.is_finished for _ in range(self._width)]


class BeamSearchHf(BeamSearch):
    """Finished solutions leave, and the N/M best of the others are repeated up to N (Beeching et al. 2024)."""

    def advance(self, grown: Sequence[Beam]) -> None:
        """Go on from the best of the beams that have not finished, until N have."""
        self.finished += [beam for beam in grown if beam.is_finished]
        kept = best([beam for beam in grown if not beam.is_finished], self._n // self._width)
        self.live = [] if len(self.finished) >= self._n else (kept * self._n)[: self._n]


class DiverseSearch(BeamSearch):
    """N/M subtrees of M steps a round, each of which goes on from its best one."""

    def advance(self, grown: Sequence[Beam]) -> None:
        """Go on from the best of each subtree, unless it has finished."""
        subtrees = [grown[first : first + self._width] for first in range(0, len(grown), self._width)]
        kept = [beam for subtree in subtrees for beam in best(subtree, 1)]
        self.finished += [beam for beam in kept if beam.is_finished]
        self.live = [beam for beam in kept if not beam.is_finished for _ in range(self._width)]


SEARCHES: dict[MethodName, type[BeamSearch]] = {
    "beam_search": BeamSearch,
    "beam_search_hf": BeamSearchHf,
    "dvts": DiverseSearch,
}


def best(beams: Sequence[Beam], count: int) -> list[Beam]:
    """The `count` beams of the highest scores, each text once."""
    return sorted({beam.text: beam for beam in beams}.values(), key=attrgetter("score"), reverse=True)[:count]
