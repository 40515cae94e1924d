"""What a program may do in the sandbox, what it may not, and what is told of it."""

import asyncio
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sandboxes import Marked, lack

from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.programs import Limits, Program, ProgramOutcome

USUAL = Limits()
BRIEF = Limits(cpu_seconds=1)


@pytest.fixture(autouse=True, scope="module")
def _holding() -> None:
    if reason := lack():
        pytest.skip(reason)


async def run(text: str, stdin: str = "", limits: Limits = USUAL, tests: str | None = None) -> ProgramOutcome:
    return await IsolatedSandbox(Bubblewrap()).execute(Program(text, tests), stdin, limits)


async def printed(text: str, stdin: str = "", limits: Limits = USUAL) -> str:
    outcome = await run(text, stdin, limits)
    assert (outcome.ended, outcome.exit_code) == ("exit", 0), outcome
    return outcome.stdout.strip()


async def test_standard_input_and_output_are_text_in_utf_8() -> None:
    outcome = await run("print(input()[::-1], end='')", "größer 🜁\n")
    assert outcome.stdout == "🜁 reßörg"
    assert outcome.stdout_digest == hashlib.sha256("🜁 reßörg".encode()).hexdigest()
    assert (outcome.ended, outcome.exit_code, outcome.passed, outcome.stderr) == ("exit", 0, None, "")


async def test_bytes_that_are_no_text_are_in_the_digest() -> None:
    outcome = await run("import sys; sys.stdout.buffer.write(bytes([255, 65]))")
    assert outcome.stdout == "\ufffdA"
    assert outcome.stdout_digest == hashlib.sha256(bytes([255, 65])).hexdigest()


async def test_a_long_standard_input_is_read_or_is_not() -> None:
    long = "1\n" * 5_000_000
    assert await printed("import sys; print(sum(map(int, sys.stdin)))", long) == "5000000"
    assert await printed("print('unread')", long) == "unread"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("import os; os._exit(137)", 137),
        ("exit()", 0),
        ("quit(4)", 4),
        ("raise SystemExit('a reason')", 1),
        ("1 / 0", 1),
        ("def f(:", 1),
        ("import os; os.kill(os.getpid(), 11)", -signal.SIGSEGV),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
async def test_exit_codes_are_those_of_a_process(text: str, code: int) -> None:
    outcome = await run(text)
    assert (outcome.ended, outcome.exit_code) == ("exit" if code >= 0 else "signal", code)


async def test_standard_error_is_kept_to_its_end_without_frames_of_ours() -> None:
    outcome = await run("import sys\nprint('x' * 10**6, file=sys.stderr)\ndef f():\n    1 / 0\nf()")
    assert len(outcome.stderr) == 4096
    assert outcome.stderr.endswith(
        "xxx\nTraceback (most recent call last):\n"
        '  File "__main__", line 5, in <module>\n  File "__main__", line 4, in f\nZeroDivisionError: division by zero\n'
    )


async def test_a_program_is_the_main_module_and_ends_as_one() -> None:
    text = """
import atexit, threading, time
atexit.register(print, "last")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
if __name__ == "__main__":
    print(__import__("__main__").__dict__ is globals())
"""
    assert await printed(text) == "True\nthread\nlast"


async def test_every_run_of_a_program_is_the_same() -> None:
    text = "import random; print(random.random(), list({'a', 'b', 'c', 'd', 'e', 'f'}))"
    assert await printed(text) == await printed(text)


async def test_nothing_of_this_machine_is_there(tmp_path: Path) -> None:
    store = tmp_path / "store.parquet"
    store.write_text("rows")
    for file in (store, "/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc/self/mem", Path(__file__)):
        outcome = await run(f"open({str(file)!r}, 'rb')")
        assert outcome.stderr.splitlines()[-1].split(":")[0] in ("FileNotFoundError", "PermissionError"), file


