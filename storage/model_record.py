"""The record of a trained model in a bucket: which files it consists of."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from overthink.storage.files import read_json, sha256_of
from overthink.storage.record_files import EXACT, checked_record, write_record


@dataclass(frozen=True)
class ModelFile:
    """A file of a trained model, by its path in the model's folder."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RecordedModel:
    """The files that a trained model consists of."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    files: tuple[ModelFile, ...]


_MODEL_FILES = TypeAdapter(RecordedModel)


def write_model_record(record: Path, folder: Path) -> None:
    """Write the record of the files in a model's folder."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [ModelFile(str(path.relative_to(folder)), path.stat().st_size, sha256_of(path)) for path in paths]
    write_record(record, asdict(RecordedModel(tuple(files))))


def read_model_record(record: Path) -> tuple[ModelFile, ...]:
    """The files of a model. Raises StorageError naming the record and the remedy where it is invalid."""
    value = read_json(record)
    value = {"files": value} if isinstance(value, list) else value  # the format of version 0.1
    return checked_record(record, value, _MODEL_FILES, "the list of a model's files").files
