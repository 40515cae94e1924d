"""Engines that note when they were asked what, so that a benchmark sees how a run goes whatever drives it."""

import time
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any, TypeVar

Reply = TypeVar("Reply")


class Watch:
    """How many requests an engine had at each time, and when each question was last answered; seconds of one clock."""

    def __init__(self) -> None:
        self.changes: list[tuple[float, int]] = [(time.perf_counter(), 0)]
        self.answered: dict[str, float] = {}

    async def see(self, question: str, reply: Awaitable[Reply]) -> Reply:
        """Await a reply, and note it."""
        self._count(1)
        try:
            return await reply
        finally:
            self._count(-1)
            self.answered[question] = self.changes[-1][0]

    def _count(self, change: int) -> None:
        self.changes.append((time.perf_counter(), self.changes[-1][1] + change))

    def seconds_with(self, least: int) -> float:
        """How long the engine had at least so many requests."""
        return sum(until - since for (since, count), (until, _) in pairwise(self.changes) if count >= least)

    def last_with(self, least: int) -> float:
        """When it last had at least so many; its first moment where it never had."""
        ends = (until for (_, count), (until, _) in pairwise(self.changes) if count >= least)
        return max(ends, default=self.changes[0][0])


class WatchedEngine:
    """A policy or a PRM; what it is asked is noted since the last `begin`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._watch = Watch()

    def begin(self) -> Watch:
        """A fresh note."""
        self._watch = Watch()
        return self._watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, question: str, *asked: Any, **further: Any) -> Any:
        """See `Policy.generate`."""
        return await self._watch.see(question, self._engine.generate(question, *asked, **further))

    async def score(self, question: str, *asked: Any, **further: Any) -> Any:
        """See `Prm.score`."""
        return await self._watch.see(question, self._engine.score(question, *asked, **further))
