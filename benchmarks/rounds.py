"""Searches in lock-step rounds, as the reference tools run them: the yardstick for our driver, not part of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from overthink.tasks.methods.requests import Ask, Execute, Generate, Method, Score, Search
from overthink.tasks.records import Problem, Sample, Scores


@dataclass(eq=False)
class Frame:
    """A search under way, the batch it waits for, and where its own result goes."""

    problem: Problem
    search: Search[Any]
    parent: "Frame | None" = None
    place: int = 0
    replies: list[Any] = field(default_factory=list)
    missing: int = 0


@dataclass(frozen=True)
class Asked:
    """One request of a round."""

    frame: Frame
    place: int
    request: Generate | Score


class Rounds:
    """All requests that must be answered before anything goes on."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def advance(self, frame: Frame, replies: list[Any] | None) -> None:
        """Let a search go on to its next batch, or hand its result to its parent."""
        try:
            batch = next(frame.search) if replies is None else frame.search.send(replies)
        except StopIteration as finished:
            if frame.parent is not None:
                self.settle(frame.parent, frame.place, finished.value)
            return
        frame.replies, frame.missing = [None] * len(batch), len(batch)
        for place, wanted in enumerate(batch):
            if isinstance(wanted, Generate | Score):
                self.asked.append(Asked(frame, place, wanted))
            else:
                assert not isinstance(wanted, Execute | Ask), "these searches run no programs and ask no verifier"
                self.advance(Frame(frame.problem, wanted, frame, place), None)
        if not batch:
            self.advance(frame, [])

    def settle(self, frame: Frame, place: int, reply: Any) -> None:
        """One reply of a batch; the last one lets the search go on."""
        frame.replies[place] = reply
        frame.missing -= 1
        if not frame.missing:
            self.advance(frame, frame.replies)


async def lock_step(
    searches: Sequence[tuple[Problem, Method]],
    generate: Callable[[Problem, Generate], Awaitable[Sample]],
    score: Callable[[Problem, Score], Awaitable[Scores]],
) -> None:
    """Run searches to their ends: in each round all steps are written, then all scores are given."""
    rounds = Rounds()
    for problem, search in searches:
        rounds.advance(Frame(problem, search), None)
    while rounds.asked:
        asked, rounds.asked = rounds.asked, []
        writes = [one for one in asked if isinstance(one.request, Generate)]
        scores = [one for one in asked if isinstance(one.request, Score)]
        answers: list[Any] = [
            *await asyncio.gather(*(generate(one.frame.problem, one.request) for one in writes)),  # type: ignore[arg-type]
            *await asyncio.gather(*(score(one.frame.problem, one.request) for one in scores)),  # type: ignore[arg-type]
        ]
        for one, answer in zip([*writes, *scores], answers, strict=True):
            rounds.settle(one.frame, one.place, answer)
