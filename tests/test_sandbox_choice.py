"""Which sandbox is used: what is tried of each, what each is begun with, and what is said where none holds."""

import asyncio
import os
import platform
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sandboxes import Open, interpreter, lack

from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.choosing import INSTALL, open_sandbox, sandbox_finding
from overthink.tasks.engines.sandbox.container_engine import ContainerEngine
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.engines.sandbox.isolation import SUPERVISOR
from overthink.tasks.engines.sandbox.probing import faults
from overthink.tasks.errors import EngineDied, EngineUnavailable
from overthink.tasks.programs import Limits, Program

ROOT = Path(__file__).parents[1]
LIMITS = Limits(cpu_seconds=2, memory_bytes=2**28, processes=4, output_bytes=2**10, file_bytes=2**20)


def value_of(words: list[str], flag: str) -> list[str]:
    return [value for word, value in pairwise(words) if word == flag]


async def test_the_probe_finds_what_holds_nothing_back() -> None:
    found = await faults(Open())
    assert "a program reads files of this machine" not in found or os.getuid() != 0, "root becomes somebody else"
    assert "a program reaches this machine over the network" in found


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that writes down its arguments and runs what lies behind the image, without a container."""
    told = tmp_path / "arguments"
    script = f"""#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done > {told}
while [ "$1" != the/image ]; do shift; done
shift 2
exec {interpreter()} "$@"
"""
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return told


async def test_a_container_is_begun_with_every_bound(engine: Path) -> None:
    sandbox = IsolatedSandbox(ContainerEngine("docker", "the/image"))
    outcome = await sandbox.execute(Program("def f(): return 1", "assert f() == 1"), "", LIMITS)
    assert outcome.passed
    words = engine.read_text().split("\0")
    assert words[0] == "run" and {"--rm", "--interactive", "--read-only"} < set(words)
    expected = {
        "--network": "none",
        "--user": "65534:65534",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--pids-limit": "20",
        "--memory": str(2**28 + 2**20 + 2**26),
        "--memory-swap": str(2**28 + 2**20 + 2**26),
        "--tmpfs": f"/tmp:rw,mode=1777,size={2**20}",
        "--pull": "never",
        "--env": "PYTHONHASHSEED=0",
    }
    assert {flag: value_of(words, flag) for flag in expected} == {flag: [value] for flag, value in expected.items()}
    assert not value_of(words, "--volume") and not value_of(words, "--mount")
    inside = words[words.index("the/image") + 1 :]
    assert inside[0] == "python" and {"-S", "-s", "-P"} < set(inside) and SUPERVISOR in inside


async def test_an_engine_that_isolates_from_nothing_is_found_out(engine: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"docker: .*a program reaches this machine over the network"):
        await open_sandbox([ContainerEngine("docker", "the/image")])


def test_bubblewrap_shares_nothing_with_this_machine() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    words = Bubblewrap().command(LIMITS)
    assert {"--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent", "--new-session"} < set(words)
    assert {"--as-pid-1", "--clearenv"} < set(words) and "--proc" not in words and "--bind" not in words
    rights = {"CAP_SETUID", "CAP_SETGID"} if os.getuid() == 0 else set()
    assert value_of(words, "--cap-drop") == ["ALL"] and set(value_of(words, "--cap-add")) == rights
    read = value_of(words, "--ro-bind")
    assert not [path for path in read if path in ("/", "/usr", "/etc", "/home", "/root", str(Path.home()))]
    assert words[words.index("--size") + 1 : words.index("--size") + 4] == [str(2**20), "--tmpfs", "/tmp"]


async def test_without_bubblewrap_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable) as caught:
        await open_sandbox()
    reasons = "bubblewrap: bwrap is not installed; docker: docker is not installed; podman: podman is not installed"
    assert str(caught.value) == f"no sandbox holds here, so no program is run ({reasons}): {INSTALL}"
    found = await sandbox_finding()
    assert (found.level, found.place) == ("warning", "sandbox")
    assert found.what.startswith("no sandbox holds here") and found.remedy.startswith("apt install bubblewrap")


async def test_what_ends_before_a_program_begins_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'no such image: the/image' >&2\nexit 125\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EngineDied, match="the sandbox began no program: no such image: the/image"):
        await IsolatedSandbox(ContainerEngine("docker")).execute(Program("pass", "pass"), "", LIMITS)


SUPERVISOR_GONE = """
import os, sys, time
def frame(kind, content): os.write(1, kind + len(content).to_bytes(8, "big") + content)
job = int.from_bytes(os.read(0, 8), "big")
while job > 0: job -= len(os.read(0, job))
frame(b"b", b"")
{then}
"""


@pytest.mark.parametrize(
    "then",
    [
        "pass",
        "os.write(1, b'o' + (2**60).to_bytes(8, 'big'))\ntime.sleep(60)",
        "while True: frame(b'o', b'x' * 1000)",
        "frame(b'x', b'exit 0 0.0 2')",
        "frame(b'x', b'\\xff')",
    ],
)
async def test_a_supervisor_that_is_lost_proves_nothing(then: str) -> None:
    class Lost(Open):
        def command(self, limits: Limits) -> list[str]:
            return [sys.executable, "-S", "-c", SUPERVISOR_GONE.format(then=then)]

    outcome = await IsolatedSandbox(Lost()).execute(Program("pass", "pass"), "", LIMITS)
    assert (outcome.ended, outcome.passed, outcome.exit_code, outcome.cpu_seconds) == ("killed", None, None, None)
    assert len(outcome.stdout) < 10_000


def test_what_holds_is_told_with_its_interpreter() -> None:
    if reason := lack():
        pytest.skip(reason)
    found = asyncio.run(sandbox_finding())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    assert (found.level, found.place, found.what) == ("ok", "sandbox", f"bubblewrap, {python}")
    assert asyncio.run(open_sandbox()).identity() == {"sandbox": "bubblewrap", "python": python}


AS_SOMEBODY = """
import asyncio
from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.probing import faults
print(asyncio.run(faults(Bubblewrap())))
"""


def test_who_is_not_root_is_isolated_as_well() -> None:
    """The modules run as another user, by an interpreter that everyone may use."""
    if os.getuid() != 0 or lack() or not Path("/usr/bin/python3").exists() or shutil.which("setpriv") is None:
        pytest.skip("needs root, setpriv, bubblewrap and a python3 of the system")
    with TemporaryDirectory() as folder:
        tasks = Path(folder) / "overthink" / "tasks"
        shutil.copytree(ROOT / "tasks" / "engines" / "sandbox", tasks / "engines" / "sandbox")
        for name in ("errors.py", "programs.py"):
            shutil.copy(ROOT / "tasks" / name, tasks / name)
        Path(folder).chmod(0o755)
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        words = [*user, "/usr/bin/python3", "-P", "-B", "-c", AS_SOMEBODY]
        environment = {"PYTHONPATH": folder, "PATH": os.environ["PATH"]}
        told = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr
