"""What `overthink doctor` says of the shards that processes work on now."""

import time
from collections.abc import Iterator

from overthink.storage.integrity import Finding
from overthink.storage.leases import ShardLease
from overthink.storage.store import Store


def lease_findings(store: Store) -> Iterator[Finding]:
    """A line for each shard that somebody holds: who, since when, and until when."""
    for stage in store.stages():
        for lease in stage.leases():
            yield _told(f"{stage.key}, shard {lease.shard}", lease)


def _told(place: str, lease: ShardLease) -> Finding:
    since = f"since {time.strftime('%H:%M:%S', time.localtime(lease.since))}, {time.time() - lease.since:.0f} s"
    held = f"{lease.holder} has worked on it {since}"
    if lease.left is None:
        return Finding("ok", place, f"{held}; its lease ends with the process")
    if lease.left > 0:
        return Finding("ok", place, f"{held}; {lease.left:.0f} s are left of its lease, which it renews")
    return Finding(
        "warning",
        place,
        f"{held}; its lease ran out {-lease.left:.0f} s ago",
        "nothing: another worker takes the shard over; look after that process if none should have stopped",
    )
