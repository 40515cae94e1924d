"""A line on loopback to a server, which a test may cut and mend."""

import socket
import threading
from contextlib import suppress

from benchmarks.vllm_server import free_port


class Line:
    """Carries bytes between whoever connects to `port` and the server, until it is cut."""

    def __init__(self, server_port: int, host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._server = (host, server_port)
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def mend(self) -> None:
        """From now on there is a way to the server."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._guard:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                called = socket.create_connection(self._server)
                with self._guard:
                    self._open |= {caller, called}
                for source, sink in ((caller, called), (called, caller)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with self._guard:
                self._open.discard(end)
