"""The requests that an engine is given at once; those that wait go in the order in which their problems began."""

import asyncio
import heapq
from collections.abc import Callable
from types import TracebackType

Ticket = tuple[int, int]  # the shard's place in its stage, and the problem's place in the order of beginning


class EngineTurns:
    """At most `limit` requests at once. `on_room` is called when one ends and no other waits."""

    def __init__(self, limit: int, on_room: Callable[[], None]) -> None:
        self.limit = limit
        self._free = limit
        self._on_room = on_room
        self._count = 0
        self._waiting: list[tuple[Ticket, int, asyncio.Future[None]]] = []

    @property
    def has_room(self) -> bool:
        """Whether a further request would be given to the engine at once."""
        return self._free > 0

    @property
    def in_flight(self) -> int:
        """How many requests are with the engine."""
        return self.limit - self._free

    async def take(self, ticket: Ticket) -> None:
        """Wait for a turn; `give_back` ends it."""
        if self._free:
            self._free -= 1
            return
        self._count += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, self._count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn; the request of the problem that began first has the next one."""
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
        self._on_room()


class Turn:
    """One request's turn, as a context: inside, the request is with the engine."""

    def __init__(self, turns: EngineTurns, ticket: Ticket) -> None:
        self._turns = turns
        self._ticket = ticket

    async def __aenter__(self) -> None:
        await self._turns.take(self._ticket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.give_back()
