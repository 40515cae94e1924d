"""Servers at which anything but Prefect answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HTML = b"<html><body>Welcome</body></html>"


def reply(status: int, kind: str, body: bytes) -> bytes:
    """An HTTP reply as it goes over the line."""
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + b"\r\n" + body


# What each of them sends to any request; None is silence.
REPLIES: dict[str, bytes | None] = {
    "a page": reply(200, "text/html", HTML),
    "a page that calls itself JSON": reply(200, "application/json", HTML),
    "not found": reply(404, "text/html", HTML),
    "no entry": reply(401, "text/html", HTML),
    "an error": reply(500, "text/html", HTML),
    "another API": reply(200, "application/json", b'{"hello": 1}'),
    "a list": reply(200, "application/json", b"[]"),
    "a word": reply(200, "application/json", b'"hello"'),
    "another API without that path": reply(404, "application/json", b'{"detail": "Not Found"}'),
    "nothing to say": b"HTTP/1.1 204 Whatever\r\n\r\n",
    "in circles": b"HTTP/1.1 302 Whatever\r\nLocation: /api\r\nContent-Length: 0\r\n\r\n",
    "garbage": bytes(range(128, 256)),
    "a fatal alert of TLS": b"\x15\x03\x03\x00\x02\x02\x16",
    "silence": None,
}


@contextmanager
def strange_server(answer: bytes | None) -> Iterator[int]:
    """A server that gives everybody the same answer; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, answer: bytes | None) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listener.accept()
            threading.Thread(target=_answer, args=(caller, answer), daemon=True).start()


def _answer(caller: socket.socket, answer: bytes | None) -> None:
    with suppress(OSError), caller:
        while data := caller.recv(65536):
            if answer is not None and b"\r\n\r\n" in data:
                caller.sendall(answer)
                caller.shutdown(socket.SHUT_WR)
