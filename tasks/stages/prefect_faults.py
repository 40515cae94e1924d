"""Faults in the answers of a Prefect server, or of whatever answers at its address."""

import asyncio

import httpx
from prefect.client.orchestration import PrefectClient

SECONDS_TO_ANSWER = 10.0  # for the request for its version
TRY_AGAIN = (408, 429)  # statuses that ask the client to retry
# What Prefect's client raises for a reply that it cannot parse.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
FAULTS = (httpx.HTTPError, TimeoutError, *UNREADABLE)


class OtherThanPrefect(httpx.TransportError):
    """Something answers at the server's address, and it is not Prefect's API."""


async def refuse_others(response: httpx.Response) -> None:
    """A hook for httpx. Raises OtherThanPrefect for a reply without JSON, except retry statuses and redirects."""
    status = response.status_code
    if status >= 500 or status in TRY_AGAIN or status == 204 or response.has_redirect_location:
        return
    if "json" not in response.headers.get("content-type", ""):
        raise OtherThanPrefect(f"status {status} without JSON", request=response.request)


async def fault_of(client: PrefectClient) -> Exception | None:
    """Why a server is away; None where Prefect's API answers.

    Raises RuntimeError where its version differs, and httpx.HTTPStatusError where it denies access.
    """
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            await client.raise_for_api_version_mismatch()
    except RuntimeError as error:
        if isinstance(error.__cause__, Exception):  # the request failed; without a cause, the version differs
            return error.__cause__
        raise
    except FAULTS as error:
        if is_away(error):
            return error
        raise
    return None


def is_away(error: Exception) -> bool:
    """Whether a server is unreachable or unable to answer; a refusal by its API is an answer."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in TRY_AGAIN
    return isinstance(error, FAULTS)


def words_for(error: Exception) -> str:
    """The fault in a few words."""
    if isinstance(error, (OtherThanPrefect, *UNREADABLE)):
        return "what answers there is not Prefect's API; does the address end in /api?"
    return type(error).__name__
