"""A process that ends before a chosen step on the disk, as a crash would."""

import os
import sqlite3
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import overthink.storage.journal

KILLED = 9


class Steps:
    """Counts the steps on the disk and ends the process before one of them, as a crash would.

    Before a step is after the one before it: nothing else touches the disk in between.
    """

    def __init__(self, crash_at: int) -> None:
        self.crash_at = crash_at
        self.count = 0

    def passed(self, torn: Path | None = None) -> None:
        self.count += 1
        if self.count == self.crash_at:
            if torn is not None:
                os.truncate(torn, torn.stat().st_size // 2)
            os._exit(KILLED)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            self.passed()
            return function(*arguments, **options)

        return stepped

    def around_write(self, function: Callable[..., Any], position: int) -> Callable[..., Any]:
        """Before the file is opened, and with half of it written; what is written into memory is no step."""

        def stepped(*arguments: Any, **options: Any) -> Any:
            if isinstance(arguments[position], BytesIO):
                return function(*arguments, **options)
            self.passed()
            result = function(*arguments, **options)
            self.passed(torn=Path(arguments[position]))
            return result

        return stepped

    def install(self) -> None:
        """Wrap every call that changes the disk, in this process."""
        for name in ("replace", "fsync", "unlink", "mkdir"):
            setattr(os, name, self.around(getattr(os, name)))
        pq.write_table = self.around_write(pq.write_table, 1)
        Path.write_text = self.around_write(Path.write_text, 0)  # type: ignore[method-assign]
        steps = self

        class Connection(sqlite3.Connection):
            def execute(self, *arguments: Any) -> Any:
                reads = arguments[0].startswith(("SELECT", "BEGIN", "PRAGMA sync"))
                return (super().execute if reads else steps.around(super().execute))(*arguments)

            def executemany(self, *arguments: Any) -> Any:
                return steps.around(super().executemany)(*arguments)

            def close(self) -> None:
                steps.around(super().close)()

        connect = sqlite3.connect
        overthink.storage.journal.sqlite3.connect = lambda *a, **o: connect(*a, factory=Connection, **o)
