"""Objects under one address of an S3-compatible store; requests are retried while the network is down.

Endpoint, region and keys come from the usual variables (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, …). Messages
and logs show only the endpoint's host and the bucket's name.
"""

import hashlib
import logging
import os
import random
import re
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from overthink.storage.files import disk_errors
from overthink.storage.s3.bucket_settings import endpoint, patience_seconds
from overthink.storage.storage_errors import BucketUnreachable, ObjectMissing, StorageError

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.auth.boto3 import Boto3CredentialProvider

logger = logging.getLogger(__name__)

SCHEME = "s3://"
LONGEST_WAIT_SECONDS = 10.0
RETRIES_AT_ONCE = 1  # obstore's own retries hear no signal; we retry beyond them, and hear signals
STALLED_SECONDS = 60  # without one byte of an answer
LONGEST_REQUEST_SECONDS = 6 * 3600  # obstore's default of 30 s is too short for a large object on a slow line
UPLOADS_AT_ONCE = 4  # parts of 5 MiB of one object
PASSING_STATUSES = (408, 409, 429)
_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[\w.=-]+)*)/?")
_STATUS = re.compile(r"status code: (?P<status>\d{3})(?:.*?<Code>(?P<code>[A-Za-z]{1,64})</Code>)?", re.DOTALL)
_NO_ANSWER = re.compile(r"kind: (Connect|Request|Timeout|Interrupted|Decode)")
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
            # The text may contain keys, so the message does not show it.
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
    """The objects at one address, and the folder that keeps what has not been sent.

    Raises StorageError with the remedy where a request is refused, ObjectMissing where there is no such object, and
    BucketUnreachable where no answer comes within the patience limit; later requests are then not retried.
    """

    def __init__(self, address: Address, folder: Path) -> None:
        self.address = address
        self._folder = folder
        scheme, host = endpoint()
        self._host = host or "AWS"
        self._patience = 0.0  # on first contact a wrong name is more likely than a network failure
        self._objects = self._connected(scheme, host)
        self._patiently(lambda: self._objects.list("first-contact").collect())
        self._patience = patience_seconds()

    def _connected(self, scheme: str, host: str) -> S3Store:
        keys = self._keys()
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return S3Store(
            self.address.bucket,
            prefix=self.address.prefix or None,
            endpoint=f"{scheme}://{host}" if host else None,
            region=region or (keys and keys.config.get("region")) or "us-east-1",
            client_options={
                "allow_http": scheme == "http",
                "read_timeout": timedelta(seconds=STALLED_SECONDS),
                "timeout": timedelta(seconds=LONGEST_REQUEST_SECONDS),
            },
            retry_config={"max_retries": RETRIES_AT_ONCE},
            credential_provider=keys,
        )

    def _keys(self) -> "Boto3CredentialProvider | None":
        """The provider of keys from ~/.aws, a role or this machine; None where the environment holds them."""
        if os.environ.get("AWS_ACCESS_KEY_ID"):
            return None
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            return Boto3CredentialProvider()
        except (ValueError, BotoCoreError) as error:
            raise StorageError(self._refused(f"no keys, {type(error).__name__}")) from None

    def objects(self, folder: str = "") -> dict[str, StoredObject]:
        """The objects under a folder, by key; empty objects only mark folders and are left out."""
        found = self._patiently(lambda: self._objects.list(folder).collect())
        return {each["path"]: _stored(each) for each in found if each["size"]}

    def find(self, key: str) -> StoredObject | None:
        """The current state of one object, or None."""
        try:
            return _stored(self._patiently(lambda: self._objects.head(key), key))
        except ObjectMissing:
            return None

    def read(self, key: str) -> bytes | None:
        """An object's bytes, or None."""
        version = self.version(key)
        return version and version[0]

    def version(self, key: str) -> tuple[bytes, str] | None:
        """An object's bytes and its version tag, or None."""

        def read() -> tuple[bytes, str]:
            found = self._objects.get(key)
            return bytes(found.bytes()), found.meta["e_tag"] or ""

        try:
            return self._patiently(read, key)
        except ObjectMissing:
            return None

    def sha256(self, key: str) -> str:
        """The hexadecimal SHA-256 of an object's bytes, as they are in the bucket."""

        def digest() -> str:
            digest = hashlib.sha256()
            for piece in self._objects.get(key).stream():
                digest.update(piece)
            return digest.hexdigest()

        return self._patiently(digest, key)

    def download(self, key: str, path: Path) -> None:
        """Write an object's bytes to a file; not durably."""

        def copy() -> None:
            with path.open("wb") as file:
                file.writelines(self._objects.get(key).stream())

        with disk_errors(path):
            self._patiently(copy, key)

    def write(self, key: str, content: bytes, over: str | None = None) -> bool:
        """Create an object, or replace version `over` of it; whole or not at all.

        Returns False, and writes nothing, where another version is there by now.
        """
        return self.put(key, content, over) is not None

    def put(self, key: str, content: bytes, over: str | None = None) -> str | None:
        """As `write`; returns the tag of the new version, or None where nothing was written."""
        mode: PutMode = "create" if over is None else {"e_tag": over}
        try:
            done = self._patiently(lambda: self._objects.put(key, content, mode=mode, use_multipart=False), key)
        except (AlreadyExistsError, PreconditionError, ObjectMissing):
            return None
        return done["e_tag"] or ""

    def impatient(self) -> Self:
        """The same objects, for requests that are not made again where no answer comes."""
        other = copy(self)
        other._patience = 0.0
        return other

    def upload(self, key: str, path: Path) -> None:
        """Upload a file as an object."""
        with disk_errors(path), path.open("rb") as file:

            def copy() -> None:
                file.seek(0)
                self._objects.put(key, file, max_concurrency=UPLOADS_AT_ONCE)

            self._patiently(copy, key)

    def move(self, key: str, target: str) -> None:
        """Move an object to another key."""
        self._patiently(lambda: self._objects.rename(key, target), key)

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        self._patiently(lambda: self._objects.delete(key), key)

    def remove_folder(self, folder: str) -> None:
        """Remove everything under a folder."""
        keys = [each["path"] for each in self._patiently(lambda: self._objects.list(folder).collect())]
        self._patiently(lambda: self._objects.delete(keys))

    def _patiently(self, request: Callable[[], Result], key: str = "") -> Result:
        """Make a request; retry at growing intervals while no answer comes."""
        deadline, wait = time.monotonic() + self._patience, 0.5
        while True:
            try:
                return request()
            except (AlreadyExistsError, PreconditionError):
                raise
            except FileNotFoundError as error:
                raise ObjectMissing(f"{self.address}/{key} is missing") from error
            except BaseError as error:
                status, reason = _told(error)
                if (refusal := self._refusal(status, reason)) is not None:
                    raise StorageError(refusal) from error
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

    def _refusal(self, status: int, reason: str) -> str | None:
        """The message for an error that a retry would not mend, because the bucket did answer; None for others."""
        if "NoSuchBucket" in reason:
            return (
                f"there is no bucket {self.address.bucket!r} at {self._host}: make it, or mend --store or "
                "AWS_ENDPOINT_URL"
            )
        if status == 501:
            return f"{self._host} does not support conditional writes ({reason}): use one that does, as S3 itself does"
        return self._refused(reason) if 300 <= status < 500 and status not in PASSING_STATUSES else None

    def _refused(self, reason: str) -> str:
        return (
            f"{self.address} is refused by {self._host} ({reason}): check that AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are set, and that they may list, read, write and delete there"
        )


def _stored(found: "ObjectMeta") -> StoredObject:
    return StoredObject(found["size"], int(found["last_modified"].timestamp()))


def _told(error: BaseError) -> tuple[int, str]:
    """The HTTP status of an answer, 0 where there was none, and the kind of the error.

    Only the kind: a server's message may contain secrets, which must not reach a log.
    """
    text = str(error)
    if (found := _STATUS.search(text)) is not None:
        return int(found["status"]), f"HTTP status {found['status']} {found['code'] or ''}".rstrip()
    if "redirect without LOCATION" in text:
        return 301, "another region, see AWS_REGION"
    kind = _NO_ANSWER.search(text)
    return 0, f"{kind[1]} error" if kind else type(error).__name__
