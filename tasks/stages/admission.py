"""Which problems of a stage are at work: they begin in order, and new ones only where there is room for them.

There is room while an engine of the stage would take a further request at once, and while the key-value cache of the
policy holds what the problems at work have written. So the first problems are done early, their prefixes stay in the
engine's cache, only problems at work take memory, and the next shard begins while the last problems of one end.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from overthink.storage.stage_kinds import Role
from overthink.tasks.stages.turns import EngineTurns, Ticket, Turn


class Admission:
    """The order of one stage's problems and of their requests, over all of its shards.

    `limits`, by role, are the requests that each engine which the stage asks is given at once.
    """

    def __init__(self, **limits: int) -> None:
        self._turns = {role: EngineTurns(limit, self._advance) for role, limit in limits.items()}
        self._most = max(limits.values(), default=1)
        self._waiting: list[tuple[Ticket, asyncio.Future[None]]] = []
        self._count = 0
        self._opening: int | None = None  # the shard that was given room and has not named its problems yet
        self._starting: Ticket | None = None  # the problem that was given room and has not asked for anything yet
        self._tokens: dict[Ticket, int] = {}  # of each problem at work: its prompt, and what it has written
        self._done_tokens: list[int] = [0, 0]  # of the problems that are done: their sum and their number
        self.cache_tokens: int | None = None  # that the policy's key-value cache holds; None where that is unknown

    def in_flight(self) -> int:
        """How many requests are with the engines."""
        return sum(turns.in_flight for turns in self._turns.values())

    @asynccontextmanager
    async def shard(self, order: int) -> AsyncIterator[None]:
        """Wait until the problems of all earlier shards have begun and there is room for more."""
        async with self._begun(order):
            self._starting, self._opening = None, order
            try:
                yield
            finally:
                if self._opening == order:
                    self._opening = None

    @asynccontextmanager
    async def problem(self, order: int) -> AsyncIterator[Ticket]:
        """Wait until all problems before it have begun and there is room; inside, it is at work."""
        if self._opening == order:
            self._opening = None
        async with self._begun(order) as ticket:
            self._tokens[ticket] = 0
            try:
                yield ticket
            finally:
                self._done_tokens[0] += self._tokens.pop(ticket)
                self._done_tokens[1] += 1

    def turn(self, role: Role, ticket: Ticket) -> Turn:
        """A request's turn at an engine."""
        self.asked(ticket)
        return Turn(self._turns[role], ticket)

    def asked(self, ticket: Ticket) -> None:
        """Note that a problem has made its first requests, so that the next one may begin where there is still room."""
        if ticket == self._starting:
            self._starting = None
            asyncio.get_running_loop().call_soon(self._advance)  # after the other requests of the same batch

    def wrote(self, ticket: Ticket, prompt_tokens: int, tokens: int) -> None:
        """Note what a request has left in the policy's cache; its problem's prompt is there once."""
        if ticket in self._tokens:
            self._tokens[ticket] += tokens + (0 if self._tokens[ticket] else prompt_tokens)

    @asynccontextmanager
    async def _begun(self, order: int) -> AsyncIterator[Ticket]:
        self._count += 1
        ticket, place = (order, self._count), asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, place))
        self._advance()
        try:
            await place
            yield ticket
        finally:
            place.cancel()
            if self._starting == ticket:
                self._starting = None
            self._advance()

    def _advance(self) -> None:
        """Give the first one that waits its place, where there is room."""
        while self._waiting and self._starting is None and self._opening is None and self._has_room():
            ticket, place = heapq.heappop(self._waiting)
            if not place.done():
                self._starting = ticket
                place.set_result(None)

    def _has_room(self) -> bool:
        at_work = len(self._tokens)
        if at_work >= self._most or not all(turns.has_room for turns in self._turns.values()):
            return False
        if self.cache_tokens is None or not at_work:
            return True
        tokens, problems = self._done_tokens if self._done_tokens[1] else (sum(self._tokens.values()), at_work)
        return (at_work + 1) * tokens <= self.cache_tokens * problems
