"""Where a store is: in a folder, or at an address of a bucket with a working folder on this machine."""

import os
from pathlib import Path

from storage.keys import content_key
from storage.store import Store

BUCKET_SCHEME = "s3://"
CACHE_VARIABLE = "OVERTHINK_CACHE"


def is_in_bucket(place: str) -> bool:
    """Whether a store's name is that of a bucket."""
    return place.startswith(BUCKET_SCHEME)


def open_store(place: str | Path) -> Store:
    """The store in a folder, or at s3://BUCKET/PREFIX; made on the first write to it.

    Raises StorageError with the remedy where a bucket cannot be reached or used.
    """
    if not is_in_bucket(str(place)):
        return Store(Path(place))
    # pyarrow's file systems and the AWS client take a while to load.
    from storage.bucket import Address, Bucket
    from storage.bucket_store import BucketStore

    bucket = Bucket(Address.parse(str(place)))
    return BucketStore(bucket, working_folder(str(bucket.address), bucket.host))


def working_folder(address: str, host: str) -> Path:
    """The folder on this machine of a store in a bucket, under OVERTHINK_CACHE."""
    cache = os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "overthink"
    name = address.removeprefix(BUCKET_SCHEME).replace("/", "-")
    return Path(cache).expanduser() / "stores" / f"{name}-{content_key([host, address])[:12]}"
