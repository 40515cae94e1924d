"""The journals of a stage: one a shard, and calls where their shards look for them."""

from pathlib import Path

import pytest
from storage_samples import call, stored_keys

from overthink.storage.journal import Journal
from overthink.storage.journals import Journals
from overthink.storage.storage_errors import StorageError


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path / "stage")


def fill(journal: Journal, units: str) -> None:
    journal.append([call(f"call-{unit}", unit) for unit in units])
    journal.close()


def held(journals: Journals) -> dict[str, list[str]]:
    return {path.stem: stored_keys(path) for path in journals.paths()}


def test_each_shard_has_its_own(journals: Journals) -> None:
    fill(journals.open("one"), "a")
    fill(journals.open("two"), "b")
    assert held(journals) == {"one": ["call-a"], "two": ["call-b"]}
    journals.drop("one")
    assert held(journals) == {"two": ["call-b"]}


def test_one_is_open_in_one_place_only(journals: Journals) -> None:
    first = journals.open("one")
    first.known()
    with pytest.raises(StorageError, match="database is locked"):
        Journal(first.path)
    first.close()


def test_calls_move_to_the_shards_that_lack_them_when_shards_are_cut_anew(journals: Journals) -> None:
    fill(journals.open("ab"), "ab")
    fill(journals.open("cd"), "cd")
    journals.settle("abcd", {"abc": "abc", "d": "d"})
    assert held(journals) == {"abc": ["call-a", "call-b", "call-c"], "d": ["call-d"]}


def test_calls_that_parts_hold_are_dropped_and_those_of_other_problems_stay(journals: Journals) -> None:
    fill(journals.open("old"), "abx")
    journals.settle("ab", {"new": "b"})
    assert held(journals) == {"new": ["call-b"], "old": ["call-x"]}


def test_the_one_journal_of_an_earlier_version_is_shared_out(journals: Journals, tmp_path: Path) -> None:
    fill(Journal(tmp_path / "stage" / "journal.sqlite"), "ab")
    journals.settle("ab", {"one": "a", "two": "b"})
    assert held(journals) == {"one": ["call-a"], "two": ["call-b"]}


def test_a_move_that_was_killed_half_way_is_ended_without_doubling_a_call(journals: Journals) -> None:
    fill(journals.open("old"), "ab")
    fill(journals.open("new"), "a")
    journals.settle("ab", {"new": "ab"})
    assert held(journals) == {"new": ["call-a", "call-b"]}


def test_what_is_where_it_belongs_is_not_touched(journals: Journals) -> None:
    fill(journals.open("one"), "ab")
    (path,) = journals.paths()
    before = path.stat().st_mtime_ns
    journals.settle("ab", {"one": "a"})
    assert path.stat().st_mtime_ns == before
