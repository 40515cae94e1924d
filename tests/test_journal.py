"""The journal of answered calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_samples import call, stored_keys

from storage.errors import StorageError
from storage.journal import COLUMNS, Journal


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
    with pytest.raises(StorageError, match=r"cannot use the journal .*journal\.sqlite: file is not a database"):
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
