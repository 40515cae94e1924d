"""Cached keys and values of prefixes that a PRM has read, shared within a tree; the oldest are dropped first."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

Key = tuple[str, tuple[str, ...]]  # a question and the steps read after it, none where it was read alone


@dataclass(frozen=True)
class Segment:
    """What reading added to the prefix before it: for each layer, keys and values (heads, tokens, size a head)."""

    ids: tuple[int, ...]
    layers: list[tuple[Any, Any]]
    before: "Segment | None"

    @property
    def path(self) -> "list[Segment]":
        """This segment and all before it, from the first."""
        path: list[Segment] = [self]
        while path[-1].before is not None:
            path.append(path[-1].before)
        return path[::-1]

    @property
    def tokens(self) -> int:
        """Tokens of the whole prefix."""
        return sum(len(segment.ids) for segment in self.path)

    @property
    def bytes(self) -> int:
        """Memory of this segment alone."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)


class PrefixStore:
    """Segments by question and steps, for several threads; least recently used out first, bounded by `limit` bytes.

    Using a prefix marks all segments before it as used, so no segment is dropped before those that follow it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._segments: OrderedDict[Key, Segment] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def longest(self, question: str, steps: tuple[str, ...], ids: tuple[int, ...]) -> Segment | None:
        """The longest stored prefix of `steps` whose tokens do begin `ids`, with at least one token left to read."""
        with self._lock:
            for count in range(len(steps), -1, -1):
                segment = self._segments.get((question, steps[:count]))
                if segment is not None and _begins(segment, ids):
                    self._touch(question, steps[:count])
                    return segment
        return None

    def put(self, question: str, steps: tuple[str, ...], segment: Segment) -> None:
        """Keep a segment, where there is none yet; drop the least recently used while there is too much."""
        with self._lock:
            if (question, steps) not in self._segments:
                self._segments[question, steps] = segment
                self.bytes += segment.bytes
            self._touch(question, steps)
            while self.bytes > self._limit:
                _, dropped = self._segments.popitem(last=False)
                self.bytes -= dropped.bytes

    def _touch(self, question: str, steps: tuple[str, ...]) -> None:
        for count in range(len(steps), -1, -1):
            if (question, steps[:count]) in self._segments:
                self._segments.move_to_end((question, steps[:count]))


def _begins(segment: Segment, ids: tuple[int, ...]) -> bool:
    begin = 0
    for part in segment.path:
        if ids[begin : begin + len(part.ids)] != part.ids:
            return False
        begin += len(part.ids)
    return begin < len(ids)
