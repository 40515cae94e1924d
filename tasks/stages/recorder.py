"""Makes each call once: replays it from the journal if it was answered before, else journals it before it is used."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import orjson

from overthink.storage.journal import Journal, JournaledCall
from overthink.tasks.programs import ProgramOutcome
from overthink.tasks.records import Sample, Scores

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def encode_reply(reply: Sample | Scores | ProgramOutcome) -> str:
    """A reply as JSON; floats survive exactly. Raises ValueError for NaN and infinity."""
    for numbers in _numbers(reply):
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"a reply holds a number that is not finite: {numbers}")
    return orjson.dumps(vars(reply)).decode()


def _numbers(reply: Sample | Scores | ProgramOutcome) -> Iterator[Sequence[float]]:
    if isinstance(reply, ProgramOutcome):
        return
    if isinstance(reply, Scores):
        yield reply.values
        return
    yield reply.logprobs
    yield from (signal for signal in (reply.confidences, reply.entropies, reply.certainties) if signal is not None)


def decode_sample(text: str) -> Sample:
    """The sample that `encode_reply` wrote."""
    value: dict[str, Any] = orjson.loads(text)
    for name in ("tokens", "token_ends", "logprobs", "confidences", "entropies", "certainties"):
        if value.get(name) is not None:  # journals of version 0.1 have no signals
            value[name] = tuple(value[name])
    return Sample(**value)


def decode_scores(text: str) -> Scores:
    """The scores that `encode_reply` wrote."""
    value: dict[str, Any] = orjson.loads(text)
    return Scores(tuple(value["values"]), value["input_tokens"], value["cached_tokens"])


def decode_program_outcome(text: str) -> ProgramOutcome:
    """What became of a program, as `encode_reply` wrote it."""
    return ProgramOutcome(**orjson.loads(text))


@dataclass(frozen=True)
class _Waiting:
    call: JournaledCall
    done: asyncio.Future[None]


class Recorder:
    """The journal of one stage, for the event loop: calls that arrive together are committed together.

    All journal work runs in its own thread, so that an fsync never delays the engines' replies.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting: list[_Waiting] = []
        self._flush: asyncio.Task[None] | None = None
        self._known = journal.known()
        self.replayed = 0

    async def replay(self, call_key: str) -> str | None:
        """The journaled reply of a call, or None."""
        if call_key not in self._known:
            return None
        self.replayed += 1
        return await self._work(self._journal.reply, call_key)

    async def record(self, call: JournaledCall) -> None:
        """Return once the call is on disk. Raises StorageError where it cannot be written."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(call, done))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        await done

    async def take(self, problem_keys: tuple[str, ...], first: int, last: int) -> list[JournaledCall]:
        """All journaled calls of some samples of some problems, in a fixed order."""
        return await self._work(lambda: list(self._journal.calls(problem_keys, first, last)))

    async def forget(self, call_keys: list[str]) -> None:
        """Drop calls that a part now holds."""
        await self._work(self._journal.forget, call_keys)
        self._known.difference_update(call_keys)

    async def close(self) -> None:
        """Commit what is waiting and close the journal."""
        if self._flush is not None:
            await asyncio.gather(self._flush, return_exceptions=True)
        try:
            await self._work(self._journal.close)
        finally:
            self._thread.shutdown()

    async def _flush_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._work(self._journal.append, [waiting.call for waiting in batch])
            except BaseException as error:  # every caller gets the error; none may act on a reply that is not on disk
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
                continue
            for waiting in batch:
                self._known.add(waiting.call.call_key)
                if not waiting.done.done():
                    waiting.done.set_result(None)

    async def _work(
        self, function: Callable[Parameters, Result], *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Result:
        work = partial(function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
