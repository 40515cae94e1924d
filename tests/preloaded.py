"""A process that has imported vLLM, and forks an engine's process whenever one is to be started.

The import takes six seconds of a core, more than a small model does. As a script this file is that process: `SOCKET`,
the descriptor over which it is asked. Whatever it forks is the loop of an engine as it always is.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.vllm import process as vllm_process
from overthink.tasks.engines.vllm.loop import serve
from overthink.tasks.engines.vllm.settings import engine_environment

LARGEST = 1 << 18  # bytes of a request: an environment
# vLLM, and what it imports only when it loads a model.
IMPORTED = (
    "vllm.v1.engine.llm_engine",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.llama",
    "vllm.model_executor.models.qwen2",
)


class ForkedProcess:
    """An engine's process, as far as `VllmProcess` asks for one."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told)
        self.pid = int(self._told.readline())

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        with self._told:
            return int(self._told.readline())


class Preloaded:
    """The process, seen from the tests."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = os.environ | engine_environment(VllmPolicyConfig(model="zoo/abacus-1m"), has_gpu=False)
        with theirs:
            words = [sys.executable, "-P", __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()], env=environment)

    def fork(self, words: Sequence[str], *, env: Mapping[str, str], **_: Any) -> ForkedProcess:
        """What `VllmProcess` starts, forked; its last word is the descriptor of its pipe."""
        reading, writing = os.pipe()
        socket.send_fds(self._requests, [json.dumps(dict(env)).encode()], [int(words[-1]), writing])
        os.close(writing)
        return ForkedProcess(reading)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, engines are forked."""

        def wait_for_group(process: ForkedProcess) -> int:
            code = process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return code

        with pytest.MonkeyPatch.context() as patched:
            stand_in = SimpleNamespace(Popen=self.fork, DEVNULL=subprocess.DEVNULL)
            patched.setattr(vllm_process, "subprocess", stand_in)
            patched.setattr(vllm_process, "_wait_for_group", wait_for_group)
            yield

    def end(self) -> None:
        """End it; engines that are left notice it by their pipes."""
        self._requests.close()
        self._process.wait()


def become_engine(environment: Mapping[str, str], pipe: int, told: int) -> NoReturn:
    """Fork the loop of an engine, tell its number and, at its end, its exit code."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(told)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os.environ.clear()
        os.environ.update(environment)
        serve(pipe)
    os.close(pipe)
    os.write(told, f"{child}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(told, f"{code}\n".encode())
    os._exit(0)


def main(descriptor: int) -> None:
    """Import all, then fork until nobody asks any more."""
    for name in IMPORTED:
        import_module(name)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            content, descriptors, *_ = socket.recv_fds(requests, LARGEST, 2)
            with suppress(ChildProcessError):  # there is none
                while os.waitpid(-1, os.WNOHANG)[0]:  # whoever has seen an engine end
                    pass
            if not content:
                return
            if os.fork() == 0:
                requests.close()
                become_engine(json.loads(content), *descriptors)
            for each in descriptors:
                os.close(each)


if __name__ == "__main__":
    main(int(sys.argv[1]))
