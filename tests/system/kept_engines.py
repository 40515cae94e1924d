"""vLLM's processes kept between runs: the next run that wants the same engine takes over the loaded one."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from overthink.tasks.engines.vllm.messages import ReadPlaces, Write
from overthink.tasks.engines.vllm.process import VllmProcess


class KeptEngine:
    """One process as a run sees it; closing it only gives it back."""

    def __init__(self, process: VllmProcess, idle: list[VllmProcess]) -> None:
        self._process, self._idle = process, idle
        process._events = asyncio.get_running_loop()

    @property
    def in_flight(self) -> int:
        return self._process.in_flight

    async def submit(self, asked: Write | ReadPlaces) -> Any:
        return await self._process.submit(asked)

    async def close(self) -> None:
        self._idle.append(self._process)


class KeptEngines:
    """Stands where `VllmProcess` does, for engines that nobody kills: each is loaded once for all that ask alike."""

    def __init__(self) -> None:
        self._idle: dict[str, list[VllmProcess]] = defaultdict(list)

    async def start(self, settings: Mapping[str, Any], own_process: bool, environment: Mapping[str, str]) -> KeptEngine:
        idle = self._idle[repr((settings, own_process, environment))]
        process = idle.pop() if idle else await VllmProcess.start(settings, own_process, environment)
        return KeptEngine(process, idle)

    def end(self) -> None:
        for process in (process for idle in self._idle.values() for process in idle):
            asyncio.run(process.close())
