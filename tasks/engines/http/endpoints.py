"""The endpoints that serve one model: a request goes to the least busy one; a failing one is skipped until it is back.

A request with a transient failure (connection, time-out, 429, 5xx, garbage) is retried, at another endpoint if there
is one, after a growing random wait; only when that lasts longer than `patience_seconds` does the engine count as dead.
An endpoint that fails three times in a row gets no requests until it answers a small question; one that asks for a
pause gets it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.engines.http.http_client import Count, HttpClient, Passing, Reply, Streamed
from overthink.tasks.errors import BadReply, EngineDied, EngineUnavailable

FAILURES_UNTIL_DOWN = 3
SHORTEST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds

Answer = TypeVar("Answer")


class ModelCard(BaseModel):
    """An endpoint's description of a model that it serves; only vLLM gives `max_model_len`."""

    id: str
    max_model_len: Count | None = Field(default=None, ge=1)


class ModelList(BaseModel):
    """The reply of the models endpoint."""

    data: list[ModelCard]


class Endpoint:
    """One endpoint, and whether it may be used now; it is down while a revival task runs.

    `failures` and `falls` (how often it was taken down) count since its last answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.in_flight = 0
        self.failures = 0
        self.falls = 0
        self.last_failure = f"{url} was never asked"
        self.paused_until = 0.0
        self.revival: asyncio.Task[None] | None = None


@dataclass
class Trouble:
    """The failures of one request so far."""

    failures: int = 0
    since: float | None = None
    last: Endpoint | None = None


class Endpoints:
    """All endpoints of one model, at `root`s to which the paths of requests are added; `models` is one of them."""

    def __init__(self, config: ServedModelConfig, roots: tuple[str, ...], models: str) -> None:
        self._config = config
        self._client = HttpClient(config)
        self._models = models
        self._endpoints = [Endpoint(root) for root in roots]
        self._revived = asyncio.Event()
        self._answered = time.monotonic()

    async def cards(self, must_list: bool) -> list[ModelCard]:
        """The descriptions of the model from all endpoints that answer; with `must_list` each of them must list it.

        Raises EngineUnavailable where none answers, or where one refuses the key or lacks the model.
        """
        asked = (self._client.get(endpoint.url + self._models, ModelList) for endpoint in self._endpoints)
        cards: list[ModelCard] = []
        answers = 0
        for endpoint, reply in zip(self._endpoints, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(reply, Passing):
                endpoint.last_failure = str(reply)
                self._take_down(endpoint)
                continue
            answers += 1
            if isinstance(reply, BadReply) and must_list:
                raise EngineUnavailable(f"{reply}; an endpoint is the base URL of an OpenAI-compatible server")
            if isinstance(reply, BaseException) and not isinstance(reply, BadReply):
                raise reply
            if isinstance(reply, ModelList):
                cards += self._own_cards(endpoint, reply, must_list)
        if not answers:
            raise EngineUnavailable(
                f"no endpoint of {self._config.model} answers ({self._failures()}): start the server "
                "(docs/servers.md) or mend `endpoints`"
            )
        return cards

    async def post(self, path: str, body: Mapping[str, Any], kind: type[Reply]) -> tuple[str, Reply]:
        """Send a request to one endpoint, with retries after transient failures; returns the endpoint and its reply.

        Raises EngineDied after `patience_seconds`, BadReply where the request is refused or the reply is invalid, and
        EngineUnavailable where the key is refused.
        """
        return await self._ask(lambda root: self._client.post(root + path, body, kind), 1)

    async def stream(self, path: str, request: Streamed[Reply]) -> None:
        """Send several questions to one endpoint, with retries for the unanswered ones. Raises as `post` does."""
        await self._ask(lambda root: self._client.stream(root + path, request), request.size)

    async def _ask(self, ask: Callable[[str], Awaitable[Answer]], size: int) -> tuple[str, Answer]:
        trouble = Trouble()
        while True:
            endpoint = await self._choose(trouble)
            endpoint.in_flight += size
            try:
                reply = await ask(endpoint.url)
            except Passing as failure:
                self._note(failure, endpoint, trouble)
            else:
                endpoint.failures = endpoint.falls = 0
                self._answered = time.monotonic()
                return endpoint.url, reply
            finally:
                endpoint.in_flight -= size
            await asyncio.sleep(waiting(trouble.failures))

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            if endpoint.revival is not None:
                endpoint.revival.cancel()
        await self._client.close()

    async def _choose(self, trouble: Trouble) -> Endpoint:
        """The least busy endpoint that may be used, preferably one that has not just failed."""
        begun = time.monotonic()
        while True:
            now = time.monotonic()
            up = [endpoint for endpoint in self._endpoints if endpoint.revival is None]
            awake = [endpoint for endpoint in up if endpoint.paused_until <= now]
            if awake:
                return min(awake, key=lambda endpoint: (endpoint is trouble.last, endpoint.in_flight))
            if up:
                pause = min(endpoint.paused_until for endpoint in up) - now
                await asyncio.sleep(pause * random.uniform(1.0, 1.1))  # never too early, and not all at once
                continue
            self._revived.clear()
            since = begun if trouble.since is None else trouble.since
            try:
                async with asyncio.timeout(max(0.0, since + self._config.patience_seconds - now)):
                    await self._revived.wait()
            except TimeoutError:
                raise self._dead() from None

    def _note(self, failure: Passing, endpoint: Endpoint, trouble: Trouble) -> None:
        """Take down an endpoint that fails too often. Raises EngineDied where a request has failed for too long."""
        now = time.monotonic()
        trouble.failures += 1
        trouble.last = endpoint
        trouble.since = now if trouble.since is None else trouble.since
        endpoint.last_failure = str(failure)
        pause = failure.pause or 0.0
        if failure.limited:
            trouble.since = max(trouble.since, self._answered)  # while others are answered, the server is only busy
            pause = waiting(trouble.failures) if failure.pause is None else failure.pause
        if now + pause - trouble.since > self._config.patience_seconds:
            raise self._dead()
        if pause:
            endpoint.paused_until = max(endpoint.paused_until, now + pause)
            return
        endpoint.failures += 1
        if endpoint.failures >= FAILURES_UNTIL_DOWN:
            self._take_down(endpoint)

    def _take_down(self, endpoint: Endpoint) -> None:
        if endpoint.revival is None:
            endpoint.falls += 1
            endpoint.revival = asyncio.create_task(self._revive(endpoint))

    async def _revive(self, endpoint: Endpoint) -> None:
        """Ask small questions until one is answered, even by a refusal; then the endpoint gets one trial request."""
        for attempt in count(endpoint.falls):
            await asyncio.sleep(waiting(attempt))
            try:
                await self._client.get(endpoint.url + self._models, ModelList)
            except Passing as failure:
                endpoint.last_failure = str(failure)
                continue
            except (BadReply, EngineUnavailable):
                pass
            endpoint.failures, endpoint.revival = FAILURES_UNTIL_DOWN - 1, None
            self._revived.set()
            return

    def _own_cards(self, endpoint: Endpoint, served: ModelList, must_list: bool) -> list[ModelCard]:
        own = [card for card in served.data if card.id == self._config.model]
        if own or not must_list:
            return own
        names = ", ".join(card.id for card in served.data[:8]) or "nothing"
        raise EngineUnavailable(f"{endpoint.url} serves {names}, not {self._config.model}: mend `model` or `endpoints`")

    def _dead(self) -> EngineDied:
        return EngineDied(
            f"{self._config.model} could not be asked for {self._config.patience_seconds:g} s (patience_seconds): "
            f"{self._failures()}; restart what serves it, or mend `endpoints`"
        )

    def _failures(self) -> str:
        return "; ".join(endpoint.last_failure for endpoint in self._endpoints)


def waiting(failures: int) -> float:
    """Seconds to wait after a number of failures, from 1: doubling, drawn from the upper half of the interval."""
    return min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)
