"""`overthink gc` that is busy in some way instead of looking for garbage: `WAY STORE`. It says when it is."""

import asyncio
import hashlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import duckdb

import overthink.flows.commands.stopping as stopping
import overthink.storage.garbage as garbage
from overthink.flows.commands.cli import app


def in_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()
    time.sleep(600)


class Kept(BaseException):
    """What asyncio keeps in the task that it is raised in, as it does with the exception of Prefect's handler."""


def keep(*_: Any) -> None:
    raise Kept


async def beside_others() -> None:
    signal.signal(signal.SIGTERM, keep)

    async def hit() -> None:
        print("busy", flush=True)
        while True:
            time.sleep(0.01)

    for result in await asyncio.gather(asyncio.sleep(600), hit(), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


WAYS: dict[str, Callable[[], object]] = {
    "in Python": lambda: time.sleep(600),
    "in a library": lambda: hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9),
    "in a query": lambda: duckdb.sql(
        "SELECT sum(a.range * b.range) FROM range(10000000) a, range(9000000) b"
    ).fetchall(),
    "in a thread": in_a_thread,
    "in a task": lambda: asyncio.run(stopping.ending_with_its_tasks(beside_others())),
}


def busy(*_: Any) -> list[Any]:
    if sys.argv[1] != "in a task":  # which says so itself
        print("busy", flush=True)
    WAYS[sys.argv[1]]()
    return []


if __name__ == "__main__":
    if sys.argv[1] != "in a task":  # which must end by itself
        stopping.PATIENCE_SECONDS = 1.0
    garbage.find_garbage = busy
    app(["gc", "--store", sys.argv[2]])
