"""One writer, and who it is."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from storage_samples import ROOT

from overthink.storage.lock import fellow_writer, lease, only_writer
from overthink.storage.storage_errors import StorageError, StoreBusy

HOLD = """
import sys
from pathlib import Path
from overthink.storage.lock import only_writer
with only_writer(Path(sys.argv[1]), "run x"):
    print("held", flush=True)
    sys.stdin.readline()
print("left", flush=True)
sys.stdin.readline()
"""
SHARE = """
import sys
from pathlib import Path
from overthink.storage.lock import fellow_writer
def prepare():
    print("prepares", flush=True)
    sys.stdin.readline()
with fellow_writer(Path(sys.argv[1]), "run x", sys.argv[2], prepare):
    print("held", flush=True)
    sys.stdin.readline()
"""
FORK = """
import os, sys
from pathlib import Path
from overthink.storage.lock import only_writer
with only_writer(Path(sys.argv[1]), "run x"):
    if os.fork() == 0:
        os.write(1, b"forked\\n")
        sys.stdin.readline()
        os._exit(0)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
os.write(1, b"left\\n")
sys.stdin.readline()
"""


@contextmanager
def python(script: str, *arguments: Path | str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def answer(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_second_process_is_told_who_writes(tmp_path: Path) -> None:
    with python(HOLD, tmp_path / "lock") as holder:
        assert line_of(holder) == "held"
        expected = f"run x is being written by process {holder.pid} on {socket.gethostname()}: "
        with pytest.raises(StoreBusy, match=f"^{expected}"), only_writer(tmp_path / "lock", "run x"):
            pass


def test_the_lock_is_free_once_its_holder_left(tmp_path: Path) -> None:
    with python(HOLD, tmp_path / "lock") as holder:
        assert line_of(holder) == "held"
        answer(holder)
        assert line_of(holder) == "left"
        with only_writer(tmp_path / "lock", "run x"):
            assert str(os.getpid()) in (tmp_path / "lock").read_text(encoding="utf-8")


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with python(HOLD, tmp_path / "lock") as holder:
        assert line_of(holder) == "held"
        holder.kill()
        holder.wait()
        with only_writer(tmp_path / "lock", "run x"):
            pass


def test_a_child_forked_under_the_lock_does_not_hold_it_on(tmp_path: Path) -> None:
    with python(FORK, tmp_path / "lock", "left") as parent:
        assert {line_of(parent), line_of(parent)} == {"forked", "left"}
        with only_writer(tmp_path / "lock", "run x"):
            pass
        answer(parent)


def test_a_child_forked_under_the_lock_does_not_outlive_a_killed_holder_with_it(tmp_path: Path) -> None:
    with python(FORK, tmp_path / "lock", "killed") as parent:
        parent.wait()
        assert line_of(parent) == "forked"
        with only_writer(tmp_path / "lock", "run x"):
            pass


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with only_writer(tmp_path / "lock", "run x"):
        with pytest.raises(StoreBusy), only_writer(tmp_path / "lock", "run x"):
            pass
        assert str(os.getpid()) in (tmp_path / "lock").read_text(encoding="utf-8")


def test_an_error_under_the_lock_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), only_writer(tmp_path / "lock", "run x"):
        raise ValueError("boom")
    with only_writer(tmp_path / "lock", "run x"):
        pass


def test_two_locks_do_not_hinder_each_other(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a", "a"), only_writer(tmp_path / "b", "b"):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_holder_that_has_not_yet_written_its_name_is_another_process(tmp_path: Path, content: str) -> None:
    with only_writer(tmp_path / "lock", "run x"):
        (tmp_path / "lock").write_text(content, encoding="utf-8")
        with pytest.raises(StoreBusy, match="by another process"), only_writer(tmp_path / "lock", "run x"):
            pass


def test_a_shorter_name_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("x" * 1000, encoding="utf-8")
    with only_writer(tmp_path / "lock", "run x"):
        assert "x" not in (tmp_path / "lock").read_text(encoding="utf-8").replace(socket.gethostname(), "")


def test_a_place_that_cannot_be_locked_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/lock"), only_writer(tmp_path / "file" / "lock", "run x"):
        pass


def test_fellows_hold_a_lock_together_and_only_the_first_prepares(tmp_path: Path) -> None:
    with python(SHARE, tmp_path / "lock", "dig") as first:
        assert line_of(first) == "prepares"
        with pytest.raises(StoreBusy), only_writer(tmp_path / "lock", "run x"):
            pass
        with python(SHARE, tmp_path / "lock", "dig") as second:
            answer(first)
            assert {line_of(first), line_of(second)} == {"held"}
            not_again = fellow_writer(tmp_path / "lock", "run x", "dig", lambda: pytest.fail("others are at it"))
            with not_again as others_left:
                assert not others_left()


def test_a_fellow_waits_until_the_first_has_prepared_or_died(tmp_path: Path) -> None:
    with python(SHARE, tmp_path / "lock", "dig") as first:
        assert line_of(first) == "prepares"
        with python(SHARE, tmp_path / "lock", "dig") as second:
            first.kill()
            assert line_of(second) == "prepares", "nobody else has done it"
            answer(second)
            assert line_of(second) == "held"


def test_the_last_fellow_knows_that_the_others_have_left(tmp_path: Path) -> None:
    with fellow_writer(tmp_path / "lock", "run x", "dig", lambda: None) as others_left:
        with python(SHARE, tmp_path / "lock", "dig") as other:
            assert line_of(other) == "held"
            other.kill()
            other.wait()
        assert others_left()


@pytest.mark.parametrize("holder", [HOLD, SHARE])
def test_who_does_other_work_or_works_alone_bears_no_fellow(
    tmp_path: Path, holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overthink.storage.lock.PATIENCE_SECONDS", 0.1)
    with python(holder, tmp_path / "lock", "fill") as other:
        while line_of(other) != "held":
            answer(other)
        refused = pytest.raises(StoreBusy, match=f"^run x is being written by process {other.pid} on")
        with refused, fellow_writer(tmp_path / "lock", "run x", "dig", lambda: None):
            pass


def test_a_preparation_that_fails_leaves_the_lock_free(tmp_path: Path) -> None:
    def boom() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"), fellow_writer(tmp_path / "lock", "run x", "dig", boom):
        pass
    with only_writer(tmp_path / "lock", "run x"):
        pass


def test_a_lease_goes_with_its_work_and_one_that_was_left_is_taken(tmp_path: Path) -> None:
    (tmp_path / "shard").write_text('{"pid": 1, "host": "gone"}', encoding="utf-8")  # its holder was killed
    with lease(tmp_path / "shard", "shard 1"):
        taken = pytest.raises(StoreBusy, match=f"shard 1 is being written by process {os.getpid()} ")
        with taken, lease(tmp_path / "shard", "shard 1"):
            pass
        assert (tmp_path / "shard").exists()
    assert not (tmp_path / "shard").exists()
    with lease(tmp_path / "shard", "shard 1"):
        pass
