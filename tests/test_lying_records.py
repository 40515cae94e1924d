"""Records that do not say what was written: each is told with its file and a remedy, and no table counts on it."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden import golden_store
from storage_samples import run_named, write_rollouts
from test_garbage import write_problems
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.integrity import store_findings
from overthink.storage.keys import labelled_key
from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import StageUse, Store, Sweep

IDENTITY = {"stage": "sample", "seed": 1}
SAMPLE = labelled_key("sample", IDENTITY)
Damage = Callable[[Store], object]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A complete run of two problems with three samples each, in two parts, and a sweep of it."""
    store = Store(tmp_path / "store")
    uses = (StageUse("problems", "problems-1"), StageUse("sample", SAMPLE, "best_of_n-n3", 3))
    store.stage(SAMPLE).describe(IDENTITY)
    write_rollouts(store.stage(SAMPLE), "ab", 0, 2)
    write_rollouts(store.stage(SAMPLE), "ab", 2, 3)
    write_problems(store)
    store.write_run(run_named("first-1", *uses))
    store.write_sweep(Sweep("grid-1", "grid", ("first-1",)))
    return store


@pytest.fixture
def old(store: Store) -> Store:
    """The same as 0.1 wrote it: records without digests."""
    for path in store.root.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        value.pop("digest", None)
        path.write_text(json.dumps(value), encoding="utf-8")
    return store


def entry_of(store: Store) -> Path:
    return sorted(store.stage(SAMPLE).manifest_folder.iterdir())[0]


def part_of(store: Store) -> Path:
    return sorted(store.stage(SAMPLE).parts_folder.iterdir())[0]


def run_of(store: Store) -> Path:
    return store.run_folder("first-1") / "run.json"


def sweep_of(store: Store) -> Path:
    return store.run_folder("grid-1") / "sweep.json"


def edit(path: Path, *place: Any, to: Any) -> None:
    """Put a value into a JSON file, at a place in it, as an editor does."""
    value = json.loads(path.read_text(encoding="utf-8"))
    at = value
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = to
    path.write_text(json.dumps(value), encoding="utf-8")


def move_behind_a_link(path: Path) -> None:
    """What is at a path lies elsewhere, under another name, and a link is in its place."""
    elsewhere = next(folder for folder in path.parents if folder.name == "store").with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    path.rename(elsewhere / f"moved{path.suffix}")
    path.symlink_to(elsewhere / f"moved{path.suffix}")


def copy_stage(store: Store) -> None:
    shutil.copytree(store.stage(SAMPLE).folder, store.root / "stages" / f"sample-{'0' * 20}")


LIES: dict[str, tuple[Damage, str]] = {
    "a digit of what an entry covers": (lambda s: edit(entry_of(s), "cover", "last", to=3), r"\.json"),
    "an entry's name": (lambda s: entry_of(s).rename(entry_of(s).with_stem("000000-000003-aaaaaaaaaaaa")), r"\.json"),
    "an entry twice": (lambda s: shutil.copy(entry_of(s), entry_of(s).with_stem("x")), r"x\.json describes part"),
    "an entry without files": (lambda s: edit(entry_of(s), "files", to=[]), r"\.json"),
    "an entry of another file": (lambda s: edit(entry_of(s), "files", 0, "name", to="x.parquet"), r"\.json"),
    "an entry of an unknown table": (lambda s: edit(entry_of(s), "files", 0, "table", to="x"), r"\.json"),
    "rows that are text": (lambda s: edit(entry_of(s), "files", 0, "rows", to="4"), r"\.json"),
    "a unit that is a number": (lambda s: edit(entry_of(s), "cover", "units", to=[1, 2]), r"\.json"),
    "a run's folder twice": (lambda s: shutil.copytree(run_of(s).parent, s.run_folder("first-1.bak")), "first-1.bak"),
    "a run under another id": (lambda s: edit(run_of(s), "run_id", to="first-2"), r"first-1/run\.json"),
    "a seed that is text": (lambda s: edit(run_of(s), "seed", to="7"), r"run\.json"),
    "n that is text": (lambda s: edit(run_of(s), "stages", 1, "n", to="3"), r"run\.json"),
    "a field too many": (lambda s: edit(run_of(s), "note", to="mine"), r"run\.json"),
    "a stage's kind": (lambda s: edit(run_of(s), "stages", 1, "kind", to="search"), r"run\.json"),
    "a status": (lambda s: edit(run_of(s), "status", to="done"), r"run\.json"),
    "a sweep under another id": (lambda s: edit(sweep_of(s), "sweep_id", to="grid-2"), r"sweep\.json"),
    "a sweep of numbers": (lambda s: edit(sweep_of(s), "run_ids", to=[1]), r"sweep\.json"),
    "what determines a stage": (lambda s: edit(s.stage(SAMPLE).folder / "stage.json", "seed", to=2), r"stage\.json"),
    "a stage's folder twice": (copy_stage, r"sample-0{20}/stage\.json"),
    "a stage's folder beside it": (
        lambda s: shutil.copytree(s.stage(SAMPLE).folder, s.root / "stages" / f"{SAMPLE}.bak"),
        r"\.bak is not a stage's folder",
    ),
    "a part behind a link": (lambda s: move_behind_a_link(part_of(s)), r"parquet is a symbolic link"),
    "parts behind a link": (lambda s: move_behind_a_link(s.stage(SAMPLE).parts_folder), "parts is a symbolic link"),
    "entries behind a link": (lambda s: move_behind_a_link(s.stage(SAMPLE).manifest_folder), "manifest is a symbolic"),
    "a stage behind a link": (lambda s: move_behind_a_link(s.stage(SAMPLE).folder), f"{SAMPLE} is not a stage's"),
    "a stage behind a dead link": (lambda s: dead_link(s.root / "stages" / f"sample-{'0' * 20}"), "link to nothing"),
    "a run behind a dead link": (lambda s: dead_link(s.run_folder("second-2")), "link to nothing"),
}
DIGESTS: dict[str, tuple[Damage, str]] = {
    "a digest of a file": (lambda s: edit(entry_of(s), "files", 0, "sha256", to="0" * 64), r"\.json"),
    "a smaller n": (lambda s: edit(run_of(s), "stages", 1, "n", to=2), r"run\.json"),
    "another seed": (lambda s: edit(run_of(s), "seed", to=8), r"run\.json"),
    "a recipe's field": (lambda s: edit(run_of(s), "recipe", "name", to="x"), r"run\.json"),
    "a sweep without a run": (lambda s: edit(sweep_of(s), "run_ids", to=[]), r"sweep\.json"),
}


def dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def read_all(store: Store) -> list[str]:
    store.sweeps()
    return [row["rollout_id"] for row in query(store, "SELECT rollout_id FROM rollouts ORDER BY ALL").to_pylist()]


def test_the_store_is_in_order(store: Store) -> None:
    assert read_all(store) == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]
    assert [finding.level for finding in store_findings(store)] == ["ok"]


def test_a_store_without_digests_is_in_order(old: Store) -> None:
    assert read_all(old) == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]
    assert [finding.level for finding in store_findings(old)] == ["ok"]


def is_told(store: Store, place: str) -> None:
    with pytest.raises(StorageError, match=place) as told:
        read_all(store)
    assert ": " in str(told.value), "there is a remedy"
    (finding, *_) = [each for each in store_findings(store) if each.level == "broken"]
    assert finding.remedy and str(store.root) in finding.place


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told_with_its_file(store: Store, name: str) -> None:
    damage, place = LIES[name]
    damage(store)
    is_told(store, place)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_told_in_an_old_store_too(old: Store, name: str) -> None:
    damage, place = LIES[name]
    damage(old)
    is_told(old, place)


@pytest.mark.parametrize("name", DIGESTS)
def test_a_changed_value_is_told_by_the_records_digest(store: Store, name: str) -> None:
    damage, place = DIGESTS[name]
    damage(store)
    is_told(store, f"{place} was changed after it was written")


def test_the_same_samples_in_two_parts_are_told_and_not_counted_twice(store: Store) -> None:
    write_rollouts(store.stage(SAMPLE), "a", 1, 4)
    is_told(store, r"both hold sample \d of problem a: delete one")


def test_the_command_tells_it_in_one_line(store: Store) -> None:
    edit(run_of(store), "seed", to="7")
    for words in (["status"], ["sql", "SELECT 1"], ["report", "first"], ["gc"]):
        told = CliRunner().invoke(app, [*words, "--store", str(store.root)])
        assert told.exit_code == 2 and len(told.output.splitlines()) == 1 and "run.json was changed" in told.output


def write_value(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda s: edit(run_of(s), "seed", to="7"), "seed: a whole number is wanted, not '7'"),
        (lambda s: edit(run_of(s), "note", to="mine"), "note: is unknown: leave it out"),
        (lambda s: edit(run_of(s), "status", to="done"), "status: 'done' is unknown: name one of running, complete"),
        (lambda s: write_value(run_of(s), {}), "run_id: is missing: add it"),
        (lambda s: write_value(run_of(s), [1]), "the whole: a mapping of keys to values is wanted, not a list"),
    ],
)
def test_what_is_wrong_with_a_value_is_told_in_plain_words(old: Store, damage: Damage, words: str) -> None:
    damage(old)
    with pytest.raises(StorageError, match=re.escape(f"run.json is not a run's manifest ({words}")):
        read_all(old)


def test_a_store_behind_a_link_is_read(store: Store) -> None:
    elsewhere = store.root.with_name("elsewhere")
    store.root.rename(elsewhere)
    store.root.symlink_to(elsewhere)
    assert len(read_all(store)) == 6
    stages = elsewhere / "stages"
    stages.rename(elsewhere.with_name("big"))
    stages.symlink_to(elsewhere.with_name("big"))
    assert len(read_all(store)) == 6


def test_what_other_programs_leave_is_passed_over(store: Store) -> None:
    (store.root / "stages" / ".ipynb_checkpoints").mkdir()
    (store.root / "runs" / ".DS_Store").touch()
    assert len(read_all(store)) == 6


def test_another_n_in_an_old_run_is_held_against_its_choices(tmp_path: Path) -> None:
    store = Store(golden_store(tmp_path))
    path = store.run_folder(store.find_run("jsonl").run_id) / "run.json"
    for number, use in enumerate(json.loads(path.read_text(encoding="utf-8"))["stages"]):
        if use["n"] is not None:
            edit(path, "stages", number, "n", to=1)
    (finding,) = [each for each in store_findings(store) if each.level == "broken"]
    assert "it was chosen among 2 rollouts a problem, and run.json says 1" in finding.what
    told = CliRunner().invoke(app, ["report", "jsonl", "--store", str(store.root)])
    assert told.exit_code == 1 and "run.json says 1" in told.output


def test_a_record_whose_names_are_of_other_kinds_keeps_its_digest(store: Store) -> None:
    recipe = {"by": {2: "b", 10: "a"}, "x": 1.0}
    store.write_run(run_named("second-2", StageUse("problems", "problems-1"), recipe=recipe))
    assert store.find_run("second-2").recipe == {"by": {"2": "b", "10": "a"}, "x": 1.0}
    assert os.listdir(store.run_folder("second-2")) == ["run.json"]
