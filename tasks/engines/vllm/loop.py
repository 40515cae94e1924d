"""vLLM's own step loop, in a separate process: requests come through a pipe, answers return in batches.

For small models this is the fastest front end: a plain loop of `add_request` and `step`, without a thread or a task
for each request. The driver of the searches runs in another process, and so shares neither Python's lock nor, with a
spare core, a core with the engine. `VllmProcess` starts it as a child process that ends with its own
(`tasks/child_processes.py`), with the descriptor of its end of a pipe, and sends through the pipe what to load.
"""

import importlib
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from overthink.tasks.engines.models import require
from overthink.tasks.engines.vllm.cores import SharedCores
from overthink.tasks.engines.vllm.counted_draws import CountedDraws, use_counted_draws
from overthink.tasks.engines.vllm.lean_logprobs import use_lean_logprobs
from overthink.tasks.engines.vllm.messages import INSTALL, ReadPlaces, Write
from overthink.tasks.errors import EngineUnavailable

logger = logging.getLogger(__name__)

SECONDS_TO_SAY_SO = 5.0

Asked = tuple[int, Write | ReadPlaces]  # with the number of its answer


class AskerGone(Exception):
    """The other process died or closed the pipe."""


@dataclass(frozen=True)
class Loaded:
    """vLLM's engine, with our own draws where its core is in this process; `cores` is None on a GPU."""

    engine: Any
    draws: CountedDraws | None
    cores: SharedCores | None


class VllmLoop:
    """One copy of a vLLM engine, which takes what has arrived between two steps."""

    def __init__(self, loaded: Loaded, connection: Connection) -> None:
        self._engine = loaded.engine
        self._draws = loaded.draws
        self._cores = loaded.cores
        self._connection = connection
        self._asked: dict[str, Asked] = {}
        self._refusals = refusals()

    def run(self) -> None:
        """Answer requests until None arrives. Raises AskerGone, and whatever vLLM raises."""
        while self._take():
            if self._cores is not None:
                self._cores.work()
            answers = [self._answer(output) for output in self._engine.step() if output.finished]
            if answers:
                send(self._connection, answers)

    def _take(self) -> bool:
        """Take in what has arrived, or wait for it where there is nothing to do; False at the end."""
        while self._has_arrived():
            try:
                batch: list[Asked] | None = self._connection.recv()
            except (EOFError, ConnectionError) as gone:
                raise AskerGone from gone
            if batch is None:
                return False
            refused = [(number, error) for number, asked in batch if (error := self._add(number, asked)) is not None]
            if refused:
                send(self._connection, refused)
        return True

    def _has_arrived(self) -> bool:
        if self._engine.has_unfinished_requests():
            return self._connection.poll(0)
        if self._cores is not None:
            self._cores.rest()
        return self._connection.poll(None)

    def _add(self, number: int, asked: Write | ReadPlaces) -> ValueError | None:
        try:
            prompt = {"prompt_token_ids": asked.ids}
            self._engine.add_request(str(number), prompt, self._parameters(number, asked), lora_request=asked.adapter())
        except self._refusals as error:
            return ValueError(str(error))
        self._asked[str(number)] = (number, asked)
        return None

    def _parameters(self, number: int, asked: Write | ReadPlaces) -> Any:
        if isinstance(asked, Write) and self._draws is not None:
            return asked.counted_parameters(number)
        return asked.parameters()

    def _answer(self, output: Any) -> tuple[int, Any]:
        number, asked = self._asked.pop(output.request_id)
        if isinstance(asked, Write) and self._draws is not None:
            return number, asked.counted_answer(output, self._draws.take(number))
        return number, asked.answer(output)


def send(connection: Connection, message: Any) -> None:
    """Send what can be pickled. Raises AskerGone, which errors of vLLM's own pipes are not to be taken for."""
    try:
        connection.send(message)
    except ConnectionError as error:
        raise AskerGone from error


