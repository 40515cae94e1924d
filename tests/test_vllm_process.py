"""The process of an engine as the event loop sees it: dead while loading, dead at work, closed, or left alone."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from alive import left_of

from overthink.tasks.engines.vllm import process as vllm_process
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.engines.vllm.process import VllmProcess
from overthink.tasks.errors import EngineDied, EngineUnavailable
from overthink.tasks.records import Sampling

# A process that speaks as `overthink.tasks.engines.vllm.loop` does: it loads or dies as the model's name says, writes
# the seed as its only token, refuses seed 8 and is killed at seed 9; seed 7 is never answered.
LOOP = """
import os, signal, sys
from multiprocessing.connection import Connection
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.errors import EngineUnavailable

pipe = Connection(int(sys.argv[1]))
settings, *_ = pipe.recv()
if settings["model"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if settings["model"] == "slow":
    open(settings["told"], "w").write(str(os.getpid()))
    pipe.recv()
if settings["model"] == "broken":
    pipe.send(EngineUnavailable("no weights"))
    sys.exit()
pipe.send(None)
while (batch := pipe.recv()) is not None:
    for number, asked in batch:
        if asked.seed == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        elif asked.seed == 8:
            pipe.send([(number, ValueError("no eights"))])
        elif asked.seed == 6:
            pipe.send("RuntimeError: out of memory")
            sys.exit()
        elif asked.seed != 7:
            pipe.send([(number, WrittenText([asked.seed], [0.0], "stop", 0))])
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stand_in_loop.py").write_text(LOOP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(vllm_process, "LOOP", "stand_in_loop")


@pytest_asyncio.fixture
async def engine(stand_in: None) -> AsyncIterator[VllmProcess]:
    process = await VllmProcess.start({"model": "m"}, False, {})
    yield process
    await process.close()


def write(seed: int) -> Write:
    return Write([1], Sampling(1.0, 1.0, 8), [], seed)


async def test_each_gets_its_own_answer(engine: VllmProcess) -> None:
    answers = await asyncio.gather(*(engine.submit(write(100 + number)) for number in range(50)))
    assert [answer.tokens for answer in answers] == [[100 + number] for number in range(50)]
    assert engine.in_flight == 0


async def test_a_refusal_is_that_request_s_alone(engine: VllmProcess) -> None:
    with pytest.raises(ValueError, match="no eights"):
        await engine.submit(write(8))
    assert (await engine.submit(write(5))).tokens == [5]


@pytest.mark.parametrize(
    ("seed", "reason"), [(9, "its process ended with code -9"), (6, "RuntimeError: out of memory")]
)
async def test_every_caller_of_a_dying_engine_is_told(engine: VllmProcess, seed: int, reason: str) -> None:
    told = await asyncio.gather(*(engine.submit(write(each)) for each in (7, 7, seed)), return_exceptions=True)
    assert all(isinstance(error, EngineDied) and reason in str(error) for error in told)
    with pytest.raises(EngineDied, match="had stopped"):
        await engine.submit(write(5))


async def test_what_waits_at_the_close_is_told(engine: VllmProcess) -> None:
    waiting = asyncio.ensure_future(engine.submit(write(7)))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineDied, match="it was closed"):
        await waiting


async def test_a_process_that_dies_while_loading_is_an_engine_that_cannot_be_had() -> None:
    with pytest.raises(EngineUnavailable, match=r"cannot load killed \(its process ended with code -9\)"):
        await VllmProcess.start({"model": "killed"}, False, {})


async def test_a_loading_failure_is_told_in_its_own_words() -> None:
    with pytest.raises(EngineUnavailable, match="no weights"):
        await VllmProcess.start({"model": "broken"}, False, {})


async def test_a_stopped_process_is_killed_at_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_process, "SECONDS_TO_END", 0.2)
    process = await VllmProcess.start({"model": "m"}, False, {})
    pid = process._process.pid
    os.kill(pid, signal.SIGSTOP)
    await process.close()
    assert process._process.returncode == -signal.SIGKILL


