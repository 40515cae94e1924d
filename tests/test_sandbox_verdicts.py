"""The verdict of tests: right programs pass, and no trick makes a wrong one pass."""

import pytest
from sandboxes import lack

from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.programs import Limits, Program, ProgramOutcome

WRONG = "def add(a, b):\n    return a - b\n"
TESTS = "import math\n\ndef check(candidate):\n    assert abs(candidate(1, 2) - 3) < 1e-6\n    assert math.isclose(candidate(2, 2), 4)\n\ncheck(add)\n"
LIMITS = Limits(cpu_seconds=2, processes=8)


@pytest.fixture(autouse=True, scope="module")
def _holding() -> None:
    if reason := lack():
        pytest.skip(reason)


async def run(text: str, tests: str = TESTS, under_test: tuple[str, ...] = ("add",)) -> ProgramOutcome:
    return await IsolatedSandbox(Bubblewrap()).execute(Program(text, tests, under_test), "", LIMITS)


@pytest.mark.parametrize(
    ("text", "tests", "under_test"),
    [
        ("def add(a, b):\n    return a + b", TESTS, ()),
        ("import sys\nadd = lambda a, b: a + b\nprint('x')\nsys.stdout.close()", TESTS, ()),
        ("def add(a, b):\n    return a + b\nif __name__ == '__main__':\n    1 / 0", TESTS, ()),
        ("def sum(a, b):\n    return a + b", "assert sum(1, 2) == 3", ("sum",)),
        ("def max(x):\n    return 0\ndef f(x):\n    return max(x)", "assert max([f(1), 2]) == 2 and f(3) == 0", ("f",)),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1", "assert P() == P(1)", ()),
        ("import random\ndef f():\n    return random.random()", "import random\nassert 0 <= f() < 1", ()),
        ("n = 0\ndef f():\n    global n\n    n += 1\n    return n", "assert (f(), f()) == (1, 2)", ()),
        ("def f(): return 'ß🜁'", "assert f() == 'ß🜁'", ()),
        ("def f(): raise ValueError", "try:\n    f()\n    assert False\nexcept ValueError:\n    pass", ()),
        ("", "pass", ()),
    ],
)
async def test_right_programs_pass(text: str, tests: str, under_test: tuple[str, ...]) -> None:
    outcome = await run(text, tests, under_test)
    assert (outcome.passed, outcome.ended, outcome.exit_code) == (True, "exit", 0), outcome


@pytest.mark.parametrize(
    "text", [WRONG, "", "def add(a): return a", "def add(:", "1 / 0", "add = None", "def add(a, b): add(a, b)"]
)
async def test_wrong_programs_do_not(text: str) -> None:
    assert (await run(text)).passed is False


