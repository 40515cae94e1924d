"""Checks of whole runs: policy and PRM on one card, at once and in turn, and a run that is killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

import overthink
from benchmarks.gpu_setting import CONTEXT, POLICY, PRM, Setting, used_gib

SECONDS_TO_END = 10
BEAM_SEARCH = {"method": "beam_search", "n": 16, "step_tokens": 64}
BEST_OF_N = {"method": "best_of_n", "n": 16}


def recipe(method: dict[str, Any], share: float, problems: int) -> dict[str, Any]:
    """One method, policy and PRM each with this share of the card."""
    engine = {"engine": "vllm", "max_model_len": CONTEXT, "placement": {"gpu_memory": share, "cpu_cache_gib": 1}}
    return {
        "name": "gpu-check",
        "problems": {"source": "chains", "count": problems},
        "policy": engine | {"model": POLICY},
        "prm": engine | {"model": PRM},
        "methods": [method],
        "budgets": [16],
        "sampling": {"temperature": 0.8, "max_tokens": 256},
    }


async def whole_run(setting: Setting, method: dict[str, Any], share: float) -> str:
    """Run it in a new store; what it wrote, how fast, and how long that took with the loading of both engines."""
    store = setting.folder / f"store-{method['method']}-{time.time_ns()}"
    problems = 100 if setting.cards else 8
    begin = time.perf_counter()
    run = await overthink.run_async(recipe(method, share, problems), store)
    seconds = time.perf_counter() - begin
    assert run.status == "complete", run.status
    results = overthink.open_store(store)
    (bad,) = results.sql(
        "SELECT count(*) AS n FROM scores WHERE score IS NULL OR score NOT BETWEEN 0 AND 1"
    ).to_pylist()
    (made,) = results.sql(
        "SELECT sum(output_tokens) AS tokens, count(DISTINCT problem_id) AS problems FROM calls WHERE kind = 'generate'"
    ).to_pylist()
    assert bad["n"] == 0, f"{bad['n']} scores are no numbers in [0, 1]"
    assert made["problems"] == problems
    return f"{made['tokens']:,} tokens of {made['problems']} problems in {seconds:.0f} s, loading included"


async def two_engines(setting: Setting) -> str:
    """A beam search with policy and PRM loaded at once on one card, each with its share of the memory."""
    return await whole_run(setting, BEAM_SEARCH, 0.4)


async def in_turn(setting: Setting) -> str:
    """Best-of-N with 0.9 of the card for each: the policy's memory is free before the PRM is loaded."""
    before = used_gib(0) if setting.cards else 0.0
    told = await whole_run(setting, BEST_OF_N, 0.9)
    if setting.cards:
        left = used_gib(0) - before
        assert left < 1, f"{left:.1f} GiB of the card are still taken"
    return told


async def killed(setting: Setting) -> str:
    """A run killed with -9 while it writes: its processes end, and the card's memory is free again."""
    before = used_gib(0) if setting.cards else 0.0
    path, store = setting.folder / "killed.yaml", setting.folder / f"store-killed-{time.time_ns()}"
    path.write_text(json.dumps(recipe(BEAM_SEARCH, 0.4, 1000)), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "overthink"), "run", str(path), "--store", str(store)]
    life = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not is_writing(store):
            assert life.poll() is None, f"it ended with code {life.returncode} before it wrote anything"
            await asyncio.sleep(0.1)
        beneath = psutil.Process(life.pid).children(recursive=True)
    finally:
        life.send_signal(signal.SIGKILL)
        life.wait()
    begin = time.perf_counter()
    _, left = psutil.wait_procs(beneath, SECONDS_TO_END)
    seconds = time.perf_counter() - begin
    assert not left, f"{len(left)} of {len(beneath)} processes are left after {SECONDS_TO_END} s: {left[0].cmdline()}"
    while setting.cards and used_gib(0) - before > 1:
        assert time.perf_counter() - begin < SECONDS_TO_END, f"{used_gib(0) - before:.1f} GiB are still taken"
        await asyncio.sleep(0.1)
    return f"{len(beneath)} processes ended in {seconds:.1f} s"


def is_writing(store: Path) -> bool:
    """Whether calls were journaled."""
    return any(path.stat().st_size > 100_000 for path in store.glob("stages/*/journals/*.sqlite*"))
