"""The place of one engine of a run: loaded when first needed, shared, and loaded again after a death."""

import asyncio
import gc
from typing import Any, Generic, TypeVar

from overthink.tasks.engines.engine_protocol import AnyPrm, Policy, Sandbox
from overthink.tasks.errors import EngineDied, EngineUnavailable

Engine = TypeVar("Engine", Policy, AnyPrm, Sandbox)


class EngineSlot(Generic[Engine]):
    """A slot for one engine: loaded when first needed, shared by all shards, reloaded after it died.

    A failed reload also counts as a death: the next attempt may succeed.
    """

    def __init__(self, config: Any, opener: Any) -> None:
        self.config = config
        self._opener = opener
        self._engine: Engine | None = None
        self._lock = asyncio.Lock()
        self._has_died = False

    @property
    def is_loaded(self) -> bool:
        """Whether there is an engine now."""
        return self._engine is not None

    @property
    def is_loading(self) -> bool:
        """Whether somebody waits for an engine that is not there yet."""
        return self._engine is None and self._lock.locked()

    async def get(self) -> Engine:
        """The engine, loaded if necessary. Raises EngineUnavailable the first time, EngineDied after a death."""
        async with self._lock:
            if self._engine is None:
                try:
                    self._engine = await self._opener(self.config)
                except EngineUnavailable as error:
                    if self._has_died:
                        raise EngineDied(str(error)) from error
                    raise
                gc.freeze()  # the libraries' million objects: each full collection would walk through them, for 0.5 s
            return self._engine

    async def discard(self, engine: Engine) -> None:
        """Drop an engine that died; does nothing if another shard has already done so."""
        async with self._lock:
            if self._engine is engine:
                self._engine = None
                self._has_died = True
                await engine.close()

    async def close(self) -> None:
        """Close the engine, if it was loaded."""
        async with self._lock:
            if self._engine is not None:
                engine, self._engine = self._engine, None
                await engine.close()


def sandbox_slot() -> EngineSlot[Sandbox]:
    """A slot for the sandbox that holds on this machine."""

    async def opener(_: None) -> Sandbox:
        from overthink.tasks.engines.sandbox.choosing import open_sandbox

        return await open_sandbox()

    return EngineSlot(None, opener)
