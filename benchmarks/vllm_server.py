"""vLLM's own server as a process of its own on loopback, with the settings that an engine of the run's own has.

A `plain` one is without our middleware; `environment` adds to that of its process.
"""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

from overthink.tasks.child_processes import command_of, start
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.family_data import family_name
from overthink.tasks.engines.vllm.server_flags import flags_of, server_flags
from overthink.tasks.engines.vllm.settings import engine_arguments, engine_environment, gpu_is_there, shares_cores
from overthink.tasks.engines.vllm.step_serving import MIDDLEWARE


class VllmServer:
    """Serves one model under the name it has in reports; started and stopped as often as you like."""

    def __init__(
        self,
        config: VllmPolicyConfig | VllmPrmConfig,
        log: Path,
        plain: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        model = locate_model(config)
        has_gpu = gpu_is_there()
        extra = [] if plain else ["--middleware", MIDDLEWARE]
        if isinstance(config, VllmPrmConfig):
            extra += server_flags(family_name(config.family), load_tokenizer(model))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._words = [
            *("--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", model.name),
            *("--enable-prompt-tokens-details", "--uvicorn-log-level", "warning"),
            *flags_of(engine_arguments(config, model, 0, has_gpu)),
            *extra,
        ]
        # A server does not know of other engines, and policy and PRM mostly stand side by side.
        half = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2))} if shares_cores(has_gpu) else {}
        self._environment = os.environ | engine_environment(config, has_gpu) | half | dict(environment or {})
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it answers later."""
        with self._log.open("ab") as log:
            command = command_of("vllm.entrypoints.openai.api_server", *self._words)
            self._process = start(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)

    def wait(self, seconds: float = 600) -> None:
        """Return once it answers. Raises RuntimeError where it ends or `seconds` pass before."""
        assert self._process is not None, "start it first"
        last = time.monotonic() + seconds
        while time.monotonic() < last and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.5)
        raise RuntimeError(f"the server did not come up: {self._log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """Kill it and its children at once, as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