OWNER = """
import asyncio, os, signal, sys
from overthink.tasks.engines.vllm import process as vllm_process
vllm_process.LOOP = "stand_in_loop"

async def main():
    process = await vllm_process.VllmProcess.start({"model": "m"}, False, {})
    print(process._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_the_engine_ends_with_a_killed_owner() -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    written, _ = await owner.communicate()
    await ended(int(written))


# The real loop over an engine that is in a step for ten minutes, as a verifier of billions of weights on a CPU may be.
BUSY = """
import sys, time
from overthink.tasks.engines.vllm import loop

from types import SimpleNamespace

class Busy:
    vllm_config = SimpleNamespace(cache_config=SimpleNamespace(num_gpu_blocks=None))
    def has_unfinished_requests(self):
        return True

    def step(self):
        time.sleep(600)

loop.load = lambda *_: loop.Loaded(Busy(), None, None)
loop.refusals = lambda: (ValueError,)
loop.serve(int(sys.argv[1]))
"""


async def test_the_engine_ends_with_a_killed_owner_in_the_middle_of_a_long_step(tmp_path: Path) -> None:
    (tmp_path / "stand_in_loop.py").write_text(BUSY)
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    written, _ = await owner.communicate()
    await ended(int(written))


async def ended(pid: int) -> None:
    assert await asyncio.to_thread(left_of, [pid], 5) == []


async def test_an_engine_nobody_waits_for_any_more_is_killed_while_it_loads(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    starting = asyncio.ensure_future(VllmProcess.start({"model": "slow", "told": str(told)}, False, {}))
    async with asyncio.timeout(60):
        while not (told.exists() and told.read_text()):
            await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not Path(f"/proc/{told.read_text()}").exists(), "neither a process nor a zombie is left"


def test_an_answer_after_the_end_of_the_event_loop_ends_the_engine() -> None:
    process = asyncio.run(VllmProcess.start({"model": "m"}, False, {}))
    process._asked.put([(1, write(5))])
    process._receiver.join(60)
    assert process._process.returncode == 0


# The real loop over an engine whose core is forked and says nothing of its own death, as vLLM's is and does on a GPU.
CORE = """
import multiprocessing, sys, time
from overthink.tasks.engines.vllm import loop as vllm_loop
from overthink.tasks.engines.vllm.messages import Write

from types import SimpleNamespace

class Engine:
    vllm_config = SimpleNamespace(cache_config=SimpleNamespace(num_gpu_blocks=None))
    engine_core = None

    def __init__(self, told):
        self.core = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600], daemon=True)
        self.core.start()
        self.busy = False
        open(told, "w").write(str(self.core.pid))

    def has_unfinished_requests(self):
        return self.busy

    def add_request(self, *_, **__):
        self.busy = True

    def step(self):
        time.sleep(600)

Write.parameters = lambda _: None
vllm_loop.SECONDS_TO_SAY_SO = 0.1
vllm_loop.load = lambda settings, *_: vllm_loop.Loaded(Engine(settings["told"]), None, None)
vllm_loop.refusals = lambda: (ValueError,)
vllm_loop.serve(int(sys.argv[1]))
"""


@pytest.mark.parametrize(("victim", "code"), [("engine", -9), ("core", 1)])
async def test_engine_and_core_die_together_and_callers_are_told(
    victim: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "core_loop.py").write_text(CORE)
    monkeypatch.setattr(vllm_process, "LOOP", "core_loop")
    told = tmp_path / "core"
    process = await VllmProcess.start({"model": "m", "told": str(told)}, True, {})
    core = int(told.read_text())
    waiting = asyncio.ensure_future(process.submit(write(5)))
    await asyncio.sleep(0.2)
    os.kill(process._process.pid if victim == "engine" else core, signal.SIGKILL)
    with pytest.raises(EngineDied, match=f"its process ended with code {code}"):
        await asyncio.wait_for(waiting, 30)
    await ended(core)
    await process.close()
