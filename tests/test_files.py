"""Whole files or none, and content addresses."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import overthink.storage.files
from overthink.storage.files import read_json, sha256_of, whole_file, write_json
from overthink.storage.keys import KEY_LENGTH, content_key, labelled_key
from overthink.storage.storage_errors import StorageError

REMEDIES = {errno.ENOSPC: "disk full.*free space.*same command again", errno.EIO: "cannot use.*mend the disk"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def failing(code: int, only: Path | None = None) -> Any:
    def fail(*arguments: Any, **options: Any) -> None:
        if only is None or only in arguments:
            raise OSError(code, os.strerror(code))

    return fail


def write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def test_a_whole_file_holds_what_was_written_and_nothing_else_is_there(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "down" / "a.json", "whole")
    assert (tmp_path / "deep" / "down" / "a.json").read_text(encoding="utf-8") == "whole"
    assert os.listdir(tmp_path / "deep" / "down") == ["a.json"]


def test_nothing_is_there_before_the_block_is_left(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.parquet") as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert not (tmp_path / "a.parquet").exists()
        assert not list(tmp_path.glob("*.parquet"))
        assert temporary.parent == tmp_path


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_inside_the_block_passes_and_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path / "a.json", "old")
    with pytest.raises(type(error)), whole_file(tmp_path / "a.json") as temporary:
        temporary.write_text("new", encoding="utf-8")
        raise error
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("code", REMEDIES)
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failing_disk_names_the_place_and_the_remedy_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    write(tmp_path / "a.json", "old")
    target = (Path, "write_text") if step == "write" else (os, step)
    with monkeypatch.context() as patched, pytest.raises(StorageError, match=REMEDIES[code]) as caught:
        patched.setattr(*target, failing(code))
        write(tmp_path / "a.json", "new")
    assert str(tmp_path / "a.json") in str(caught.value)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("code", REMEDIES)
def test_a_failing_sync_of_the_folder_is_told_and_the_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(overthink.storage.files, "sync", failing(code, only=tmp_path))
    with pytest.raises(StorageError, match=REMEDIES[code]):
        write(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "new"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("code", REMEDIES)
def test_a_folder_that_cannot_be_made_names_the_place_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "mkdir", failing(code))
    with pytest.raises(StorageError, match=REMEDIES[code]):
        write(tmp_path / "parts" / "a.json", "new")


def test_a_device_that_is_really_full_names_the_place(tmp_path: Path) -> None:
    (tmp_path / ".a.json.partial").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=REMEDIES[errno.ENOSPC]):
        write(tmp_path / "a.json", "new")
    assert os.listdir(tmp_path) == []


def test_file_and_folder_are_synced_in_the_right_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace = os.replace
    monkeypatch.setattr(overthink.storage.files, "sync", lambda path: steps.append(f"sync {path.name}"))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append(f"rename to {new.name}"), replace(old, new)))
    write(tmp_path / "a.json", "new")
    assert steps == ["sync .a.json.partial", "rename to a.json", f"sync {tmp_path.name}"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_json_comes_back_as_written(tmp_path: Path) -> None:
    value = {"é": [1, 2.5, None, True], "deep": {"x": "\n∞"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_missing_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a.json is missing"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b'"\xff\xfe"', b"\x00\x00\x00"])
def test_torn_json_names_the_file_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.json is not whole JSON.*restore it from a copy, or delete it"):
        read_json(tmp_path / "a.json")


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_the_order_of_fields_does_not_change_a_key(value: Any) -> None:
    assert content_key(value) == content_key(reordered(value))


@given(JSON, JSON)
def test_keys_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_key(one) == content_key(other)) == same


@pytest.mark.parametrize("other", [{"n": 2}, {"n": "1"}, {"n": 1.0}, {"n": True}, {"m": 1}, [1], {"n": 1, "m": None}])
def test_different_values_have_different_keys(other: Any) -> None:
    assert content_key({"n": 1}) != content_key(other)


def test_the_order_of_lists_changes_a_key() -> None:
    assert content_key(["a", "b"]) != content_key(["b", "a"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key({"temperature": [value]})


@pytest.mark.parametrize("value", [{1, 2}, b"x", Path("x")])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        content_key({"x": value})


def test_a_key_is_short_hexadecimal_and_fixed_for_ever() -> None:
    assert content_key({"a": [1, "é"]}) == hashlib.sha256('{"a":[1,"é"]}'.encode()).hexdigest()[:KEY_LENGTH]


def test_a_lone_surrogate_has_a_key() -> None:
    assert len(content_key("\ud800")) == KEY_LENGTH


def test_a_labelled_key_starts_with_its_word() -> None:
    assert labelled_key("sample", {"n": 1}) == f"sample-{content_key({'n': 1})}"
