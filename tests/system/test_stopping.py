"""SIGTERM to a command: one message, exit code 143, no traceback, soon."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from storage_samples import ROOT

from overthink.flows.commands.stopping import EXIT_CODE, MESSAGE, Terminated, stopped_by_sigterm


@pytest.mark.parametrize("way", ["in Python", "in a library", "in a query", "in a thread", "in a task"])
def test_a_command_that_is_busy_is_stopped(way: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    command = [sys.executable, Path(__file__).with_name("busy_command.py"), way, tmp_path]
    life = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert life.stdout is not None and life.stdout.readline() == "busy\n"
    life.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    output, errors = life.communicate(timeout=60)
    assert (life.returncode, output) == (143, "")
    assert set(errors.splitlines()) == {MESSAGE}
    assert time.monotonic() - begin < (10 if way == "in a task" else 30)


def test_it_is_raised_where_it_comes_and_what_was_before_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert issubclass(Terminated, SystemExit) and EXIT_CODE == 143


def test_a_forked_child_that_is_stopped_stops_nobody_else() -> None:
    fork = multiprocessing.get_context("fork")
    with stopped_by_sigterm():
        child = fork.Process(target=time.sleep, args=(600,))
        child.start()
        time.sleep(0.2)
        child.terminate()
        child.join(timeout=60)
        assert child.exitcode == -signal.SIGTERM
        time.sleep(0.2)
    assert os.getpid(), "this process goes on"
