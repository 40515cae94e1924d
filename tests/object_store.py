"""A real S3 server on this machine, a bucket in it as another client sees it, and a network that can be cut."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "not-an-id-of-anybody", "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-anybody"}
PLAIN = {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "OVERTHINK_BUCKET_PATIENCE": "0.1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def s3_server(**settings: str) -> Iterator[str]:
    """Start a server; yields its address."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        script = str(Path(__file__).with_name("moto_server.py"))
        words = [sys.executable, script, "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | settings)
        try:
            while not _listens(port):
                if server.poll() is not None:
                    log.seek(0)
                    raise AssertionError(log.read().decode())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


@dataclass
class BucketView:
    """A bucket by another client than ours, and the environment in which ours reaches it."""

    endpoint: str
    name: str
    cache: Path

    @property
    def place(self) -> str:
        return f"s3://{self.name}/some/prefix"

    def environment(self, cache: Path | None = None, **changes: str) -> dict[str, str]:
        """The variables for our client; another `cache` is another machine."""
        return KEYS | PLAIN | {"AWS_ENDPOINT_URL": self.endpoint, "OVERTHINK_CACHE": str(cache or self.cache)} | changes

    @property
    def objects(self) -> Any:
        return boto3.resource(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        ).Bucket(self.name)

    def list_keys(self, having: str = "") -> list[str]:
        """The keys of all objects below the store's address, but for what stands for empty folders."""
        found = [each.key.removeprefix("some/prefix/") for each in self.objects.objects.filter(Prefix="some/prefix/")]
        return sorted(key for key in found if having in key and not key.endswith("/"))

    def read(self, key: str) -> bytes:
        return bytes(self.objects.Object(f"some/prefix/{key}").get()["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.objects.put_object(Key=f"some/prefix/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.objects.Object(f"some/prefix/{key}").delete()

    def flip(self, key: str) -> None:
        """Change one byte of an object."""
        content = bytearray(self.read(key))
        content[len(content) // 2] ^= 1
        self.put(key, bytes(content))


class Network:
    """The way to a server, which can be cut and mended."""

    def __init__(self, endpoint: str) -> None:
        self._target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._port = free_port()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.mend()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        """Refuse what is asked from now on, and break off what is under way."""
        assert self._listener is not None
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open, self._listener = [], None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                threading.Thread(target=self._carry, args=[near, far], daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        """Both ways of one connection, and its end: sockets that stay open are missing to whoever comes later."""
        back = threading.Thread(target=self._pass_on, args=[far, near], daemon=True)
        back.start()
        self._pass_on(near, far)
        back.join()
        for each in (near, far):
            each.close()
            with contextlib.suppress(ValueError):  # a cut has taken it out
                self._open.remove(each)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(2**16):
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
