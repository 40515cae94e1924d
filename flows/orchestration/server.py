"""The Prefect server's address: while a flow runs, PREFECT_API_URL names the stand-in."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_UI_URL,
    temporary_settings,
)

_named: ContextVar[str | None] = ContextVar("named")


def server_address() -> str | None:
    """The address of the server itself, None without one."""
    return _named.get(PREFECT_API_URL.value())


@contextmanager
def asking(stand_in: str) -> Iterator[None]:
    """Inside, all of Prefect uses the stand-in at this address."""
    server = server_address()
    settings = {
        PREFECT_API_URL: stand_in,
        PREFECT_UI_URL: PREFECT_UI_URL.value() or "",  # else links would lead to the stand-in
        PREFECT_API_REQUEST_TIMEOUT: 3600.0,  # the stand-in answers at once, or as soon as its server does
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
    }
    if server is None:
        settings[PREFECT_LOGGING_TO_API_ENABLED] = False
    before = _named.set(server)
    try:
        with temporary_settings(settings):
            yield
    finally:
        _named.reset(before)


@contextmanager
def asking_the_server() -> Iterator[None]:
    """Inside, Prefect uses the server itself, if any: other machines do not reach the stand-in."""
    server = server_address()
    with temporary_settings({PREFECT_API_URL: server} if server else {}):
        yield
