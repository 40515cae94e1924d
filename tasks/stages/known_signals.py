"""Which signals the rollouts of a stage have, so that selectors whose signal some of them lack have no figure."""

from collections.abc import Iterable

import numpy as np

from overthink.tasks.analysis.selectors import Booleans, Candidates, SelectorName, signal_of
from overthink.tasks.analysis.signals import OF_TESTS, ClassName, SignalName

Read = SignalName | ClassName


class KnownSignals:
    """Told problem by problem what its rollouts have of the signals that some selectors read; PRMs' scores aside."""

    def __init__(self, selectors: Iterable[SelectorName]) -> None:
        read = (signal_of(selector) for selector in selectors)
        self._anywhere: dict[Read, bool] = {one: False for one in read if one is not None and one != "prm"}
        self._everywhere = dict.fromkeys(self._anywhere, True)

    def add(self, rollouts: Candidates) -> None:
        """One problem's rollouts."""
        for read in self._anywhere:
            known = _known(read, rollouts)
            self._anywhere[read] |= bool(known.any())
            self._everywhere[read] &= bool(known[rollouts.groups >= 0].all())

    @property
    def unknown(self) -> frozenset[Read]:
        """The signals that no rollout has, or that one with an answer has not.

        Of tests the first alone counts: some problems of a set have none, and there too their selectors choose.
        """
        return frozenset(
            read
            for read, anywhere in self._anywhere.items()
            if not anywhere or (not self._everywhere[read] and read not in OF_TESTS)
        )


def _known(read: Read, rollouts: Candidates) -> Booleans:
    """(N,) of which rollouts a signal, or the class, is known."""
    match read:
        case "behaviour" | "agreement":
            return rollouts.class_of(read) >= 0
        case _:
            return ~np.isnan(rollouts.signal(read))
