"""What the environment says about a bucket: where it is, and how long to wait for it and for other machines."""

import os
from urllib.parse import urlsplit

from overthink.storage.storage_errors import StorageError

PATIENCE_VARIABLE = "OVERTHINK_BUCKET_PATIENCE"
PATIENCE_SECONDS = 120.0
LEASE_VARIABLE = "OVERTHINK_BUCKET_LEASE"
LEASE_SECONDS = 60.0


def endpoint() -> tuple[str, str]:
    """Scheme and host of the endpoint in the environment; an empty host for AWS itself."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if not address:
        return "https", ""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise StorageError("AWS_ENDPOINT_URL is not an endpoint: write it as http://HOST:PORT or https://HOST")
    return parts.scheme, parts.netloc


def patience_seconds() -> float:
    """For how long a request is made again while no answer comes. Raises StorageError where it is no such number."""
    return _seconds(PATIENCE_VARIABLE, PATIENCE_SECONDS)


def lease_seconds() -> float:
    """How long a process holds what it does not renew. Raises StorageError where the variable is wrong."""
    seconds = _seconds(LEASE_VARIABLE, LEASE_SECONDS)
    if seconds == 0:
        raise StorageError(f"{LEASE_VARIABLE} must be more than 0 seconds")
    return seconds


def _seconds(variable: str, otherwise: float) -> float:
    text = os.environ.get(variable) or str(otherwise)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise StorageError(f"{variable} is not a number of seconds: {text}")
    return seconds
