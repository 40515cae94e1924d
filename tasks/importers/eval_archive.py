"""An archive of JSON documents (`.eval` of inspect_ai), read one by one, each within a bound; its entries may be zstd.

Python's `zipfile` reads zstd from 3.14 on only, so such entries are unpacked by Arrow.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from overthink.tasks.datasets.input_files import LONGEST_LINE, json_value, regular_file
from overthink.tasks.errors import ProblemError

MOST_UNPACKED = 2**33  # bytes of all entries together
_ZSTD = 93
_FAULTS = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class EvalArchive:
    """The JSON entries of an archive. What cannot be read is a ProblemError that names the entry."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        """Raises what `zipfile` raises for a file that is no archive, and ValueError for one that is too large."""
        self._path, self._stream, self._archive = path, stream, zipfile.ZipFile(stream)
        entries = self._archive.infolist()
        self.names = [entry.filename for entry in entries]
        if len(set(self.names)) < len(self.names):
            raise ValueError("an entry is there twice")
        size = sum(entry.file_size for entry in entries)
        if size > MOST_UNPACKED:
            raise ValueError(f"its {size:,} bytes, unpacked, are more than the {MOST_UNPACKED:,} that are read")

    def document(self, name: str) -> Any:
        """The JSON value of an entry."""
        where = f"{self._path}, {name}"
        try:
            return json_value(self._unpacked(self._archive.getinfo(name)))
        except _FAULTS as error:
            raise ProblemError(f"{where}: cannot be read ({error}); was the log cut off?") from error

    def _unpacked(self, entry: zipfile.ZipInfo) -> bytes:
        size = max(entry.file_size, entry.compress_size)
        if size > LONGEST_LINE:
            raise ValueError(f"its {size:,} bytes are more than the {LONGEST_LINE:,} that are read")
        if entry.compress_type != _ZSTD:
            with self._archive.open(entry) as opened:
                return opened.read(LONGEST_LINE + 1)  # to its end, where its checksum is compared
        packed = pa.py_buffer(self._packed(entry))
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as unpacking:
            data = bytes(unpacking.read(entry.file_size + 1))
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise ValueError("its size or its checksum is another than the archive says")
        return data

    def _packed(self, entry: zipfile.ZipInfo) -> bytes:
        """The bytes of an entry: behind its local header, whose name and extra field have lengths of their own."""
        self._stream.seek(entry.header_offset)
        header = self._stream.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise ValueError("it has no header")
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        self._stream.seek(lengths, os.SEEK_CUR)
        return self._stream.read(entry.compress_size)


@contextmanager
def opened_archive(path: Path) -> Iterator[EvalArchive]:
    """An archive, open for reading. Raises ProblemError for what is none."""
    with ExitStack() as stack:
        try:
            archive = EvalArchive(path, stack.enter_context(regular_file(path)))
        except _FAULTS as error:
            raise ProblemError(f"{path}: cannot be read as an archive ({error}): name a whole .eval file") from error
        yield archive
