"""A hub of data sets on loopback: what `huggingface_hub` asks of the real one to make a data set and commit to it."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_" + "t" * 34
NO_SUCH_DATA_SET = {"error": "Repository not found"}


@dataclass
class HeldDataSet:
    """A data set of the hub: who sees it, its files, and the messages of its commits."""

    private: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class Hub:
    """What the hub holds, what was asked of it, and the status that it answers to some paths instead."""

    address: str = ""
    data_sets: dict[str, HeldDataSet] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """The status and the JSON of a request."""
        self.asked.append(f"{method} {path}")
        for part, status in self.broken.items():
            if part in path:
                return status, {"error": f"made to fail with {status}"}
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": "me"}
        if path == "/api/validate-yaml":
            return self._validated(json.loads(body)["content"])
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.data_sets[name] = HeldDataSet(asked.get("visibility") == "private")
            return 200, {"url": f"{self.address}/datasets/{name}"}
        return self._of_a_data_set(path.removeprefix("/api/datasets/"), body)

    def _validated(self, card: str) -> tuple[int, Any]:
        head = yaml.safe_load(card.split("---\n")[1])
        if head["license"] not in ("unknown", "mit", "cc-by-4.0"):
            return 400, {"errors": [{"message": '"license" must be one of the known ones'}], "warnings": []}
        return 200, {"errors": [], "warnings": []}

    def _of_a_data_set(self, path: str, body: bytes) -> tuple[int, Any]:
        name = re.split("/(preupload|commit|tree|revision)/", path)[0]
        held = self.data_sets.get(name)
        if held is None:
            return 404, NO_SUCH_DATA_SET
        if "/preupload/" in path:
            files = [one["path"] for one in json.loads(body)["files"]]
            return 200, {"files": [self._mode(held, file) for file in files]}
        if "/commit/" in path:
            self._commit(held, body)
            return 200, {
                "commitUrl": f"{self.address}/datasets/{name}/commit/1",
                "commitOid": "1" * 40,
                "success": True,
            }
        if "/tree/" in path:
            return 200, [{"type": "file", "path": file, "size": 1, "oid": "0" * 40} for file in held.files]
        return 200, self._info(name, held)

    @staticmethod
    def _mode(held: HeldDataSet, path: str) -> dict[str, Any]:
        there = held.files.get(path)
        oid = None if there is None else hashlib.sha1(b"blob %d\0" % len(there) + there).hexdigest()
        return {"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": oid}

    @staticmethod
    def _commit(held: HeldDataSet, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                held.commits.append(value["summary"])
            elif line["key"] == "deletedFile":
                del held.files[value["path"]]
            else:
                held.files[value["path"]] = base64.b64decode(value["content"])

    @staticmethod
    def _info(name: str, held: HeldDataSet) -> dict[str, Any]:
        card = held.files.get("README.md", b"").decode()
        head = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---") else None
        siblings = [{"rfilename": file} for file in (".gitattributes", *held.files)]
        return {
            "id": name,
            "sha": "0" * 40,
            "private": held.private,
            "siblings": siblings,
            "cardData": head,
            "tags": [],
        }


@contextmanager
def hub_on_loopback() -> Iterator[Hub]:
    """A hub that answers while this is entered."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            status, value = hub.answer(self.command, path, self.headers.get("Authorization", ""), body)
            told = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if value == NO_SUCH_DATA_SET:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
