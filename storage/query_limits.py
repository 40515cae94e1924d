"""What a query may take: memory, threads and time, from the machine where the user says nothing."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

LEAST, LEAST_BY_DEFAULT = 1_000_000, 256_000_000
TIME_LIMIT_SECONDS = 60.0
_MEMORY = Path("/proc/meminfo")
# The limit of a container and what it holds: of version 2 of control groups, and of version 1.
_CONTAINERS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def bytes_of(size: str) -> int:
    """The bytes of a size such as 4GB, 512MiB or 1.5G. Raises ValueError for what is none, and for less than 1 MB."""
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise ValueError(f"{size!r} is no size: write one such as 4GB or 512MiB")
    number, unit, binary = found.groups()
    count = int(float(number) * (1024 if binary else 1000) ** " KMGT".index(unit.upper() or " "))
    if count < LEAST:
        raise ValueError(f"{size!r} is less than 1 MB, with which nothing can be answered")
    return count


def free_memory() -> int:
    """The bytes that this process may still take: of the machine, or of its container where that has fewer."""
    (line,) = (line for line in _MEMORY.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable"))
    free = int(line.split()[1]) * 1024
    for limit, used in _CONTAINERS:
        if limit.exists() and used.exists() and (most := limit.read_text(encoding="ascii").strip()).isdecimal():
            free = min(free, int(most) - int(used.read_text(encoding="ascii")))
    return free


@dataclass(frozen=True)
class QueryLimits:
    """The most that a query may take.

    `memory` is DuckDB's, in bytes: half of what is free, since rows on their way out are outside of it. There are as
    many `threads` as this process has cores. `seconds` bounds DuckDB's time, None: not at all.
    """

    memory: int = field(default_factory=lambda: max(LEAST_BY_DEFAULT, free_memory() // 2))
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    seconds: float | None = TIME_LIMIT_SECONDS

    @property
    def answer(self) -> int:
        """The most bytes of an answer that is held in memory as a whole; one that is streamed has no bound."""
        return self.memory // 2
