"""Who works on which shard now, as `overthink doctor` lists it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardLease:
    """A shard that a process holds. `since` is in seconds since 1970.

    `left` is in seconds, until the lease runs out unless it is renewed, and negative once it has run out; None where
    the process holds the shard for as long as it lives. Both are by the store's clock, which may differ from ours.
    """

    shard: str
    holder: str
    since: float
    left: float | None
