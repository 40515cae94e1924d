"""docker-compose.yml without a container engine: its services as plain processes, with its commands and environment.

What differs is only where things are: every service has a free port on loopback instead of a host name and a port of
its own, and a volume is a folder. Images' own entry points, that is Postgres's, are done by hand.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.vllm_server import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 3600  # seconds; only a guard against hanging for ever
THREADS = ("OMP_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND")  # of engines, on cores that the tests' workers share
PORTS = {"postgres": "5432", "server": "4200", "policy": "8000", "prm": "8000", "worker": "8080"}


def compose(*words: str, env_file: Path = Path(os.devnull), **settings: str) -> subprocess.CompletedProcess[str]:
    """The real Compose binary; the package's own wrapper around it always exits with 0."""
    import compose as package

    command = [Path(package.__file__).parent / "docker-compose", "--env-file", env_file]
    command += ["--file", ROOT / "docker-compose.yml", *words]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]} | settings)


def services(profile: str, **settings: str) -> dict[str, dict[str, Any]]:
    """The services of a profile, all variables resolved."""
    told = compose("--profile", profile, "config", "--format", "json", **settings)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout)["services"])


def postgres_folder() -> Path | None:
    """Where Debian's package keeps the programs of Postgres, which it puts on nobody's path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else folders[-1].parent if folders else None


def until(met: Callable[[], Any], what: str) -> Any:
    """Wait for something; returns it."""
    last = time.monotonic() + PATIENCE
    while not (value := met()):
        assert time.monotonic() < last, f"{what}: not within {PATIENCE} s"
        time.sleep(2)
    return value


class Box:
    """The machine that would run the containers of one profile."""

    def __init__(self, profile: str, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="overthink-box-"))
        self.folder.chmod(0o755)
        self.store = self.folder / "store"
        self.services = services(profile, **settings)
        self._ports = {name: str(free_port()) for name in PORTS}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def api(self) -> str:
        """The address of the Prefect server."""
        return self.local("http://server:4200/api")

    def local(self, text: str, service: str = "") -> str:
        """A text of the file with this box's addresses and folders."""
        own, _, _ = service.partition("-")

        def here(found: re.Match[str]) -> str:
            return f"127.0.0.1:{self._ports[found[1]]}"

        text = re.sub(rf"\b({'|'.join(PORTS)}):\d+", here, text)
        if own in PORTS:
            text = re.sub(rf"\b{PORTS[own]}\b", self._ports[own], text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("/store", str(self.store))

    def words(self, service: str) -> list[str]:
        """A service's command."""
        return [self.local(word, service) for word in self.services[service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """A service's environment, and nothing of ours but what finds programs and bounds threads."""
        own = {name: self.local(value, service) for name, value in self.services[service]["environment"].items()}
        path = f"{BIN}:{postgres_folder()}:{os.environ['PATH']}"
        base = {"PATH": path, "HOME": str(self.folder), "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        threads = {name: os.environ[name] for name in THREADS if name in os.environ}
        return base | threads | {"OVERTHINK_BOX": str(self.folder)} | own

    def up(self, *names: str) -> None:
        """Start every service, or those that are named, once those it depends on are as it wants them."""
        while waiting := [name for name in names or self.services if name not in self._running]:
            for name in waiting:
                needs = self.services[name].get("depends_on", {})
                if set(needs) <= set(self._running):
                    for needed, how in needs.items():
                        assert how["condition"] == "service_healthy"
                        until(lambda needed=needed: self.is_healthy(needed), f"{needed} is healthy")
                    self._start(name)

    def is_healthy(self, service: str) -> bool:
        """What the health check of a running service says. Raises AssertionError where the service has ended."""
        process = self._running[service]
        assert process.poll() is None, f"{service} ended: {self.log(service)}"
        kind, *words = [self.local(word, service) for word in self.services[service]["healthcheck"]["test"]]
        assert kind == "CMD"
        return subprocess.run(words, env=self.environment(service), capture_output=True).returncode == 0

    def start(self, name: str, words: list[str], like: str) -> None:
        """One more process, in a service's environment."""
        self._spawn(name, words, env=self.environment(like))

    def ended(self, service: str) -> int:
        """Wait for a service that does one thing; returns its exit code."""
        return int(
            until(lambda: self._running[service].poll() is not None and self._running[service], service).returncode
        )

    def log(self, service: str) -> str:
        """The end of what a service said."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]

    def run(self, service: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Another command in a service's environment."""
        return subprocess.run(words, env=self.environment(service), cwd=ROOT, capture_output=True, text=True)

    def down(self) -> None:
        """Kill everything that was started here, and what that has started, and remove the folder."""
        for process in reversed(self._running.values()):
            process.send_signal(signal.SIGINT if process is self._running.get("postgres") else signal.SIGTERM)
        deadline = time.monotonic() + 20
        while any(process.poll() is None for process in self._running.values()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for pid in self._left():
            os.kill(pid, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, service: str) -> None:
        """End a service at once, as a power cut would, with all its processes."""
        os.killpg(self._running[service].pid, signal.SIGKILL)
        self._running[service].wait()

    def start_again(self, service: str) -> None:
        """What a container engine does with a service that has ended."""
        if service == "postgres":
            self._serve_postgres()
        else:
            self._start(service)
        until(lambda: self.is_healthy(service), f"{service} is healthy again")

    def _left(self) -> list[int]:
        """Processes that carry this box's mark."""
        mark = f"OVERTHINK_BOX={self.folder}".encode()
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in environ.read_bytes():
                    found.append(int(environ.parent.name))
            except OSError:
                continue
        return found

    def _start(self, service: str) -> None:
        if service == "postgres":
            self._start_postgres()
        else:
            self._spawn(service, self.words(service))

    def _spawn(self, service: str, words: list[str], **how: Any) -> None:
        with (self.folder / f"{service}.log").open("wb") as log:
            self._running[service] = subprocess.Popen(
                words,
                cwd=how.pop("cwd", ROOT),
                env=how.pop("env", None) or self.environment(service),
                stdout=log,
                stderr=log,
                start_new_session=True,
                **how,
            )

    def _start_postgres(self) -> None:
        """What the image's entry point does: a new database cluster with the user and the database of the file."""
        environment: Mapping[str, str] = self.environment("postgres")
        folder = self.folder / "database"
        folder.mkdir()
        as_user = not_as_root()
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "secret"
        secret.write_text(environment["POSTGRES_PASSWORD"])
        secret.chmod(0o644)
        data, user, database = folder / "data", environment["POSTGRES_USER"], environment["POSTGRES_DB"]
        making = ["initdb", "--username", user, "--pwfile", secret, "--auth", "scram-sha-256", "--pgdata", data]
        subprocess.run(making, check=True, capture_output=True, cwd=folder, env=environment, **as_user)
        port = self._ports["postgres"]
        self._serve_postgres()
        until(lambda: self.is_healthy("postgres"), "postgres is healthy")
        creating = ["createdb", "--host", "127.0.0.1", "--port", port, "--username", user, database]
        environment = {**environment, "PGPASSWORD": environment["POSTGRES_PASSWORD"]}
        subprocess.run(creating, check=True, capture_output=True, cwd=folder, env=environment)

    def _serve_postgres(self) -> None:
        folder, port = self.folder / "database", self._ports["postgres"]
        words = ["postgres", "-D", str(folder / "data"), "-p", port, "-k", str(folder)]
        self._spawn("postgres", [*words, "-c", "listen_addresses=127.0.0.1"], cwd=folder, **not_as_root())


def not_as_root() -> dict[str, Any]:
    """How a process of Postgres, which refuses to run as root, is started."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
