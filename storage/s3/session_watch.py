"""Which sessions of a bucket are over, as seen by one process: by its own monotonic clock, and by no other clock."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from overthink.storage.lock import is_held
from overthink.storage.s3.bucket import Bucket
from overthink.storage.s3.session import FOLDER, RENEWALS, SessionRecord, session_key

LOOKS = 20  # at a session, in the length of a lease
FORGOTTEN_SECONDS = 3600  # by the bucket's clock alone
CLOCKS_DIFFER_SECONDS = 300  # between this machine and the bucket, where only a display depends on it


@dataclass
class _Watch:
    """What was seen of one session. `unchanged` is for how long, in seconds, its version was seen to stay the same."""

    record: SessionRecord
    version: str
    looked_at: float
    unchanged: float = 0.0
    was_renewed: bool = False

    def look(self, record: SessionRecord, version: str) -> None:
        # A gap in which nobody looked counts as no more than a look's: the bucket may have been away for both sides.
        gap = min(time.monotonic() - self.looked_at, record.lease / RENEWALS)
        is_same = version == self.version
        self.unchanged = self.unchanged + gap if is_same else 0.0
        self.was_renewed |= not is_same
        self.record, self.version, self.looked_at = record, version, time.monotonic()


@dataclass(frozen=True)
class SeenSession:
    """A session at one look; `left` in seconds until its lease runs out, by the bucket's clock and ours."""

    holder: str
    left: float


class SessionWatch:
    """Looks at the sessions of other processes, and ends those whose lease has run out."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        self._bucket = bucket
        self._root = root
        self._watches: dict[str, _Watch] = {}

    def is_over(self, session_id: str) -> bool:
        """Whether a session has ended; it is ended here where its lease has run out. Nothing is pending then."""
        path = self._root / session_key(session_id)
        was_of_this_folder = path.exists()
        if was_of_this_folder and is_held(path):
            return False
        watch = self._watches.get(session_id)
        if watch is not None and time.monotonic() - watch.looked_at < watch.record.lease / LOOKS:
            return False
        there = self._bucket.version(session_key(session_id))
        if there is not None:
            watch = self._looked(session_id, SessionRecord.parse(there[0]), there[1])
            has_died = was_of_this_folder or watch.record.is_over or watch.unchanged >= watch.record.lease
            if not has_died or not self._end(session_id, watch):
                return False
        self._watches.pop(session_id, None)
        path.unlink(missing_ok=True)
        return True

    def is_alive(self, session_id: str) -> bool:
        """Whether a session was seen to be renewed; False also where that is not known yet."""
        path, watch = self._root / session_key(session_id), self._watches.get(session_id)
        return (path.exists() and is_held(path)) or (watch is not None and watch.was_renewed)

    def seems_alive(self, session_id: str) -> bool:
        """Whether a session is probably alive, at one look and by this machine's clock: only for displays."""
        path = self._root / session_key(session_id)
        if path.exists():
            return is_held(path)
        seen = self.seen(session_id)
        return seen is not None and seen.left > -CLOCKS_DIFFER_SECONDS

    def seen(self, session_id: str) -> SeenSession | None:
        """A session at one look, only for displays; None where it is over."""
        key = session_key(session_id)
        content, found = self._bucket.read(key), self._bucket.find(key)
        record = None if content is None else SessionRecord.parse(content)
        if record is None or found is None or record.is_over:
            return None
        return SeenSession(record.holder, found.written_at + record.lease - time.time())

    def holder(self, session_id: str) -> str:
        """The process of a session, as messages name it."""
        there = self._bucket.read(session_key(session_id))
        return "another process" if there is None else SessionRecord.parse(there).holder

    def end_forgotten(self, own_id: str) -> None:
        """End sessions that were not renewed for an hour before this process began its own, by the bucket's clock."""
        found = {Path(key).stem: each.written_at for key, each in self._bucket.objects(FOLDER).items()}
        for session_id, written_at in found.items():
            there = self._bucket.version(session_key(session_id))
            if found.get(own_id, 0) - written_at > FORGOTTEN_SECONDS and there is not None:
                self._end(session_id, self._looked(session_id, SessionRecord.parse(there[0]), there[1]))

    def _looked(self, session_id: str, record: SessionRecord, version: str) -> _Watch:
        watch = self._watches.setdefault(session_id, _Watch(record, version, time.monotonic()))
        watch.look(record, version)
        return watch

    def _end(self, session_id: str, watch: _Watch) -> bool:
        """End a session at the version that was watched, then create what it had committed. False where it lives."""
        key = session_key(session_id)
        if not watch.record.is_over:
            over = replace(watch.record, is_over=True)
            if self._bucket.put(key, over.to_bytes(), over=watch.version) is None:
                return False
        for each, text in watch.record.commits.items():
            self._bucket.write(each, text.encode())
        self._bucket.remove(key)
        return True
