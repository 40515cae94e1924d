"""Packages installed in a folder of their own, found by child processes or by this one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from overthink.tasks.plugins import installed

EXAMPLE = Path(__file__).parent / "example_plugin"
COMMAND = Path(sys.executable).parent / "overthink"


def distribution(site: Path, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """What an installer leaves of a distribution beside its modules."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{one} = {place}\n" for one, place in entries.items())
        for group, entries in entry_points.items()
    ]
    (folder / "entry_points.txt").write_text("\n".join(groups))


def install_example(site: Path) -> None:
    """The example package, built and installed by pip, out of a copy, as a build leaves files behind."""
    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copytree(EXAMPLE, Path(folder) / "example")
        offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
        subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", site, source], check=True)


@contextmanager
def installed_here(*sites: Path) -> Iterator[None]:
    """Inside, this process finds what is installed in some folders."""
    with pytest.MonkeyPatch.context() as patched:
        for site in sites:
            patched.syspath_prepend(str(site))
        installed.cache_clear()
        yield
    installed.cache_clear()


def overthink(site: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process that finds what is installed in `site`."""
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"}
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