async def test_only_its_own_folder_is_written_to_and_it_is_gone_afterwards() -> None:
    name = f"/tmp/{secrets.token_hex()}"
    assert await printed(f"open({name!r}, 'w').write('x'); import os; print(os.getcwd(), os.listdir('.'))") != ""
    assert not Path(name).exists()
    assert await printed("import os; print(os.listdir('.'))") == "[]"
    for folder in ("/", "/dev", "/usr/lib", str(Path(os.__file__).parent)):
        outcome = await run(f"open({folder + '/x'!r}, 'w')")
        assert "Read-only file system" in outcome.stderr or "Permission denied" in outcome.stderr, folder


async def test_files_are_bounded_one_by_one_and_together() -> None:
    limits = Limits(file_bytes=2**20)
    for text in ("open('a', 'wb').write(bytes(2**21))", "for n in 'abc': open(n, 'wb').write(bytes(2**19))"):
        outcome = await run(text, limits=limits)
        assert outcome.exit_code == 1 and "OSError" in outcome.stderr
    assert await printed("print(open('a', 'wb').write(bytes(2**19)))", limits=limits) == str(2**19)


async def test_environment_and_packages_are_not_ours() -> None:
    assert await printed("import os; print(dict(os.environ))") == "{}"
    assert "ModuleNotFoundError" in (await run("import numpy")).stderr
    assert await printed("import sys; print([p for p in sys.path if 'packages' in p])") == "[]"
    assert await printed("import os, glob; print(glob.glob(os.path.dirname(os.__file__) + '/*-packages/*'))") == "[]"


async def test_there_is_no_network() -> None:
    text = """
import socket
print([name for _, name in socket.if_nameindex()])
for address in (("127.0.0.1", 22), ("8.8.8.8", 53)):
    try:
        socket.create_connection(address, 1)
        print("connected")
    except OSError:
        pass
"""
    assert await printed(text) == "['lo']"


async def test_a_fork_bomb_stays_small() -> None:
    text = "import os\nwhile True:\n    try: os.fork()\n    except OSError: break"
    begin = time.monotonic()
    outcome = await run(text, limits=Limits(cpu_seconds=1, processes=20))
    assert outcome.ended in ("exit", "cpu") and time.monotonic() - begin < 60


@pytest.mark.parametrize("processes", [1, 8])
async def test_processes_are_counted_exactly(processes: int) -> None:
    text = """
import os
count = 1
try:
    while os.fork():
        count += 1
    else:
        while True:
            os.read(0, 1) or __import__("time").sleep(60)
except OSError:
    print(count)
"""
    for _ in range(3):
        assert await printed(text, limits=Limits(processes=processes)) == str(processes)


@pytest.mark.parametrize("text", ["while True: print('x' * 1000)", "import os\nwhile True: os.write(1, bytes(10**6))"])
async def test_endless_output_is_cut(text: str) -> None:
    outcome = await run(text, limits=Limits(output_bytes=10_000))
    assert (outcome.ended, outcome.exit_code, len(outcome.stdout)) == ("output", None, 10_000)


async def test_output_up_to_the_limit_is_no_fault() -> None:
    outcome = await run("print('x' * 9_999)", limits=Limits(output_bytes=10_000))
    assert (outcome.ended, len(outcome.stdout)) == ("exit", 10_000)


async def test_endless_standard_error_is_bounded_by_cpu_time() -> None:
    outcome = await run("import os\nwhile True: os.write(2, b'x' * 10**6)", limits=BRIEF)
    assert (outcome.ended, outcome.stderr) == ("cpu", "x" * 4096)


async def test_memory_is_bounded() -> None:
    outcome = await run("x = [0]\nwhile True: x += x", tests="pass")
    assert (outcome.ended, outcome.exit_code, outcome.passed) == ("memory", 1, False)
    assert await printed("try: bytearray(2**31)\nexcept MemoryError: print('refused')") == "refused"


