"""vLLM's own step loop in a thread: requests go in from the event loop, finished outputs come back in batches.

For small models this is the fastest front end there is: a plain loop of `add_request` and `step`, without a second
process or a per-request task. vLLM is imported here alone, when an engine is opened.
"""

import asyncio
import importlib
import logging
import os
import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.engines.config import ModelConfig, Placement
from tasks.engines.models import ModelFiles, require
from tasks.engines.step_thread import step_thread
from tasks.errors import EngineDied, EngineUnavailable

logger = logging.getLogger(__name__)

INSTALL = "pip install 'overthink[gpu]', or `make install` for the CPU environment"
CPU_BATCHED_TOKENS = 16_384
CPU_BLOCK_SIZE = 32  # the smallest its kernels are fast with; the default, 128, is longer than a short question


def engine_arguments(config: ModelConfig, model: ModelFiles, copy: int, has_gpu: bool) -> dict[str, Any]:
    """What is handed to vLLM's EngineArgs for one copy of the model; a pure function of the recipe."""
    placement = config.placement
    arguments: dict[str, Any] = {
        "model": str(model.folder),
        "dtype": config.dtype,
        "max_model_len": config.max_model_len,
        "trust_remote_code": config.trust_remote_code,
        "enable_prefix_caching": True,
        "max_num_seqs": placement.max_in_flight,
        "tensor_parallel_size": placement.tensor_parallel,
        "disable_log_stats": True,
    }
    if has_gpu:
        arguments["gpu_memory_utilization"] = placement.gpu_memory
        if placement.gpus:
            arguments["device_ids"] = list(gpus_of_copy(placement, copy))
        return arguments
    # On a CPU a request with its own seed crashes vLLM when its prefill is split.
    return arguments | {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "block_size": CPU_BLOCK_SIZE,
        "max_num_batched_tokens": max(CPU_BATCHED_TOKENS, config.max_model_len or 0),
        "kv_cache_memory_bytes": placement.cpu_cache_gib * 2**30,
    }


def gpus_of_copy(placement: Placement, copy: int) -> tuple[int, ...]:
    """The GPU ids of one data-parallel copy; empty where the recipe names none."""
    width = placement.tensor_parallel
    return placement.gpus[copy * width : (copy + 1) * width]


def engine_environment(config: ModelConfig, has_gpu: bool) -> dict[str, str]:
    """Environment variables that one copy of the engine starts with.

    On a CPU the engine core shares our process, which is fastest; on a GPU it has its own, so that closing it frees
    the GPU's memory for the next engine.
    """
    return {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if has_gpu else "0",
        "VLLM_CPU_KVCACHE_SPACE": str(config.placement.cpu_cache_gib),
    }


def gpu_is_there() -> bool:
    """Whether torch sees a GPU."""
    return bool(require("torch", INSTALL).cuda.is_available())


@dataclass(frozen=True)
class _Submission:
    prompt: list[int]
    parameters: Any
    future: asyncio.Future[Any]


