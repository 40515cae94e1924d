"""A command in a real terminal of 80 columns."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

COLUMNS = 80
BIN = Path(sys.executable).parent
_OWN = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
ENVIRONMENT = _OWN | {"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb"}


def typed_into(folder: Path, typed: str, *words: object) -> tuple[int, str]:
    """The exit code of a command in a terminal in which something is typed, and what the terminal shows."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    command = list(map(str, words))
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdin=its, stdout=its, stderr=its)
    os.close(its)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that nobody has the terminal open any more
        pass
    os.close(ours)
    return process.wait(60), shown.decode().replace("\r\n", "\n")
