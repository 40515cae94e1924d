"""Records: the small JSON files that say what exists. Each carries a digest of itself and has the types of its class.

Records of version 0.1 have no digest; only their types and names are checked.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from overthink.storage.files import read_json, write_json
from overthink.storage.keys import content_key
from overthink.storage.storage_errors import StorageError
from overthink.tasks.pydantic_words import plain

DIGEST = "digest"
EXACT = ConfigDict(strict=True, extra="forbid")  # `__pydantic_config__` of a record's class
Record = TypeVar("Record")


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write a record with its digest, whole or not at all. Raises ValueError for NaN and infinity."""
    plain = json.loads(json.dumps(value))  # as it will be read, so that both digests agree
    write_json(path, {**plain, DIGEST: content_key(plain)})


def read_record(path: Path, shape: TypeAdapter[Record], what: str) -> Record:
    """Read a record. Raises StorageError naming the file and the remedy where it is not `what` or was changed."""
    return checked_record(path, read_json(path), shape, what)


def checked_record(path: Path, value: Any, shape: TypeAdapter[Record], what: str) -> Record:
    """The record in a file's JSON value; see `read_record`."""
    remedy = "restore it from a copy, or delete it and run the recipe again"
    try:
        if isinstance(value, dict) and DIGEST in value:
            content = {name: each for name, each in value.items() if name != DIGEST}
            if content_key(content) != value[DIGEST]:
                raise StorageError(f"{path} was changed after it was written (its digest differs): {remedy}")
            value = content
        return shape.validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise StorageError(f"{path} is not {what} ({place}: {plain(first)}): {remedy}") from error
    except ValueError as error:
        raise StorageError(f"{path} is not {what} ({error}): {remedy}") from error
