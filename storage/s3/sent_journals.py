"""Journals of a stage in a bucket: kept in the folder, and sent on piece by piece for whoever takes a shard over.

stages/sample-1f2e…/journals/<shard>/<digest>.gz    some answered calls of a shard in progress

A call counts once it is in the folder's journal. It is in the bucket some seconds later, a third of a lease at most
unless the network is cut, or when the journal is closed. What a dead machine had not sent is asked again.
"""

import gzip
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from overthink.storage.journal import Journal, JournaledCall, row_of
from overthink.storage.journals import Journals
from overthink.storage.s3.bucket import Bucket
from overthink.storage.s3.bucket_settings import lease_seconds
from overthink.storage.s3.session import RENEWALS, Session
from overthink.storage.storage_errors import LeaseLost, StorageError

logger = logging.getLogger(__name__)


class SentJournal(Journal):
    """The journal of a shard that is held under a lease; it holds what other machines sent of the shard, too."""

    def __init__(self, path: Path, bucket: Bucket, folder: str, session: Session) -> None:
        super().__init__(path)
        self._bucket = bucket.impatient()
        self._folder = folder
        self._session = session
        self._unsent: list[JournaledCall] = []
        self._sent: list[str] = []
        self._sent_at = time.monotonic()
        self._sending: threading.Thread | None = None
        self._fetch(bucket)

    def append(self, calls: Sequence[JournaledCall]) -> None:
        """Commit answered calls, as in a folder. Raises LeaseLost where another process may have the shard by now."""
        self._session.check()
        super().append(calls)
        self._unsent += calls
        is_due = time.monotonic() > self._sent_at + lease_seconds() / RENEWALS
        if is_due and (self._sending is None or not self._sending.is_alive()):
            self._sent_at = time.monotonic()
            self._sending = threading.Thread(target=self._send, daemon=True, name="bucket-journal")
            self._sending.start()

    def close(self) -> None:
        """Close the journal. What the bucket has of it is completed, or removed where a part holds all calls."""
        super().close()
        if self._sending is not None:
            self._sending.join()
        if not self._session.is_lost:
            if self.path.exists():
                self._send()
            else:
                _remove(self._bucket, self._folder)
        if self._sent and self._is_too_late():
            self._withdraw()

    def _is_too_late(self) -> bool:
        """Whether another process may have finished the shard before what this one sent arrived."""
        try:
            self._session.confirm()
        except LeaseLost:
            return True
        except StorageError:
            return False  # where the bucket cannot be reached, nothing can be withdrawn either
        return False

    def _withdraw(self) -> None:
        """Remove what this process sent: whoever finished the shard has cleared its journal away and does not return.

        Whoever is still at the shard has these calls in its own folder.
        """
        try:
            for key in self._sent:
                self._bucket.remove(key)
        except StorageError as error:
            logger.warning("answered calls that nobody needs stay in the bucket: %s", error)

    def _send(self) -> None:
        calls, self._unsent = self._unsent, []
        if not calls:
            return
        content = gzip.compress(json.dumps(list(map(row_of, calls))).encode(), compresslevel=1, mtime=0)
        key = f"{self._folder}/{hashlib.sha256(content).hexdigest()}.gz"
        self._sent.append(key)
        try:
            self._bucket.write(key, content)
        except StorageError as error:
            self._unsent = calls + self._unsent
            logger.warning("%d answered calls are on this machine alone: %s", len(self._unsent), error)

    def _fetch(self, bucket: Bucket) -> None:
        known = self.known()
        for key in sorted(bucket.objects(self._folder)):
            content = bucket.read(key)
            if content is None or hashlib.sha256(content).hexdigest() != Path(key).stem:
                logger.warning(
                    "%s/%s has other bytes than were written; its calls are asked again", bucket.address, key
                )
                continue
            calls = [JournaledCall(*row) for row in json.loads(gzip.decompress(content))]
            super().append([call for call in calls if call.call_key not in known])
            known.update(call.call_key for call in calls)


class SentJournals(Journals):
    """The journals below the folder of a stage in a bucket."""

    def __init__(
        self, stage_folder: Path, bucket: Bucket, key: str, session_of: Callable[[str], Session | None]
    ) -> None:
        super().__init__(stage_folder)
        self._bucket = bucket
        self._key = f"{key}/journals"
        self._session_of = session_of

    def open(self, shard: str) -> Journal:
        """The journal of a shard; one that is sent on where the caller holds the shard's lease among all machines."""
        session = self._session_of(shard)
        if session is None:
            return super().open(shard)
        return SentJournal(self._path(shard), self._bucket, f"{self._key}/{shard}", session)

    def drop(self, shard: str) -> None:
        """Remove the journal of a complete shard, here and in the bucket."""
        super().drop(shard)
        _remove(self._bucket, f"{self._key}/{shard}")


def _remove(bucket: Bucket, folder: str) -> None:
    try:
        bucket.remove_folder(folder)
    except StorageError as error:
        logger.warning("answered calls that a part holds stay in the bucket: %s", error)
