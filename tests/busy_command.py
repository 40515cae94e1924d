"""`overthink gc` that is busy in some way instead of looking for garbage: `WAY STORE`. It says when it is."""

import hashlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import overthink.flows.commands.stopping as stopping
import overthink.flows.commands.upkeep as upkeep
from overthink.flows.commands.cli import app


def in_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()
    time.sleep(600)


WAYS: dict[str, Callable[[], object]] = {
    "in Python": lambda: time.sleep(600),
    "in a library": lambda: hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9),
    "in a thread": in_a_thread,
}


def busy(*_: Any) -> list[Any]:
    print("busy", flush=True)
    WAYS[sys.argv[1]]()
    return []


if __name__ == "__main__":
    stopping.PATIENCE_SECONDS = 1.0
    upkeep.find_garbage = busy
    app(["gc", "--store", sys.argv[2]])
