"""Locks and leases in a bucket, held by sessions: made and given up by conditional writes.

A lock's object names the sessions that hold it, the work that they share, and its epoch, which is new whenever a
process finds it free. In one epoch nobody but the first was alone with what the lock guards, so that a process whose
session was ended may join again, with a new session, as long as the epoch is the one in which it joined.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter

from overthink.storage.leases import ShardLease
from overthink.storage.s3.bucket import Bucket
from overthink.storage.s3.bucket_settings import lease_seconds
from overthink.storage.s3.session import Session
from overthink.storage.s3.session_watch import LOOKS, SessionWatch
from overthink.storage.storage_errors import BucketUnreachable, LeaseLost, StorageError, StoreBusy

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.05
ALONE = ""  # the work of a holder that shares with nobody


@dataclass(frozen=True)
class LockState:
    """What a lock's object says; others with the same work may join once it `is_open`."""

    epoch: str = ""
    work: str = ALONE
    is_open: bool = False
    sessions: tuple[str, ...] = ()


_STATE = TypeAdapter(LockState)


class Hold:
    """A lock that this process holds, with others that do the same work or alone."""

    def __init__(self, key: str, what: str, work: str) -> None:
        self.key = key
        self.what = what
        self.work = work
        self.epoch = ""
        self.is_first = False
        self.session: Session


