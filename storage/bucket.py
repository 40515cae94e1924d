"""Objects under one address of an S3-compatible store, asked for with patience while the network is down.

Endpoint, region and keys are those of the usual variables (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, …). Only
the endpoint's host and the bucket's name are ever told.
"""

import hashlib
import logging
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, FileType, S3FileSystem

from storage.errors import BucketUnreachable, ObjectMissing, StorageError
from storage.files import disk_errors

logger = logging.getLogger(__name__)

SCHEME = "s3://"
PATIENCE_VARIABLE = "OVERTHINK_BUCKET_PATIENCE"
PATIENCE_SECONDS = 120.0
LONGEST_WAIT_SECONDS = 10.0
ATTEMPTS_AT_ONCE = 2  # of the AWS client itself, before we wait
_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[\w.=-]+)*)/?")
_AWS_ERROR = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))?")
_REFUSED = {
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "MISSING_AUTHENTICATION_TOKEN",
    "UNRECOGNIZED_CLIENT",
    "REQUEST_EXPIRED",
    "INVALID_SIGNATURE",
    "NO_SUCH_BUCKET",
}
Result = TypeVar("Result")


@dataclass(frozen=True)
class Address:
    """A bucket and the prefix of the keys in it; `prefix` is empty or ends with a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read s3://BUCKET/PREFIX. Raises StorageError where it is not one."""
        found = _ADDRESS.fullmatch(text)
        if found is None or {".", ".."} & set(text.split("/")):
            # What is wrong with it may be keys that were written into it, so it is not told.
            raise StorageError(
                "a store in a bucket is named s3://BUCKET or s3://BUCKET/PREFIX, with letters, digits and ._=- in the "
                "prefix, and nothing else: keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return cls(found["bucket"], found["prefix"].removeprefix("/") + "/" if found["prefix"] else "")

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".removesuffix("/")


@dataclass(frozen=True)
class StoredObject:
    """An object's size in bytes, and when it was written, in whole seconds since 1970."""

    size: int
    written_at: int


class Bucket:
    """The objects at one address, and the folder that keeps what they lack.

    Raises StorageError with the remedy where a request is refused, ObjectMissing where there is no such object, and
    BucketUnreachable where no answer came for as long as patience lasts; from then on it has none.
    """

    def __init__(self, address: Address, folder: Path) -> None:
        self.address = address
        self._folder = folder
        scheme, host = endpoint()
        self._host = host or "AWS"
        self._path = f"{address.bucket}/{address.prefix}"
        self._patience = 0.0  # at first contact a wrong name is likelier than a cut network
        self._files = _connected(scheme, host)
        self._require_bucket()
        self._patience = _patience()

    def _require_bucket(self) -> None:
        if self._patiently(lambda: self._files.get_file_info(self.address.bucket)).type == FileType.NotFound:
            raise StorageError(
                f"there is no bucket {self.address.bucket!r} at {self._host}: make it, or mend --store or "
                "AWS_ENDPOINT_URL"
            )

    def objects(self, folder: str = "") -> dict[str, StoredObject]:
        """What lies under a folder, by key."""
        selector = FileSelector((self._path + folder).rstrip("/"), recursive=True, allow_not_found=True)
        found = self._patiently(lambda: self._files.get_file_info(selector))
        return {info.path.removeprefix(self._path): _stored(info) for info in found if info.is_file}

    def find(self, key: str) -> StoredObject | None:
        """One object as it is now, or None."""
        info = self._patiently(lambda: self._files.get_file_info(self._path + key))
        return _stored(info) if info.is_file else None

    def read(self, key: str) -> bytes | None:
        """An object's bytes, or None."""

        def read() -> bytes:
            with self._files.open_input_stream(self._path + key) as stream:
                return bytes(stream.read())

        try:
            return self._patiently(read, key)
        except ObjectMissing:
            return None

    def sha256(self, key: str) -> str:
        """The hexadecimal SHA-256 of an object's bytes, as they are in the bucket."""

        def digest() -> str:
            with self._files.open_input_stream(self._path + key) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

        return self._patiently(digest, key)

    def download(self, key: str, path: Path) -> None:
        """Write an object's bytes to a file; not durably."""

        def copy() -> None:
            with self._files.open_input_stream(self._path + key) as stream, path.open("wb") as file:
                shutil.copyfileobj(stream, file)

        with disk_errors(path):
            self._patiently(copy, key)

    def write(self, key: str, content: bytes) -> None:
        """Make an object, or put another in its place; whole or not at all."""

        def write() -> None:
            with self._files.open_output_stream(self._path + key) as stream:
                stream.write(content)

        self._patiently(write)

    def upload(self, key: str, path: Path) -> None:
        """Make an object of a file's bytes."""
        with disk_errors(path), path.open("rb") as file:
            self._patiently(lambda: self._copy(file, key))

    def _copy(self, file: BinaryIO, key: str) -> None:
        file.seek(0)
        with self._files.open_output_stream(self._path + key) as stream:
            shutil.copyfileobj(file, stream)

    def move(self, key: str, target: str) -> None:
        """Give an object another key."""
        self._patiently(lambda: self._files.move(self._path + key, self._path + target))

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        try:
            self._patiently(lambda: self._files.delete_file(self._path + key))
        except ObjectMissing:
            return

    def remove_folder(self, folder: str) -> None:
        """Remove everything under a folder."""
        try:
            self._patiently(lambda: self._files.delete_dir(self._path + folder))
        except ObjectMissing:
            return

    def _patiently(self, request: Callable[[], Result], key: str = "") -> Result:
        """Make a request, again and again where no answer comes, at growing intervals."""
        deadline, wait = time.monotonic() + self._patience, 0.5
        while True:
            try:
                return request()
            except FileNotFoundError as error:
                raise ObjectMissing(f"{self.address}/{key} is missing") from error
            except OSError as error:
                if error.errno is not None:  # of a file here, not of the bucket
                    raise
                reason = _reason(error)
                if _is_refusal(error):
                    raise StorageError(self._refused(reason)) from error
                if time.monotonic() + wait > deadline:
                    self._patience = 0.0
                    raise BucketUnreachable(
                        f"{self.address} cannot be reached at {self._host} ({reason}): mend the network, or "
                        "AWS_ENDPOINT_URL, and run the same command again; what it lacks is safe in "
                        f"{self._folder} and is sent then"
                    ) from error
            logger.warning("%s does not answer (%s); trying again", self.address, reason)
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _refused(self, reason: str) -> str:
        return (
            f"{self.address} is refused by {self._host} ({reason}): check that AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are set, and that they may list, read, write and delete there"
        )


def endpoint() -> tuple[str, str]:
    """Scheme and host of the endpoint that the environment names; no host for AWS itself."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if not address:
        return "https", ""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise StorageError("AWS_ENDPOINT_URL is not an endpoint: write it as http://HOST:PORT or https://HOST")
    return parts.scheme, parts.netloc


def _connected(scheme: str, host: str) -> Any:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ("us-east-1" if host else None)
    return S3FileSystem(
        scheme=scheme,
        endpoint_override=host or None,
        region=region,
        allow_delayed_open=True,  # a small object is one request
        check_directory_existence_before_creation=True,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS_AT_ONCE),
    )


def _patience() -> float:
    text = os.environ.get(PATIENCE_VARIABLE) or str(PATIENCE_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise StorageError(f"{PATIENCE_VARIABLE} is not a number of seconds: {text}")
    return seconds


def _stored(info: Any) -> StoredObject:
    return StoredObject(info.size, info.mtime_ns // 10**9)


def _reason(error: OSError) -> str:
    """The kind of an error alone: what servers say about it may hold what nobody should read in a log."""
    found = _AWS_ERROR.search(str(error))
    return found[0].removeprefix("AWS Error ") if found else type(error).__name__


def _is_refusal(error: OSError) -> bool:
    """Whether the bucket answered, so that asking again would not help."""
    found = _AWS_ERROR.search(str(error))
    if found is None:
        return False
    return found[1] in _REFUSED or ((found[2] or "").startswith("4") and found[2] not in ("408", "429"))
