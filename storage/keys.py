"""Content addresses: short hashes of everything that determines an output, and nothing else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY_LENGTH = 20
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(identity: Any) -> str:
    """A 20-digit hexadecimal address of a JSON value; equal values have equal keys, whatever the order of their fields.

    Raises TypeError for values that JSON cannot hold and ValueError for NaN, so that nothing is hashed by accident.
    """
    return hashlib.sha256(CANONICAL.encode(identity).encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def labelled_key(label: str, identity: Mapping[str, Any]) -> str:
    """A content address with a readable prefix: `sample-1f2e…`."""
    return f"{label}-{content_key(identity)}"