class BucketLocks:
    """The locks of a bucket that this process holds. Its session lasts as long as it holds any."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        self._bucket = bucket
        self._root = root
        self._watch = SessionWatch(bucket, root)
        self._session: Session | None = None
        self._holds: list[Hold] = []
        self._users = 0

    # Sessions

    @contextmanager
    def _live_session(self) -> Iterator[Session]:
        """This process's session, which begins with its first user and ends with its last."""
        session = self._renewed_session()
        self._users += 1
        try:
            yield session
        finally:
            self._users -= 1
            if self._users == 0 and self._session is not None:
                self._session.close()
                self._session = None

    def _renewed_session(self) -> Session:
        """The session; a new one, which joins all that is held again, where another process ended the last one.

        Raises StorageError where somebody has been alone meanwhile with what was held.
        """
        if self._session is not None and not self._session.is_lost:
            return self._session
        session = Session(self._bucket, self._root, lease_seconds())
        try:
            self._watch.end_forgotten(session.id)
            for hold in self._holds:
                self._rejoin(hold, session)
        except BaseException:
            session.close()
            raise
        if self._session is not None:
            self._session.close()
        self._session = session
        return session

    def _rejoin(self, hold: Hold, session: Session) -> None:
        while True:
            state, version = self._state(hold.key)
            if state.epoch != hold.epoch:
                raise StorageError(
                    f"{hold.what} was written by others while this process could not renew its lease: what is "
                    "finished is safe; run the same command again"
                )
            if self._replace(hold.key, replace(state, sessions=(*state.sessions, session.id)), version):
                hold.session = session
                return

    # Locks

    @contextmanager
    def only(self, key: str, what: str, waits: bool = True) -> Iterator[Hold]:
        """Hold a lock exclusively. Raises StoreBusy, naming the holder, where it is taken.

        A holder that is not known to live is watched until it renews its session or its lease runs out, unless told
        not to wait.
        """
        with self._live_session(), self._held(Hold(key, what, ALONE), waits) as hold:
            yield hold

    @contextmanager
    def shared(self, key: str, what: str, work: str) -> Iterator[Hold]:
        """Hold a lock with all processes that do the same work; who finds it free is alone until it calls `open`.

        Raises StoreBusy where the holder does other work, or holds it exclusively.
        """
        with self._live_session(), self._held(Hold(key, what, work), True) as hold:
            yield hold

    def open(self, hold: Hold) -> None:
        """Let others join, once the first has prepared the work."""
        if hold.is_first:
            self._change(hold, lambda state: replace(state, is_open=True))
            hold.is_first = False

    def others_left(self, hold: Hold) -> bool:
        """Whether all others have left; from then on none joins."""
        while True:
            state, version = self._state(hold.key)
            others = [each for each in state.sessions if each != hold.session.id and not self._watch.is_over(each)]
            if others or hold.session.is_lost:
                return False
            if self._replace(hold.key, replace(state, is_open=False, sessions=(hold.session.id,)), version):
                return True

    def hold_of(self, key: str) -> Hold | None:
        """The hold of this process on a lock, if any."""
        return next((hold for hold in self._holds if hold.key == key), None)

    def seems_held(self, key: str) -> bool:
        """Whether a lock is probably held: only for displays."""
        return any(map(self._watch.seems_alive, self._state(key)[0].sessions))

    @contextmanager
    def _held(self, hold: Hold, waits: bool) -> Iterator[Hold]:
        assert self._session is not None
        hold.session = self._session
        self._acquire(hold, waits)
        self._holds.append(hold)
        try:
            yield hold
        finally:
            self._holds.remove(hold)
            self._leave(hold)

    def _acquire(self, hold: Hold, waits: bool) -> None:
        if self.hold_of(hold.key) is not None:
            raise StoreBusy(f"{hold.what} is being written by this process")
        while True:
            state, version = self._state(hold.key)
            if hold.session.id in state.sessions:  # the answer to our own write was lost
                hold.epoch, hold.is_first = state.epoch, not state.is_open
                return
            alive = tuple(each for each in state.sessions if not self._watch.is_over(each))
            wanted = self._joined(hold, state, alive)
            if wanted is None:
                self._wait(hold, state, alive, waits)
            elif self._replace(hold.key, wanted, version):
                hold.epoch, hold.is_first = wanted.epoch, not wanted.is_open
                return

    @staticmethod
    def _joined(hold: Hold, state: LockState, alive: tuple[str, ...]) -> LockState | None:
        """The state of the lock with a new holder; None where it cannot be joined now."""
        if not alive:
            return LockState(uuid4().hex, hold.work, False, (hold.session.id,))
        if state.is_open and state.work == hold.work:
            return replace(state, sessions=(*alive, hold.session.id))
        return None

    def _wait(self, hold: Hold, state: LockState, alive: tuple[str, ...], waits: bool) -> None:
        """Sleep where waiting helps: a fellow prepares the work, or it is not known whether the holder lives."""
        is_prepared_for_us = hold.work != ALONE and state.work == hold.work
        if not waits or (not is_prepared_for_us and any(map(self._watch.is_alive, alive))):
            holder = self._watch.holder(alive[0])
            raise StoreBusy(f"{hold.what} is being written by {holder}: wait for it, or stop that process")
        time.sleep(max(RETRY_SECONDS, lease_seconds() / LOOKS))

    def _leave(self, hold: Hold) -> None:
        try:
            hold.session.settle()
            self._change(hold, lambda state: _without(state, hold.session.id))
        except LeaseLost:
            pass  # so it is held no more
        except BucketUnreachable as error:
            logger.warning("%s is held until its lease ends: %s", hold.what, error)

    def _change(self, hold: Hold, change: Callable[[LockState], LockState]) -> None:
        """Change a lock's object for as long as this process holds it."""
        while True:
            state, version = self._state(hold.key)
            if hold.session.id not in state.sessions or self._replace(hold.key, change(state), version):
                return

    def _state(self, key: str) -> tuple[LockState, str | None]:
        there = self._bucket.version(key)
        return (LockState(), None) if there is None else (_STATE.validate_json(there[0]), there[1])

    def _replace(self, key: str, state: LockState, version: str | None) -> bool:
        return self._bucket.write(key, _STATE.dump_json(state), over=version)

    # Leases

    @contextmanager
    def lease(self, key: str, what: str) -> Iterator[Session]:
        """Hold a piece of work exclusively; its object is removed at the end. Raises StoreBusy where it is taken.

        Yields the session: what is made under the lease is committed by this one, and by no later one.
        """
        with self._live_session() as session:
            self._take(key, what, session)
            try:
                yield session
            finally:
                self._give_up(key, what, session)

    def leases(self, folder: str) -> list[ShardLease]:
        """The leases under a folder of the bucket, by its clock. Writes nothing."""
        found = []
        for key, stored in self._bucket.objects(folder).items():
            session_id = self._bucket.read(key)
            seen = None if session_id is None else self._watch.seen(session_id.decode())
            if seen is not None:
                found.append(ShardLease(Path(key).name, seen.holder, stored.written_at, seen.left))
        return found

    def _take(self, key: str, what: str, session: Session) -> None:
        content = session.id.encode()
        there = self._bucket.version(key)
        holder = None if there is None else there[0].decode()
        if holder is not None and holder != session.id and not self._watch.is_over(holder):
            raise StoreBusy(f"{what} is being written by {self._watch.holder(holder)}")
        if not self._bucket.write(key, content, over=there and there[1]) and self._bucket.read(key) != content:
            raise StoreBusy(f"{what} was taken by another process in this moment")

    def _give_up(self, key: str, what: str, session: Session) -> None:
        # Removed without a condition, since there is none for that: where the session was ended in this very moment, a
        # third process may do the same work again, and of both the first commit counts.
        try:
            if not session.is_lost or self._bucket.read(key) == session.id.encode():
                self._bucket.remove(key)
        except BucketUnreachable as error:
            logger.warning("%s is held until its lease ends: %s", what, error)


def _without(state: LockState, session_id: str) -> LockState:
    return replace(state, sessions=tuple(each for each in state.sessions if each != session_id))
