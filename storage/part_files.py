"""The parts that a query may read, as a file system for DuckDB that can open them for reading and nothing else.

DuckDB's own file system is disabled, because its settings do not distinguish reading from writing: it may overwrite
any path it may read. The names here exist nowhere else, and no call of this file system writes.
"""

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

SCHEME = "parts://"


class PartFiles(AbstractFileSystem):  # type: ignore[misc]
    """Files by name, `SCHEME` and an internal path; each is a file on disk or its bytes."""

    protocol = "parts"
    cachable = False  # else fsspec would share one object among all stores

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        super().__init__()
        self._files = files

    def open(self, path: str, mode: str = "rb", **_: Any) -> "PartReader | BytesIO":
        """Open a file. Raises PermissionError for any mode but reading, and FileNotFoundError for an unknown name."""
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        file = self._file(path)
        return BytesIO(file) if isinstance(file, bytes) else PartReader(file)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """A file's name, size in bytes and type, as fsspec asks for them."""
        file = self._file(path)
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
        return {"name": path, "size": size, "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file of exactly this name; patterns are not supported."""
        return [path] if path in self._files else []

    def modified(self, path: str) -> datetime:
        """When a file was last written."""
        file = self._file(path)
        return datetime.fromtimestamp(0 if isinstance(file, bytes) else file.stat().st_mtime, UTC)

    def _file(self, path: str) -> Path | bytes:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]


class PartReader:
    """A file opened for reading. DuckDB seeks, then reads, from several threads: each thread has its own position."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)  # DuckDB only drops it; the last reference closes it
        self._place = threading.local()

    def seek(self, place: int) -> int:
        """Go to a byte, counted from the start."""
        self._place.now = place
        return place

    def tell(self) -> int:
        """The byte that this thread reads next."""
        return getattr(self._place, "now", 0)

    def read(self, count: int) -> bytes:
        """The next `count` bytes. Raises EOFError where the file has fewer; DuckDB would not notice."""
        pieces, place = [], self.tell()
        while count:
            piece = os.pread(self._file.fileno(), count, place)
            if not piece:
                raise EOFError(f"{self._file.name} ends {count} bytes too early")
            pieces.append(piece)
            place, count = place + len(piece), count - len(piece)
        self._place.now = place
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
