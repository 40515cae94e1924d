"""A process's session in a bucket: a record that it renews while it holds locks there.

sessions/<id>.json   the process, how long its lease is, what it is committing, and whether another process ended it

Everything that a process holds hangs on this one object. Whoever has seen it unchanged for the lease's length ends the
session by replacing the very version that it watched; from then on no renewal and no commit succeeds, however late it
comes. A commit is a renewal that names the object to create: it is decided in the same moment in which the session is
known to be alive, and whoever ends the session creates that object before it takes anything over.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter

from overthink.storage.lock import only_writer
from overthink.storage.s3.bucket import Bucket
from overthink.storage.storage_errors import BucketUnreachable, LeaseLost, StorageError

logger = logging.getLogger(__name__)

FOLDER = "sessions"
RENEWALS = 3  # in the length of a lease


@dataclass(frozen=True)
class SessionRecord:
    """What a session's object says. `lease` is in seconds, `commits` maps keys to the text of objects to create."""

    pid: int
    host: str
    lease: float
    renewals: int = 0
    commits: Mapping[str, str] = field(default_factory=dict)
    is_over: bool = False

    def to_bytes(self) -> bytes:
        """The record as it is stored."""
        return _RECORD.dump_json(self)

    @staticmethod
    def parse(content: bytes) -> "SessionRecord":
        """The record that `to_bytes` wrote."""
        return _RECORD.validate_json(content)

    @property
    def holder(self) -> str:
        """The process, as messages name it."""
        return f"process {self.pid} on {self.host}"


_RECORD = TypeAdapter(SessionRecord)


def session_key(session_id: str) -> str:
    """The key of a session's object, and the path of its lock file in the working folder."""
    return f"{FOLDER}/{session_id}.json"


class Session:
    """The session of this process. The other processes of this machine see by a lock file that it lives."""

    def __init__(self, bucket: Bucket, root: Path, lease: float) -> None:
        self.id = uuid4().hex
        self.is_lost = False
        self._key = session_key(self.id)
        self._bucket = bucket
        self._path = root / self._key
        self._turn = threading.Lock()
        self._commits: dict[str, str] = {}
        self._record = SessionRecord(os.getpid(), socket.gethostname(), lease)
        self._version: str | None = None
        self._stopped = threading.Event()
        self._file = ExitStack()
        self._file.enter_context(only_writer(self._path, "this session"))
        try:
            self._renew(bucket)
        except BaseException:
            self._file.close()
            raise
        self._thread = threading.Thread(target=self._keep_renewing, daemon=True, name="bucket-session")
        self._thread.start()

    @contextmanager
    def committing(self, key: str, content: bytes) -> Iterator[None]:
        """Decide that an object is created, which the block then does. Raises LeaseLost where the session is over.

        Where the block fails, whoever ends this session creates the object.
        """
        with self._turn:
            self._commits[key] = content.decode()
            self._renew(self._bucket)
        yield
        with self._turn:
            del self._commits[key]

    def check(self) -> None:
        """Raise LeaseLost where this session is known to be over."""
        if self.is_lost:
            raise LeaseLost(self._told)

    def confirm(self) -> None:
        """Renew now. Raises LeaseLost where this session is over, BucketUnreachable where that cannot be known."""
        with self._turn:
            self._renew(self._bucket)

    @property
    def _told(self) -> str:
        return (
            f"{self._record.holder} could not renew its lease for {self._record.lease:g} s, and another process has "
            "ended its session: what it was making there does not count"
        )

    def settle(self) -> None:
        """Renew once more where the record still names objects that were created: nobody must create them again."""
        with self._turn:
            if self._record.commits and not self._commits and not self.is_lost:
                self._renew(self._bucket)

    def close(self) -> None:
        """Stop renewing and remove the record, unless an object of it may still be lacking.

        Where the record stays, so does the lock file: by that one the next process of this machine knows at once that
        the session is over.
        """
        self._stopped.set()
        self._thread.join(1.0)  # a renewal that is under way longer finds the record removed
        if self._commits and not self.is_lost:
            self._file.close()
            return
        try:
            if not self.is_lost:
                self._bucket.remove(self._key)
            self._path.unlink(missing_ok=True)
        except BucketUnreachable as error:
            logger.warning("the session of %s ends when its lease does: %s", self._record.holder, error)
        self._file.close()

    def _keep_renewing(self) -> None:
        once = self._bucket.impatient()
        while not self._stopped.wait(self._record.lease / RENEWALS):
            try:
                with self._turn:
                    self._renew(once)
            except LeaseLost as error:
                logger.warning("%s", error)
                return
            except StorageError as error:
                logger.warning("the lease is not renewed: %s", error)

    def _renew(self, bucket: Bucket) -> None:
        """Replace the record by one with the next number. Raises LeaseLost where another process ended the session."""
        record = replace(self._record, renewals=self._record.renewals + 1, commits=dict(self._commits))
        while not self.is_lost:
            version = bucket.put(self._key, record.to_bytes(), over=self._version)
            if version is not None:
                self._record, self._version = record, version
                return
            there = bucket.version(self._key)
            if there is None or SessionRecord.parse(there[0]).is_over:
                self.is_lost = True
            else:
                self._version = there[1]  # of a renewal whose answer was lost
        raise LeaseLost(self._told)
