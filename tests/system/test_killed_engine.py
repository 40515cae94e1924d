"""Real vLLM for the policy, in its process, which is killed in the middle of a beam search."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from search_runs import rows

from overthink.flows.evaluate import evaluate
from overthink.tasks.engines.vllm.vllm_policy import VllmPolicy
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.shards import ENGINE_TASK

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server")]

RECIPE = {
    "name": "killed-engine",
    "problems": {"source": "chains", "count": 12, "longest": 4},
    "policy": {"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 512},
    "prm": {"engine": "torch", "model": "zoo/abacus-prm", "max_model_len": 512},
    "methods": [{"method": "beam_search", "n": 8, "step_tokens": 64}],
    "budgets": [8],
    "sampling": {"temperature": 0.8, "max_tokens": 256},
}
BEFORE_THE_KILL = 150


async def test_a_search_goes_on_after_kill_nine_of_its_engines_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])
    killed: list[int] = []
    answered = 0
    write = VllmPolicy._write

    async def counted(self: Any, *arguments: Any) -> Any:
        nonlocal answered
        if answered >= BEFORE_THE_KILL and not killed:
            (copy,) = self._copies._copies
            killed.append(copy._process.pid)
            os.kill(killed[0], signal.SIGKILL)
        written = await write(self, *arguments)
        answered += 1
        return written

    monkeypatch.setattr(VllmPolicy, "_write", counted)
    await evaluate(Recipe.model_validate(RECIPE), tmp_path)
    (made,) = rows(tmp_path, "SELECT count(*) AS calls FROM calls WHERE kind = 'generate'")
    assert killed
    assert answered == made["calls"] > BEFORE_THE_KILL, "no answered call was made again"
    assert rows(tmp_path, "SELECT * FROM scores WHERE score IS NULL OR score NOT BETWEEN 0 AND 1") == []
    (right,) = rows(tmp_path, "SELECT accuracy FROM summary WHERE selector = 'prm_last_max'")
    assert right["accuracy"] > 0.5
