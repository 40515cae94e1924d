"""Does a sandbox hold here? It is tried, before any program that nobody has read is run in it."""

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.engines.sandbox.isolation import Isolation
from overthink.tasks.errors import EngineDied, EngineUnavailable
from overthink.tasks.programs import Limits, Program

LIMITS = Limits(cpu_seconds=10, memory_bytes=2**28, processes=8, output_bytes=2**16, file_bytes=2**20)
TRIED_PROCESSES = 40
ATTEMPTS = Path(__file__).with_name("attempts.py").read_text(encoding="utf-8")


async def faults(isolation: Isolation) -> list[str]:
    """Why programs must not be run in it: what one of them could do that it should not, or why none could begin."""
    secret = secrets.token_hex()
    with (
        TemporaryDirectory(prefix="overthink-probe-") as folder,
        closing(socket.create_server(("127.0.0.1", 0))) as door,
    ):
        file = Path(folder) / "secret"
        file.write_text(secret, encoding="utf-8")
        asked = {"file": str(file), "port": door.getsockname()[1], "memory": 2 * LIMITS.memory_bytes}
        try:
            sandbox = IsolatedSandbox(isolation)
            outcome = await sandbox.execute(
                Program(ATTEMPTS), json.dumps(asked | {"processes": TRIED_PROCESSES}), LIMITS
            )
        except (EngineDied, EngineUnavailable) as error:
            return [str(error)]
    if outcome.ended != "exit" or outcome.exit_code != 0:
        return [f"a program that tries its bounds ended by {outcome.ended}: {outcome.stderr.strip()}"]
    return list(_broken(json.loads(outcome.stdout), secret))


def _broken(found: dict[str, Any], secret: str) -> Iterator[str]:
    """What the program could do."""
    if found["user"] == 0:
        yield "a program is root"
    if found["read"] == secret:
        yield "a program reads files of this machine"
    if found["is_connected"]:
        yield "a program reaches this machine over the network"
    if found["processes"] >= LIMITS.processes:
        yield f"a program of at most {LIMITS.processes} processes has begun {found['processes']} more"
    if found["is_memory_given"]:
        yield f"a program of at most {LIMITS.memory_bytes:,} bytes was given twice as many"
    if found["environment"]:
        yield "a program sees our environment"
