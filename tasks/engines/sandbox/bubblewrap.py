"""Bubblewrap: namespaces of their own for a process, and a file system that holds only what it is given."""

import os
import platform
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path

from overthink.tasks.engines.sandbox.isolation import ENVIRONMENT, supervised
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.programs import Limits

LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")
PACKAGES = ("site-packages", "dist-packages")
INDEX = "/etc/ld.so.cache"  # of libraries in further folders, which the interpreter may link to
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# Root begins it with no right but that of becoming another user, which the supervisor does first of all. Others are
# in a user namespace, in which they have no rights either.
NAMESPACES = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
RIGHTS = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


class Bubblewrap:
    """Runs the interpreter that runs us, with its standard library and without its packages."""

    name = "bubblewrap"

    def command(self, limits: Limits) -> list[str]:
        """Nothing is mounted but what `_files` lists and one folder in memory; /proc is not."""
        found = shutil.which("bwrap")
        if found is None:
            raise EngineUnavailable("bwrap is not installed")
        apart = [*NAMESPACES, *RIGHTS] if os.getuid() == 0 else ["--unshare-user", *NAMESPACES, "--cap-drop", "ALL"]
        told = [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
        writable = ["--perms", "1777", "--size", str(limits.file_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"]
        own = ["--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
        return [
            found,
            *apart,
            *own,
            *told,
            *_files(),
            *writable,
            "--remount-ro",
            "/",
            "--",
            *supervised(_interpreter()),
        ]

    def identity(self) -> dict[str, str]:
        """The interpreter is ours."""
        return {"sandbox": self.name, "python": f"{platform.python_implementation()} {platform.python_version()}"}


def _interpreter() -> str:
    """The program of the interpreter that runs us, outside of any virtual environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = (Path(sys.base_prefix) / "bin" / version).resolve()
    if not found.exists():
        raise EngineUnavailable(f"there is no interpreter {found} to run programs with; use a container engine")
    return str(found)


@cache
def _files() -> list[str]:
    """What there is to read: the interpreter, its library without packages, the system's libraries, four devices."""
    library = Path(os.__file__).parent
    shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    parts = [Path(_interpreter()), library, *([shared] if shared.is_file() else [])]
    folders = sorted(
        {
            parent
            for part in [*parts, Path("/usr/lib"), Path("/dev/null"), Path(INDEX)]
            for parent in part.parents
            if parent != Path("/")
        }
    )
    words = [word for folder in folders for word in ("--perms", "0755", "--dir", str(folder))]
    words += [word for folder in map(Path, LIBRARIES) if folder.is_dir() for word in _system(folder)]
    words += ["--ro-bind-try", INDEX, INDEX]
    words += [word for part in parts for word in ("--ro-bind", str(part), str(part))]
    for packages in (*(library / name for name in PACKAGES), Path("/usr/lib/python3/dist-packages")):
        if packages.is_dir():
            words += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    return words + [word for device in DEVICES for word in ("--dev-bind", device, device)]


def _system(folder: Path) -> tuple[str, str, str]:
    """One of the system's folders of libraries; where it is a link, the link."""
    if folder.is_symlink():
        return ("--symlink", str(folder.readlink()), str(folder))
    return ("--ro-bind", str(folder), str(folder))
