"""The data-parallel copies of one vLLM engine: each request goes to the copy with the fewest in flight."""

from collections.abc import Mapping
from typing import Any

from tasks.engines.config import ModelConfig
from tasks.engines.models import ModelFiles
from tasks.engines.vllm_loop import VllmLoop, engine_arguments, engine_environment, gpu_is_there


class VllmCopies:
    """`placement.data_parallel` copies of one model."""

    def __init__(self, loops: list[VllmLoop]) -> None:
        self._loops = loops

    @classmethod
    async def start(cls, config: ModelConfig, model: ModelFiles, extra: Mapping[str, Any]) -> "VllmCopies":
        """Load every copy, one after the other. Raises EngineUnavailable where one cannot be."""
        has_gpu = gpu_is_there()
        loops = []
        for copy in range(config.placement.data_parallel):
            arguments = {**engine_arguments(config, model, copy, has_gpu), **extra}
            loop = VllmLoop(arguments, engine_environment(config, has_gpu))
            await loop.start()
            loops.append(loop)
        return cls(loops)

    async def submit(self, prompt: list[int], parameters: Any) -> Any:
        """One request to the least busy copy."""
        return await min(self._loops, key=lambda loop: loop.in_flight).submit(prompt, parameters)

    async def close(self) -> None:
        """Close every copy."""
        for loop in self._loops:
            await loop.close()
