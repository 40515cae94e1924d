"""What puts a process apart from this machine: bubblewrap, or a container engine."""

from pathlib import Path
from typing import Protocol

from overthink.tasks.programs import Limits

# No packages of the site, nothing from the folder it runs in, and text in UTF-8 whatever the locale.
PYTHON_FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
# Sets of strings have one order, so that a program does the same every time.
ENVIRONMENT = {"PYTHONHASHSEED": "0"}
SUPERVISOR = Path(__file__).with_name("supervisor.py").read_text(encoding="utf-8")
HARNESS = Path(__file__).with_name("harness.py").read_text(encoding="utf-8")


class Isolation(Protocol):
    """Begins the supervisor apart from this machine; all else is said over its standard input and output."""

    name: str

    def command(self, limits: Limits) -> list[str]:
        """The command for one program. Raises EngineUnavailable where something that it needs is missing."""
        ...

    def identity(self) -> dict[str, str]:
        """What a program's outcome depends on: the interpreter, and what it runs in."""
        ...


def supervised(python: str) -> list[str]:
    """The command inside."""
    return [python, *PYTHON_FLAGS, "-c", SUPERVISOR]