@pytest.mark.parametrize("prelude", ["", "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"])
async def test_cpu_time_is_bounded_even_where_the_signal_is_ignored(prelude: str) -> None:
    outcome = await run(prelude + "while True: pass", limits=BRIEF, tests="pass")
    assert (outcome.ended, outcome.exit_code, outcome.passed) == ("cpu", None, False)
    assert outcome.cpu_seconds is not None and 1 < outcome.cpu_seconds < 1.6


async def test_a_program_that_only_waits_is_unknown_after_ten_times_the_limit() -> None:
    begin = time.monotonic()
    outcome = await run("import time; time.sleep(1000)", limits=BRIEF, tests="pass")
    assert (outcome.ended, outcome.exit_code, outcome.passed) == ("wall", None, None)
    assert 10 <= time.monotonic() - begin < 60


async def test_a_program_that_kills_itself_is_unknown() -> None:
    outcome = await run("import os; os.kill(os.getpid(), 9)", tests="pass")
    assert (outcome.ended, outcome.exit_code, outcome.passed) == ("killed", None, None)


async def test_load_makes_no_verdict() -> None:
    text = "import time\nwhile time.process_time() < 0.6: pass\nprint('done')"
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        outcomes = await asyncio.gather(*(run(text, limits=BRIEF, tests="pass") for _ in range(3)))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert [(outcome.ended, outcome.passed) for outcome in outcomes] == [("exit", True)] * 3


async def test_no_more_run_at_once_than_are_asked_for() -> None:
    isolation = Marked(secrets.token_hex())
    sandbox = IsolatedSandbox(isolation, concurrency=2)
    program = Program("import time; time.sleep(0.3)")
    all_of_them = asyncio.gather(*(sandbox.execute(program, "", Limits()) for _ in range(4)))
    most = 0
    while not all_of_them.done():
        most = max(most, len(isolation.alive()))
        await asyncio.sleep(0.05)
    assert 2 <= most <= 2 * 3, "the monitor, the supervisor and the program of each"


WITH_CHILDREN = "import os, time\nfor _ in range(3): os.fork() or time.sleep(1000)\n"
ENDLESS = WITH_CHILDREN + "time.sleep(1000)"


async def test_no_process_is_left_when_a_program_ends() -> None:
    isolation = Marked(secrets.token_hex())
    outcome = await IsolatedSandbox(isolation).execute(Program(WITH_CHILDREN + "print(1)"), "", Limits())
    assert (outcome.ended, outcome.stdout, isolation.alive()) == ("exit", "1\n", [])


async def test_no_process_is_left_when_nobody_waits_any_more() -> None:
    """Whatever the sandbox is just about: it begins within 60 ms on an idle machine."""
    isolation = Marked(secrets.token_hex())
    for milliseconds in range(0, 80, 2):
        work = asyncio.ensure_future(IsolatedSandbox(isolation).execute(Program(ENDLESS), "", Limits()))
        await asyncio.sleep(milliseconds / 1000)
        work.cancel()
        assert not (await asyncio.wait([work], timeout=30))[1], f"it waits for ever after {milliseconds} ms"
        assert work.cancelled() and await none_is_left(isolation)


async def none_is_left(isolation: Marked) -> bool:
    """The kernel ends them at once, and takes a moment for it."""
    for _ in range(200):
        if not isolation.alive():
            return True
        await asyncio.sleep(0.05)
    return False


DRIVER = """
import asyncio, sys
from sandboxes import Marked
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.programs import Limits, Program
asyncio.run(IsolatedSandbox(Marked(sys.argv[1])).execute(Program(sys.argv[2]), "", Limits()))
"""


async def test_no_process_is_left_when_our_own_is_killed() -> None:
    isolation = Marked(secrets.token_hex())
    words = [sys.executable, "-c", DRIVER, isolation.mark, ENDLESS]
    driver = subprocess.Popen(words, cwd=Path(__file__).parent)
    while len(isolation.alive()) < 4:  # our own, the monitor, the supervisor and the program, at least
        assert driver.poll() is None
        await asyncio.sleep(0.05)
    driver.kill()
    driver.wait()
    assert await none_is_left(isolation)