def load(settings: Mapping[str, Any], own_process: bool, seat: tuple[int, int] | None = None) -> Loaded:
    """vLLM's engine, its core in yet another process or not. Raises EngineUnavailable where it cannot be.

    `seat` is the descriptor of the command's table of cores and the engine's place in it.
    """
    torch = require("torch", INSTALL)
    cores = None if seat is None else SharedCores(*seat, torch.get_num_threads(), torch.set_num_threads)
    draws = None if own_process or settings.get("speculative_config") else use_counted_draws()
    engine_class = require("vllm.v1.engine.llm_engine", INSTALL).LLMEngine
    use_lean_logprobs()
    arguments = require("vllm", INSTALL).EngineArgs(**vllm_arguments(settings))
    return Loaded(engine_class.from_engine_args(arguments, enable_multiprocessing=own_process), draws, cores)


def vllm_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings with vLLM's own class where it wants one."""
    if "pooler_config" not in settings:
        return dict(settings)
    pooler = require("vllm.config", INSTALL).PoolerConfig(**settings["pooler_config"])
    return {**settings, "pooler_config": pooler}


def cache_tokens(engine: Any) -> int | None:
    """The tokens that the engine's key-value cache holds; None where it does not say."""
    config = engine.vllm_config.cache_config
    blocks: int | None = config.num_gpu_blocks
    return None if blocks is None else blocks * int(config.block_size)


def refusals() -> tuple[type[Exception], ...]:
    """vLLM's own error for a request that it will not take, where this version has one."""
    found = getattr(importlib.import_module("vllm.exceptions"), "VLLMValidationError", None)
    return (ValueError,) if found is None else (ValueError, found)


def main(connection: Connection) -> None:
    """Load what the pipe says, answer until the end, and say why where that comes too soon."""
    settings, own_process, seat = connection.recv()
    place = None if seat is None else (reduction.recv_handle(connection), seat)
    try:
        loaded = load(settings, own_process, place)
    except EngineUnavailable as error:
        connection.send(error)
        return
    except BaseException as error:  # whatever vLLM raises while loading belongs to the one who waits for it
        connection.send(_loading_failure(settings["model"], error))
        return
    ending = threading.Event()
    threading.Thread(target=end_with_core, args=[ending], name="vllm-core", daemon=True).start()
    try:
        send(connection, cache_tokens(loaded.engine))
        VllmLoop(loaded, connection).run()
    except AskerGone:
        logger.warning("whoever asked is gone: the engine ends")
    except BaseException as error:  # every caller is told what vLLM raised
        connection.send(f"{type(error).__name__}: {error}")
    finally:
        ending.set()
        shut_down(loaded.engine)


def end_with_core(ending: threading.Event) -> None:
    """End this process where the core's, if there is one, has died and nothing says so: vLLM waits for it for ever."""
    cores = [child.sentinel for child in multiprocessing.active_children()]
    if cores and wait(cores) and not ending.wait(SECONDS_TO_SAY_SO):
        logger.error("the process of vLLM's core died: the engine ends")
        os._exit(1)


def shut_down(engine: Any) -> None:
    """End the engine's core, where that is another process."""
    end = getattr(engine.engine_core, "shutdown", None)
    if end is not None:
        end()


def _loading_failure(model: str, error: BaseException) -> EngineUnavailable:
    reason = " ".join(str(error).split())[:400]
    return EngineUnavailable(
        f"vLLM cannot load {model} ({type(error).__name__}: {reason}): check the model's folder, `max_model_len` and "
        "`placement`"
    )


def serve(descriptor: int) -> NoReturn:
    """The whole life of the process, given its end of the pipe."""
    connection = Connection(descriptor)
    os.register_at_fork(after_in_child=connection.close)  # a core that vLLM forks would hold it open after our death
    main(connection)
    sys.stderr.flush()
    os._exit(0)  # Python takes seconds to take vLLM apart, in which its memory stays taken and our close waits


if __name__ == "__main__":
    serve(int(sys.argv[1]))