EVERYWHERE = """
import os
for file in range(64):
    for proof in (b"passed", b"returned", b"ok", b"1", b"True", bytes(16), b"token"):
        try:
            os.write(file, proof)
        except OSError:
            pass
"""
LOOKING = """
import gc, os, sys
def found():
    frame = sys._getframe()
    while frame is not None:
        yield from [*frame.f_locals.values(), *frame.f_globals.values()]
        for value in [*frame.f_locals.values()]:
            yield from getattr(value, "__dict__", {}).values()
        frame = frame.f_back
    for thing in gc.get_objects():
        yield from thing.values() if isinstance(thing, dict) else ()
def tell():
    for value in list(found()):
        proof = value.encode() if isinstance(value, str) else value
        if isinstance(proof, bytes) and len(proof) <= 64:
            print(proof)
            for file in range(3, 16):
                try:
                    os.write(file, proof)
                except OSError:
                    pass
"""
TRICKS = {
    "exit": "import sys\nsys.exit(0)",
    "exit at once": "import os\nos._exit(0)",
    "raise the exit": "raise SystemExit(0)",
    "exit in the function": "import os\ndef add(a, b):\n    os._exit(0)",
    "exit softly in the function": "def add(a, b):\n    raise SystemExit(0)",
    "exit from a thread": "import os, threading, time\nthreading.Thread(target=lambda: (time.sleep(0.01), os._exit(0))).start()\ndef add(a, b):\n    time.sleep(1)",
    "exit by a signal": "import os, signal, time\nsignal.signal(signal.SIGALRM, lambda *_: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ndef add(a, b):\n    time.sleep(1)",
    "exit where it fails": "import os, sys\nsys.excepthook = lambda *_: os._exit(0)\n" + WRONG,
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\n" + WRONG,
    "replace the process": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', ''])",
    "no assertion error": "import builtins\nbuiltins.AssertionError = SystemExit\n" + WRONG,
    "assertion errors that are not raised": "import builtins\nbuiltins.AssertionError = lambda *_: None\n" + WRONG,
    "builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.__import__ = lambda *_: builtins\nbuiltins.isclose = lambda *_: True\n" + WRONG,
    "builtins in the function": "def add(a, b):\n    import builtins\n    builtins.abs = lambda x: 0\n    return a - b",
    "builtins of the module": "abs = lambda x: 0\n" + WRONG,
    "forge the proof": "import os\nfor file in range(3, 64):\n    try: os.write(file, b'defined!returned' + bytes(8))\n    except OSError: pass\n" + WRONG,
    "no exec": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: ''\n" + WRONG,
    "every builtin": "import builtins\nfor name in dir(builtins):\n    if name not in ('setattr', 'dir'):\n        setattr(builtins, name, lambda *a, **k: 0)\nadd = lambda a, b: 0",
    "no exit": "import os\nos._exit = os.write = lambda *_: None\n" + WRONG,
    "the tests' own names": "def check(candidate):\n    return True\n" + WRONG,
    "caught by try": WRONG + "try:",
    "caught by try with a body": WRONG + "try:\n    pass\nexcept: pass\nelse:",
    "in a text": WRONG + 'tests = """',
    "in a comment": WRONG + "if False: \\",
    "behind a condition": WRONG + "if False:",
    "in a coroutine": WRONG + "async def tests():",
    "caught in the function": "def add(a, b):\n    try:\n        return a - b\n    finally:\n        raise SystemExit(0)",
    "print the proof": EVERYWHERE + WRONG,
    "print the proof in the function": EVERYWHERE.replace("\n", "\n    ").replace("\n    import", "def add(a, b):\n    import") + "\n    return a - b",
    "print what is found": LOOKING + "tell()\n" + WRONG,
    "print what is found in the function": LOOKING + "def add(a, b):\n    tell()\n    os._exit(0)",
    "print what is found at the end": LOOKING + "import sys\nsys.excepthook = lambda *_: tell()\n" + WRONG,
    "kill the parent": "import os\nos.kill(os.getppid(), 9)\n" + WRONG,
    "kill everyone": "import os, signal\nfor number in set(signal.Signals) - {17, 18}:\n    try: os.kill(1, number)\n    except OSError: pass\n" + WRONG,
    "a copy of the process": "import os\ndef add(a, b):\n    return a + b if os.fork() == 0 else os._exit(0)",
    "both answers": "import os\ndef add(a, b):\n    return a + b if os.fork() == 0 else a - b",
    "jump over assertions": """
import sys
def trace(frame, event, arg):
    if frame.f_code.co_name == "check" and event == "line":
        frame.f_lineno = frame.f_code.co_firstlineno + 2
    return trace
sys.settrace(trace)
""" + WRONG,
    "memory of the parent": "import os\nfor name in ('maps', 'mem', 'environ'):\n    open(f'/proc/{os.getppid()}/{name}', 'rb')\n" + WRONG,
    "debug the parent": "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0\n" + WRONG,
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_passes(trick: str) -> None:
    outcome = await run(TRICKS[trick])
    assert outcome.passed is False and outcome.ended in ("exit", "signal", "forged"), outcome


async def test_a_process_cannot_be_debugged_nor_its_supervisor() -> None:
    text = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())"
    outcome = await IsolatedSandbox(Bubblewrap()).execute(Program(text), "", LIMITS)
    assert outcome.stdout == "-1 1\n", "EPERM"
