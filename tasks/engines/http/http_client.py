"""One HTTP request to a model server: checks its reply, and separates transient failures from permanent ones.

The key is only in the session's header; quotes of a server's replies do not contain it.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

import aiohttp
import orjson
from pydantic import BaseModel, Field, ValidationError

from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.engines.http.api_keys import key_of, place_of_key
from overthink.tasks.errors import BadReply, EngineUnavailable

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # statuses after which the same request may succeed
SMALL_QUESTION_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 4.0  # servers close idle connections after 5
QUOTED_CHARACTERS = 200
LARGEST_REPLY = 2**26  # bytes; the numbers of a PRM for a million tokens are less
LARGEST_ERROR = 2**16  # bytes of a refusal that are read at all

Reply = TypeVar("Reply", bound=BaseModel)
Count = Annotated[int, Field(ge=0, lt=2**31)]  # tokens, and their ids: what the tables' columns hold


class Passing(Exception):
    """A transient failure. `pause` is the number of seconds that the server asked the client to wait, if it did.

    `limited`: the server works, but its rate limit was reached.
    """

    def __init__(self, reason: str, pause: float | None = None, limited: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.limited = limited


class Refused(BadReply):
    """The server refused the request itself: any other 4xx."""


class Streamed(Protocol[Reply]):
    """A request with several questions, each answered by one line of type `kind`."""

    kind: type[Reply]

    @property
    def size(self) -> int:
        """The number of unanswered questions."""

    def body(self) -> Mapping[str, Any]:
        """The request's body, with all unanswered questions."""

    def take(self, url: str, reply: Reply) -> None:
        """Accept one answer from `url`. Raises BadReply where it is invalid."""


class HttpClient:
    """Connections to the endpoints of one model, in one event loop."""

    def __init__(self, config: ServedModelConfig) -> None:
        self._config = config
        self._key = key_of(config)
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def get(self, url: str, kind: type[Reply]) -> Reply:
        """Send a GET request. Raises as `post` does."""
        return await self._ask("GET", url, None, SMALL_QUESTION_SECONDS, kind)

    async def post(self, url: str, body: Mapping[str, Any], kind: type[Reply]) -> Reply:
        """Send a request whose reply is of type `kind`.

        Raises Passing; Refused; BadReply where the reply is of another kind; EngineUnavailable where the key is
        refused.
        """
        return await self._ask("POST", url, orjson.dumps(body), self._config.timeout_seconds, kind)

    async def stream(self, url: str, request: Streamed[Reply]) -> None:
        """Send a request whose reply comes in lines, each processed as it comes. Raises as `post` does."""
        data = orjson.dumps(request.body())
        prompts = request.size
        try:
            async with self._asked("POST", url, data, self._config.timeout_seconds) as response:
                async for line in lines_of(url, response):
                    prompts -= 1
                    if prompts < 0:
                        raise BadReply(f"{url} gave more answers than it was asked prompts")
                    request.take(url, self._read(url, line, request.kind))
        except Passing:
            if request.size:  # else the connection broke after the last answer, which does no harm
                raise
        if request.size:
            raise Passing(f"{url} ended with {request.size} prompts unanswered")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _ask(self, method: str, url: str, data: bytes | None, seconds: float, kind: type[Reply]) -> Reply:
        async with self._asked(method, url, data, seconds) as response:
            return self._read(url, await whole(url, response), kind)

    @asynccontextmanager
    async def _asked(
        self, method: str, url: str, data: bytes | None, seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose status is 200, and whose body is still to come."""
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=SMALL_QUESTION_SECONDS)
        request = self._session.request(method, url, data=data, timeout=limits, allow_redirects=False)
        try:
            async with request as response:
                if response.status != 200:
                    self._refuse(url, response, await response.content.read(LARGEST_ERROR))
                yield response
        except TimeoutError:
            raise Passing(f"{url} did not answer within {seconds:g} s (timeout_seconds)") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Passing(f"{url}: {type(error).__name__}: {self._quoted(str(error))}") from None

    def _refuse(self, url: str, response: aiohttp.ClientResponse, body: bytes) -> NoReturn:
        said = f"{url} answered {response.status}: {self._quoted(body.decode(errors='replace'))}"
        if response.status in (401, 403):
            place = place_of_key(self._config)
            remedy = f"check the key in {place}" if place else "name the variable of its key, `api_key_env`"
            raise EngineUnavailable(f"{said}; {remedy}")
        if response.status in PASSING:
            pause = pause_asked_for(response.headers.get("Retry-After"), time.time())
            raise Passing(said, pause, limited=response.status == 429)
        raise Refused(said)

    def _read(self, url: str, body: bytes, kind: type[Reply]) -> Reply:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
        quoted = self._quoted(body[:LARGEST_ERROR].decode(errors="replace"))
        if first["type"] == "json_invalid":
            raise Passing(f"{url} answered what is no JSON: {quoted}")
        place = ".".join(map(str, first["loc"]))
        raise BadReply(f"{url} answered with an unusable {place or 'reply'} ({first['msg']}): {quoted}")

    def _quoted(self, text: str) -> str:
        """The beginning of a server's reply, on one line and without the key."""
        if self._key is not None:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"


async def whole(url: str, response: aiohttp.ClientResponse) -> bytes:
    """A reply's body. Raises BadReply where it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_REPLY:
            raise too_long(url)
    return bytes(body)


async def lines_of(url: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """A reply's lines as they come. Raises BadReply where one is too long."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        first, *more = chunk.split(b"\n")
        rest += first
        for begun in more:
            yield bytes(rest)
            rest = bytearray(begun)
        if len(rest) > LARGEST_REPLY:
            raise too_long(url)


def too_long(url: str) -> BadReply:
    """The error for a reply that is too long."""
    return BadReply(f"{url} answers with more than {LARGEST_REPLY >> 20} MiB, which no reply has: check what it serves")


def pause_asked_for(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait, if any: a number, or a date; `now` is in seconds since 1970."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdecimal() else parsedate_to_datetime(header).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds)
