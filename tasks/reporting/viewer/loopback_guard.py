"""Who may ask the viewer: whoever has the token, at a name of this machine, and no page of another site."""

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Behind a tunnel the port is another one; a name that another site has made point here is none of these.
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class LoopbackGuard:
    """Answers only requests below `/TOKEN/`, and gives every answer the headers of HEADERS."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope))
        answer = self._app if refusal is None else PlainTextResponse(f"{refusal}\n", 403)
        await answer(scope, receive, guarded)

    def _refusal(self, request: Request) -> str | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not _HOST.fullmatch(host):
            return "the viewer answers at 127.0.0.1 and localhost alone"
        if origin not in (None, f"http://{host}"):
            return "the viewer answers no other site"
        given = request.url.path.split("/")[1].encode()
        if not secrets.compare_digest(given, self._token):
            return "this address lacks the token: open the address that `overthink view` printed"
        return None
