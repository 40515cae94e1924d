"""The journal of answered calls."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_samples import call, stored_keys

from overthink.storage.journal import COLUMNS, Journal
from overthink.storage.storage_errors import StorageError


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "stage" / "journal.sqlite")
    yield opened
    opened._connection.close()


def fill_the_disk(journal: Journal) -> None:
    (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_reply_comes_back_by_its_key(journal: Journal) -> None:
    journal.append([call("k1", reply="é\n∞"), call("k2", reply="")])
    assert [journal.reply(key) for key in ("k1", "k2", "k3")] == ["é\n∞", "", None]


def test_known_is_the_set_of_answered_calls(journal: Journal) -> None:
    assert journal.known() == set()
    journal.append([call("k1"), call("k2")])
    assert journal.known() == {"k1", "k2"}


def test_nothing_to_append_and_nothing_to_forget_is_no_error(journal: Journal) -> None:
    journal.append([])
    journal.forget([])
    journal.forget(["never made"])
    assert journal.known() == set()


def test_calls_come_back_exactly_as_they_were_appended(journal: Journal) -> None:
    made = call("k1", cached_tokens=0, latency_ms=0.1 + 0.2, started_at=1_763_000_000.123456)
    journal.append([made])
    assert list(journal.calls(["a"], 0, 1)) == [made]


def test_calls_are_those_of_the_problems_and_samples_asked_for_in_a_fixed_order(journal: Journal) -> None:
    made = [
        call(f"{unit}{index}{kind}", unit, index, kind=kind) for unit in "abc" for index in (2, 0, 1) for kind in "sg"
    ]
    journal.append(made)
    found = [one.call_key for one in journal.calls(["c", "a"], 0, 2)]
    assert found == ["c0g", "c0s", "c1g", "c1s", "a0g", "a0s", "a1g", "a1s"]


def test_forgotten_calls_are_gone_and_the_others_stay(journal: Journal) -> None:
    journal.append([call("k1"), call("k2"), call("k3")])
    journal.forget(["k1", "k3"])
    assert journal.known() == {"k2"}


def test_a_forgotten_call_may_be_made_again(journal: Journal) -> None:
    journal.append([call("k1")])
    journal.forget(["k1"])
    journal.append([call("k1", reply="again")])
    assert journal.reply("k1") == "again"


def test_a_call_answered_twice_is_an_error_and_the_first_reply_stays(journal: Journal) -> None:
    journal.append([call("k1", reply="first")])
    with pytest.raises(StorageError, match=r"journal\.sqlite: a call was answered twice"):
        journal.append([call("k1", reply="second")])
    assert journal.reply("k1") == "first"


def test_a_batch_is_committed_all_or_none(journal: Journal) -> None:
    journal.append([call("k2")])
    with pytest.raises(StorageError):
        journal.append([call("k1"), call("k2"), call("k3")])
    assert stored_keys(journal.path) == ["k2"]
    journal.append([call("k1"), call("k3")])
    assert stored_keys(journal.path) == ["k1", "k2", "k3"]


def test_appended_calls_are_committed_when_append_returns(journal: Journal) -> None:
    journal.append([call("k1"), call("k2")])
    assert stored_keys(journal.path) == ["k1", "k2"]
    journal.forget(["k1"])
    assert stored_keys(journal.path) == ["k2"]


def test_commits_are_synced_to_disk(journal: Journal) -> None:
    settings = [journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_calls_survive_reopening(journal: Journal) -> None:
    journal.append([call("k1")])
    journal.close()
    again = Journal(journal.path)
    assert again.reply("k1") == "reply to k1"
    again.close()


def spoil(path: Path, change: str) -> None:
    """Change rows behind the journal's back, as a disk does: the file as a whole is in order."""
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "reply = 'reply to k9'",
        "call_key = 'k9'",
        "sample_index = 1",
        "output_tokens = 6",
        "cached_tokens = 0",
        "latency_ms = latency_ms + 1e-9",
        "checksum = 'x'",
        "reply = CAST('reply to k1' AS BLOB)",
    ],
)
def test_a_call_that_is_not_as_it_was_answered_is_asked_again(
    journal: Journal, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append([call("k1"), call("k2")])
    journal.close()
    spoil(journal.path, f"UPDATE calls SET {change} WHERE call_key = 'k1'")
    again = Journal(journal.path)
    assert again.known() == {"k2"} and again.reply("k1") is None
    assert [one.call_key for one in again.calls(["a"], 0, 9)] == ["k2"]
    (warning,) = caplog.records
    assert "1 calls are not as they were answered; they are asked again" in warning.message
    again.append([call("k1")])
    again.close()
    whole = Journal(journal.path)
    assert whole.known() == {"k1", "k2"}
    whole.close()


def test_a_journal_that_was_written_before_there_were_checksums_is_replayed_and_gone_on_with(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    made = call("k1", reply="é\n∞", cached_tokens=0)
    journal.append([made])
    journal.close()
    spoil(journal.path, "ALTER TABLE calls DROP COLUMN checksum")
    again = Journal(journal.path)
    again.append([call("k2")])
    assert list(again.calls(["a"], 0, 1)) == [made, call("k2")]
    again.close()
    spoil(journal.path, "UPDATE calls SET reply = 'other'")
    caplog.clear()
    mixed = Journal(journal.path)
    assert (mixed.reply("k1"), mixed.reply("k2")) == ("other", None), "of the first nothing is known"
    mixed.close()
    assert len(caplog.records) == 1


def test_a_journal_whose_pages_are_damaged_says_to_delete_it(journal: Journal) -> None:
    journal.append([call(f"k{number}", reply="x" * 500) for number in range(100)])
    journal.close()
    content = bytearray(journal.path.read_bytes())
    content[4096:20480] = b"\xff" * 16384
    journal.path.write_bytes(content)
    with pytest.raises(StorageError, match=r"journal\.sqlite is damaged \(.*\): delete it and run the same command"):
        Journal(journal.path)


def test_an_empty_journal_leaves_no_file_behind(journal: Journal) -> None:
    journal.append([call("k1")])
    list(journal.calls(["a"], 0, 1))
    journal.forget(["k1"])
    assert {path.name for path in journal.path.parent.iterdir()} >= {"journal.sqlite", "journal.sqlite-wal"}
    journal.close()
    assert list(journal.path.parent.iterdir()) == []


def test_a_journal_with_calls_is_left_as_one_file(journal: Journal) -> None:
    journal.append([call("k1")])
    journal.close()
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.sqlite"]


def test_a_full_disk_names_the_journal_and_the_remedy_and_keeps_what_was_committed(journal: Journal) -> None:
    journal.append([call("k1")])
    fill_the_disk(journal)
    with pytest.raises(StorageError, match=r"journal\.sqlite: database or disk is full; free space.*are safe"):
        journal.append([call("k2"), call("k3", reply="x" * 100_000)])
    assert stored_keys(journal.path) == ["k1"]


def test_a_journal_goes_on_once_there_is_space(journal: Journal) -> None:
    fill_the_disk(journal)
    with pytest.raises(StorageError):
        journal.append([call("k1", reply="x" * 100_000)])
    journal._connection.execute("PRAGMA max_page_count = 100000")
    journal.append([call("k1", reply="x" * 100_000)])
    assert stored_keys(journal.path) == ["k1"]


def test_a_file_that_is_no_journal_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not SQLite at all, " * 100)
    with pytest.raises(StorageError, match=r"journal\.sqlite is damaged \(file is not a database\): delete it"):
        Journal(tmp_path / "journal.sqlite")


def test_a_place_where_no_folder_can_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/journal\.sqlite"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_a_call_with_an_empty_field_is_kept_as_unknown(journal: Journal) -> None:
    journal.append([call("k1", cached_tokens=None)])
    (found,) = journal.calls(["a"], 0, 1)
    assert found.cached_tokens is None
    assert COLUMNS[0] == "call_key"
