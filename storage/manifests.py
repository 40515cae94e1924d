"""A snapshot of the manifests of a store's stages: each is read once and cached."""

from overthink.storage.manifest import Entry
from overthink.storage.store import Store


class Manifests:
    """The manifest entries of a store's stages."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._entries: dict[str, list[Entry]] = {}

    def entries(self, key: str) -> list[Entry]:
        """The entries of one stage, empty where there is no such stage. Raises StorageError as `Stage.entries` does."""
        if key not in self._entries:
            self._entries[key] = self.store.stage(key).entries()
        return self._entries[key]
