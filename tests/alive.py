"""Which processes are still there."""

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def stat(pid: int) -> list[str]:
    """State, parent and more of a process, empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(pid: int) -> bool:
    """Whether a process goes on; a zombie, which is not ours to take, does not."""
    return stat(pid)[:1] not in ([], ["Z"])


def beneath(pid: int) -> dict[int, str]:
    """The command lines of all processes that one has started, and those have, by number."""
    parents = {int(path.name): stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found: dict[int, str] = {}
    above = {pid}
    while above:
        above = {child for child, fields in parents.items() if fields and int(fields[1]) in above}
        found |= {child: command_line(child) for child in above}
    return found


def command_line(pid: int) -> str:
    """Its words, none where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def left_of(pids: Iterable[int], seconds: float) -> list[int]:
    """Those that are still there after so many seconds."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def numbers_told(process: "subprocess.Popen[Any]", count: int) -> list[int]:
    """The numbers on the next lines of its standard output."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]
