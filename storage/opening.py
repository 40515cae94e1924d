"""Where a store is: in a folder, or at an address of a bucket with a working folder on this machine."""

import os
import re
from pathlib import Path

from overthink.storage.keys import content_key
from overthink.storage.store import Store

CACHE_VARIABLE = "OVERTHINK_CACHE"
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/")


def is_in_bucket(place: str) -> bool:
    """Whether a store's name is a bucket's address, not a folder's path."""
    return _URL.match(place) is not None


def open_store(place: str | Path) -> Store:
    """The store in a folder, or at s3://BUCKET/PREFIX; the first write creates it.

    Raises StorageError with the remedy where a bucket cannot be reached or used.
    """
    if not is_in_bucket(str(place)):
        return Store(Path(place))
    # Only who names a bucket loads what talks to one.
    from overthink.storage.s3.bucket import Address, Bucket
    from overthink.storage.s3.bucket_settings import endpoint
    from overthink.storage.s3.bucket_store import BucketStore

    address, (_, host) = Address.parse(str(place)), endpoint()
    folder = working_folder(str(address), host)
    return BucketStore(Bucket(address, folder), folder)


def working_folder(address: str, host: str) -> Path:
    """The folder on this machine, under OVERTHINK_CACHE, of a store in a bucket."""
    cache = os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "overthink"
    name = address.partition("://")[2].replace("/", "-")
    return Path(cache).expanduser() / "stores" / f"{name}-{content_key([host, address])[:12]}"
