"""What a program should not be able to do, tried: this file's text is run in a sandbox, and prints what it could."""

import json
import os
import socket
import sys
from typing import Any


def reading(file: str) -> str | None:
    """The content of a file of this machine."""
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except OSError:
        return None


def is_connected(port: int) -> bool:
    """Whether somebody on this machine answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def begun(processes: int) -> int:
    """How many children could be begun at once."""
    for count in range(processes):
        try:
            if os.fork() == 0:
                os.close(held)
                os.read(until_the_end, 1)
                os._exit(0)
        except OSError:
            return count
    return processes


def is_given(count: int) -> bool:
    """Whether so many bytes could be had."""
    try:
        return len(bytearray(count)) == count
    except MemoryError:
        return False


if __name__ == "__main__":
    until_the_end, held = os.pipe()
    asked: dict[str, Any] = json.load(sys.stdin)
    found = {
        "user": os.getuid(),
        "environment": len(os.environ),
        "read": reading(asked["file"]),
        "is_connected": is_connected(asked["port"]),
        "is_memory_given": is_given(asked["memory"]),
        "processes": begun(asked["processes"]),
    }
    print(json.dumps(found))
