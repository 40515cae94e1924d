"""Addresses of the viewer's pages: from one page to another, and from elsewhere while the viewer runs."""

from collections.abc import Mapping
from urllib.parse import urlencode

LOOPBACK = "127.0.0.1"
PORT = 8765  # where `overthink view` listens unless it is told another


def address(page: str, parameters: Mapping[str, str]) -> str:
    """The address of a page, relative to that of every other."""
    return (page or "./") + (f"?{urlencode(parameters)}" if parameters else "")


def address_from_outside(token: str, page: str, parameters: Mapping[str, str]) -> str:
    """The address of a page while a viewer with this token listens at its usual port."""
    return f"http://{LOOPBACK}:{PORT}/{token}/{address(page, parameters)}"
