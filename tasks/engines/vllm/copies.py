"""The data-parallel copies of one vLLM engine: each request goes to the copy with the fewest in flight."""

import asyncio
from collections.abc import Mapping
from typing import Any, overload

from overthink.tasks.engines.engine_config import VllmModelConfig
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.vllm.cores import Seat, core_table
from overthink.tasks.engines.vllm.messages import HeadRows, ReadPlaces, Write
from overthink.tasks.engines.vllm.process import VllmProcess
from overthink.tasks.engines.vllm.settings import (
    engine_arguments,
    engine_environment,
    gpu_is_there,
    shares_cores,
    with_further,
)


class VllmCopies:
    """`placement.data_parallel` copies of one model."""

    def __init__(self) -> None:
        self._copies: list[VllmProcess] = []
        self._seats: list[Seat] = []

    @classmethod
    async def start(cls, config: VllmModelConfig, model: ModelFiles, extra: Mapping[str, Any]) -> "VllmCopies":
        """Load every copy, one after the other. Raises EngineUnavailable where one cannot be."""
        has_gpu = gpu_is_there()
        copies = cls()
        try:
            for number in range(config.placement.data_parallel):
                settings = with_further(engine_arguments(config, model, number, has_gpu), extra)
                seat = core_table().seat() if shares_cores(has_gpu) else None
                copies._seats += [seat] if seat is not None else []
                environment = engine_environment(config, has_gpu)
                copies._copies.append(await VllmProcess.start(settings, has_gpu, environment, seat))
        except BaseException:
            await copies.close()
            raise
        return copies

    @property
    def cache_tokens(self) -> int | None:
        """The tokens that the key-value caches of all copies hold; None where one does not say."""
        held = [copy.cache_tokens for copy in self._copies]
        return None if None in held else sum(tokens for tokens in held if tokens is not None)

    @overload
    async def submit(self, asked: Write) -> WrittenText: ...
    @overload
    async def submit(self, asked: ReadPlaces) -> HeadRows: ...
    async def submit(self, asked: Write | ReadPlaces) -> WrittenText | HeadRows:
        """One request to the least busy copy."""
        return await min(self._copies, key=lambda copy: copy.in_flight).submit(asked)

    async def close(self) -> None:
        """Close every copy."""
        try:
            await asyncio.gather(*(copy.close() for copy in self._copies))
        finally:
            for seat in self._seats:
                seat.leave()
