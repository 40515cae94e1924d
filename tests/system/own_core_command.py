"""`overthink` whose vLLM engines have their cores in processes of their own on a CPU too, as they have on a GPU."""

import os
from collections.abc import Mapping
from typing import Any

from overthink.flows.commands.cli import app
from overthink.tasks.engines.vllm import copies
from overthink.tasks.engines.vllm.cores import Seat
from overthink.tasks.engines.vllm.process import VllmProcess


class ApartProcess(VllmProcess):
    """An engine with a core of its own."""

    @classmethod
    async def start(
        cls, settings: Mapping[str, Any], own_process: bool, environment: Mapping[str, str], seat: Seat | None = None
    ) -> "VllmProcess":
        return await VllmProcess.start(
            settings, True, {**environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "OMP_NUM_THREADS": "1"}
        )


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    copies.VllmProcess = ApartProcess  # type: ignore[misc]
    app()