class VllmLoop:
    """One copy of a vLLM engine, carried forward by a StepThread."""

    def __init__(self, arguments: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._arguments = dict(arguments)
        self._environment = dict(environment)
        self._inbox: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._engine: Any = None
        self._death: BaseException | None = None
        self._events = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._events.create_future()
        self._own_process = self._environment.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "1"
        self._thread = step_thread(self._own_process)
        self._number = 0
        self.done = False
        self.in_flight = 0

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable where it cannot be."""
        self._thread.add(self)
        await self._ready

    async def submit(self, prompt: list[int], parameters: Any) -> Any:
        """One request; returns vLLM's finished output. Raises EngineDied where the engine stopped."""
        if self._death is not None:
            raise EngineDied(f"vLLM had stopped: {self._death}")
        future: asyncio.Future[Any] = self._events.create_future()
        self.in_flight += 1
        try:
            self._inbox.put(_Submission(prompt, parameters, future))
            self._thread.wake()
            return await future
        finally:
            self.in_flight -= 1

    @property
    def waiting(self) -> int:
        """See `Stepped.waiting`."""
        return self._inbox.qsize() + len(self._pending)

    async def close(self) -> None:
        """Free the engine."""
        self._inbox.put(None)
        self._thread.wake()
        while not self.done:
            await asyncio.sleep(0.01)

    def turn(self) -> bool:
        """See `Stepped.turn`."""
        if self._engine is None:
            self._start_engine()
            return True
        try:
            return self._step()
        except BaseException as error:  # every caller is told what vLLM raised
            self._death = error
            told = error if isinstance(error, EngineDied) else f"{type(error).__name__}: {error}"
            self._tell(self._fail_all, EngineDied(f"vLLM stopped: {told}"))
            self._end()
            return True

    def _start_engine(self) -> None:
        try:
            self._engine = self._load()
        except BaseException as error:  # whatever vLLM raises while loading belongs to the one who waits for it
            self._tell(self._ready.set_exception, _loading_failure(self._arguments["model"], error))
            self.done = True
            return
        self._refusals = refusals()
        self._tell(self._ready.set_result, None)

    def _load(self) -> Any:
        with set_variables(self._environment):
            vllm = require("vllm", INSTALL)
            engine_class = require("vllm.v1.engine.llm_engine", INSTALL).LLMEngine
            arguments = vllm.EngineArgs(**self._arguments)
            return engine_class.from_engine_args(arguments, enable_multiprocessing=self._own_process)

    def _step(self) -> bool:
        for submission in self._arrivals():
            if submission is None:
                raise EngineDied("it was closed")
            self._add(submission)
        if not self._engine.has_unfinished_requests():
            return False
        finished = [(self._pending.pop(out.request_id), out) for out in self._engine.step() if out.finished]
        if finished:
            self._tell(self._deliver, finished)
        return True

    def _add(self, submission: _Submission) -> None:
        self._number += 1
        try:
            prompt = {"prompt_token_ids": submission.prompt}
            self._engine.add_request(str(self._number), prompt, submission.parameters)
        except self._refusals as error:
            self._tell(self._deliver, [(submission.future, ValueError(str(error)))])
            return
        self._pending[str(self._number)] = submission.future

    def _arrivals(self) -> Iterator[_Submission | None]:
        while True:
            try:
                yield self._inbox.get_nowait()
            except queue.Empty:
                return

    def _end(self) -> None:
        engine, self._engine = self._engine, None
        try:
            _shut_down(engine)
        except Exception:  # the thread must live on for the engines that share it
            logger.exception("vLLM could not be shut down cleanly")
        self.done = True

    def _tell(self, callback: Any, *arguments: Any) -> None:
        try:
            self._events.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the event loop is gone, and with it everyone who could be told
            self.done = True

    def _deliver(self, finished: list[tuple[asyncio.Future[Any], Any]]) -> None:
        for future, output in finished:
            if future.done():
                continue
            if isinstance(output, Exception):
                future.set_exception(output)
            else:
                future.set_result(output)

    def _fail_all(self, error: EngineDied) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error)
        self._pending.clear()
        while not self._inbox.empty():
            submission = self._inbox.get_nowait()
            if submission is not None and not submission.future.done():
                submission.future.set_exception(error)


def _loading_failure(model: str, error: BaseException) -> EngineUnavailable:
    if isinstance(error, EngineUnavailable):
        return error
    reason = " ".join(str(error).split())[:400]
    return EngineUnavailable(
        f"vLLM cannot load {model} ({type(error).__name__}: {reason}): check the model's folder, `max_model_len` and "
        "`placement`"
    )


def refusals() -> tuple[type[Exception], ...]:
    """vLLM's own error for a request that it will not take, where this version has one."""
    found = getattr(importlib.import_module("vllm.exceptions"), "VLLMValidationError", None)
    return (ValueError,) if found is None else (ValueError, found)


def _shut_down(engine: Any) -> None:
    shut_down = getattr(engine.engine_core, "shutdown", None)
    if shut_down is not None:
        shut_down()


@contextmanager
def set_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the time of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
