"""Which split a generated problem belongs to: a hash decides, so that no test problem can appear in training."""

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]


def split_of(text: str) -> Split:
    """The split of the problem that this text tells from others: 1 in 10 test, 1 in 10 validation, the rest train."""
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"
