"""Child processes that end with the one that started them, and not with a thread of it."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alive import left_of, numbers_told

from overthink.tasks.child_processes import command_of, start

# Starts a module from a thread that ends, tells its number, and waits to be killed.
OWNER = """
import sys, threading, time
from overthink.tasks.child_processes import command_of, start

def begin():
    print(start(command_of(*sys.argv[1:])).pid, flush=True)

thread = threading.Thread(target=begin)
thread.start()
thread.join()
time.sleep(600)
"""
# A process with one beneath it and one beneath that, of which none lets another of Python's threads run.
BUSY = """
import multiprocessing, os, sys

def be_busy(ways):
    if ways:
        multiprocessing.get_context(ways[0]).Process(target=be_busy, args=[ways[1:]]).start()
    os.write(1, f"{os.getpid()}\\n".encode())
    10 ** 10 ** 7

if __name__ == "__main__":
    from busy import be_busy
    be_busy(sys.argv[1:])
"""
# Forks from a thread that ends, and tells whether the copy outlives it.
FORKING = """
import os, signal, threading, time

def fork():
    global copy
    copy = os.fork()
    if copy == 0:
        time.sleep(600)

thread = threading.Thread(target=fork)
thread.start()
thread.join()
time.sleep(0.5)
print(os.waitpid(copy, os.WNOHANG) == (0, 0), flush=True)
os.kill(copy, signal.SIGKILL)
"""
WAITING = "import time\ntime.sleep(600)\n"


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"busy": BUSY, "forking": FORKING, "waiting": WAITING}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("ways", [["fork", "fork"], ["spawn", "fork"], ["spawn", "spawn"]])
def test_a_killed_process_takes_those_beneath_it_along_whatever_they_do(ways: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, "busy", *ways], stdout=subprocess.PIPE) as owner:
        try:
            busy = set(numbers_told(owner, 4))  # one of them twice
        finally:
            owner.kill()
    assert len(busy) == 3
    assert left_of(busy, seconds=5) == []


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(start(command_of("waiting"))))
    thread.start()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(1)
    started[0].kill()
    assert started[0].wait() == -signal.SIGKILL


def test_without_such_a_thread_it_would_not() -> None:
    with ThreadPoolExecutor(1) as thread:
        child = thread.submit(subprocess.Popen, command_of("waiting")).result()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
    assert child.wait(60) == -signal.SIGKILL


def test_what_a_passing_thread_forks_does_not_end_with_it() -> None:
    assert subprocess.run(command_of("forking"), capture_output=True, check=True).stdout == b"True\n"


def test_a_parent_that_has_ended_already_is_noticed(tmp_path: Path) -> None:
    command = command_of("waiting")
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, timeout=60).returncode == 1


def test_a_forked_copy_starts_processes_too() -> None:
    assert start([sys.executable, "-c", ""]).wait() == 0
    copy = os.fork()
    if copy == 0:
        os._exit(start([sys.executable, "-c", "import os; os._exit(7)"]).wait())
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 7


def test_words_and_the_exit_code_are_the_modules_own(tmp_path: Path) -> None:
    (tmp_path / "saying.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    done = subprocess.run(command_of("saying", "a b", "-c"), capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("['a b', '-c']\n", 3)
