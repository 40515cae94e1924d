"""The failures of a store, each naming the place and the remedy."""


class StorageError(Exception):
    """The store cannot be read or written; everything in a manifest is still safe."""


class StoreBusy(StorageError):
    """Another process is writing the same run or stage."""


class LeaseLost(StoreBusy):
    """This process could not renew its lease in a bucket: what it was making does not count, and can be tried again."""


class QueryError(StorageError):
    """A query that the locked SQL connection refuses or cannot answer."""


class BucketUnreachable(StorageError):
    """The object store gives no answer; asking again later may help."""


class ObjectMissing(StorageError):
    """An object is not in its bucket."""


class ObjectDamaged(StorageError):
    """An object has other bytes than were written."""


class WrittenElsewhere(StorageError):
    """Another machine has written a bucket's record meanwhile; its version counts and replaces the copy here."""
