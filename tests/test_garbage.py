"""What no run refers to: found, kept where anything needs it, and removed whole wherever a kill falls."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_samples import call, run_named, tree, write_rollouts
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.garbage import find_garbage, remove_garbage
from overthink.storage.integrity import store_findings
from overthink.storage.sql import query
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError, StoreBusy
from overthink.storage.store import StageUse, Store, Sweep

NEEDED, SHARED, UNUSED = (f"sample-{digit * 20}" for digit in "abc")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two runs that share a stage, one of them with a stage of its own, and a stage of no run."""
    store = Store(tmp_path / "store")
    store.write_run(run_named("first-1", *uses(SHARED)))
    store.write_run(run_named("second-2", *uses(SHARED, NEEDED)))
    for key in (NEEDED, SHARED, UNUSED):
        with store.lock_stage(store.stage(key)):
            write_rollouts(store.stage(key), "ab", 0, 2)
    write_problems(store)
    return store


def uses(*keys: str) -> tuple[StageUse, ...]:
    return (StageUse("problems", "problems-1"), *(StageUse("sample", key, f"best_of_n-{key[-1]}", 2) for key in keys))


def write_problems(store: Store) -> None:
    from overthink.storage.manifest import Extent
    from overthink.storage.part_tables import rows_table

    rows = [{"problem_set": "sums", "problem_key": key, "problem_id": key, "question": key} for key in "ab"]
    store.stage("problems-1").write_part(Extent(("a", "b"), 0, 1), {"problems": rows_table("problems", rows)})


def names(found: list[Any], store: Store) -> list[str]:
    return [str(item.path.relative_to(store.root)) for item in found]


def is_whole(store: Store) -> bool:
    count = "SELECT count(*) AS n FROM rollouts"
    return query(store, count).num_rows == 1 and all(one.level != "broken" for one in store_findings(store))


def test_only_what_no_run_refers_to_is_found_with_its_bytes(store: Store) -> None:
    found = find_garbage(store)
    assert names(found, store) == [f"stages/{UNUSED}", f"locks/{UNUSED}"]
    assert found[0].size == sum(len(content) for content in tree(store.stage(UNUSED).folder).values()) > 0


def test_looking_changes_nothing(store: Store) -> None:
    before = tree(store.root)
    find_garbage(store, {"first-1"})
    assert tree(store.root) == before


def test_what_is_needed_stays_byte_for_byte(store: Store) -> None:
    kept = {name: content for name, content in tree(store.root).items() if UNUSED not in name}
    gone, left = remove_garbage(store, confirmed={UNUSED})
    assert (names(gone, store), left) == ([f"stages/{UNUSED}", f"locks/{UNUSED}"], [])
    after = tree(store.root)
    assert {name: content for name, content in after.items() if name != "locks/gc"} == kept
    assert find_garbage(store) == [] and is_whole(store)


def test_a_store_without_garbage_stays_as_it_is(store: Store) -> None:
    remove_garbage(store, confirmed={UNUSED})
    before = tree(store.root)
    assert remove_garbage(store) == ([], [])
    assert tree(store.root) == before


def test_a_forgotten_run_takes_with_it_what_only_it_refers_to(store: Store) -> None:
    found = names(find_garbage(store, {"second-2"}), store)
    assert found == ["runs/second-2", f"stages/{NEEDED}", f"locks/{NEEDED}", f"stages/{UNUSED}", f"locks/{UNUSED}"]
    remove_garbage(store, {"second-2"})
    assert [run.run_id for run in store.runs()] == ["first-1"]
    assert [stage.key for stage in store.stages()] == ["problems-1", NEEDED, SHARED, UNUSED]
    remove_garbage(store, confirmed={NEEDED, UNUSED})
    assert [stage.key for stage in store.stages()] == ["problems-1", SHARED]
    assert is_whole(store)


def test_parts_set_aside_and_files_of_a_crash_are_garbage_but_never_while_a_run_may_be_writing(store: Store) -> None:
    stage = store.stage(SHARED)
    (stage.folder / "set-aside").mkdir()
    (stage.folder / "set-aside" / "old.parquet").write_bytes(b"1234")
    (stage.parts_folder / ".x.parquet.partial").write_bytes(b"12")
    (stage.parts_folder / "orphan.parquet").write_bytes(b"123")
    found = {
        str(item.path.relative_to(stage.folder)): item.size for item in find_garbage(store) if SHARED in str(item.path)
    }
    assert found == {"set-aside": 4, "parts/.x.parquet.partial": 2, "parts/orphan.parquet": 3}
    store.write_run(run_named("first-1", *uses(SHARED), status="running"))
    assert [item.path.name for item in find_garbage(store) if SHARED in str(item.path)] == ["set-aside"]
    store.write_run(run_named("first-1", *uses(SHARED)))
    remove_garbage(store)
    assert sorted(path.name for path in stage.folder.iterdir()) == ["manifest", "parts"]
    assert len(list(stage.parts_folder.iterdir())) == 1


@pytest.mark.parametrize(("status", "stays"), [("complete", False), ("failed", True), ("running", True)])
def test_a_journal_stays_while_a_run_may_go_on_from_it(store: Store, status: str, stays: bool) -> None:
    journal = store.stage(NEEDED).journals.open("shard")
    journal.append([call("x")])
    journal.close()
    store.write_run(run_named("second-2", *uses(SHARED, NEEDED), status=status))
    remove_garbage(store)
    assert store.stage(NEEDED).journals.paths(), "it holds what engines answered"
    remove_garbage(store, confirmed={NEEDED})
    assert bool(store.stage(NEEDED).journals.paths()) == stays


def test_a_model_goes_with_its_run_unless_a_recipe_names_it(store: Store) -> None:
    for name in ("prm-1", "prm-2", ".prm-3.training"):
        (store.root / "models" / name).mkdir(parents=True)
        (store.root / "models" / name / "weights").write_bytes(b"1")
    store.write_run(run_named("prm-1"))
    recipe = {"prm": {"model": "store/models/prm-2"}}
    store.write_run(run_named("user-1", recipe=recipe))
    models = [name for name in names(find_garbage(store), store) if "models" in name]
    assert models == ["models/.prm-3.training"]
    remove_garbage(store, {"user-1"})
    assert sorted(path.name for path in (store.root / "models").iterdir()) == [".prm-3.training", "prm-1", "prm-2"]
    remove_garbage(store, confirmed={"prm-2", "prm-3"})
    assert sorted(path.name for path in (store.root / "models").iterdir()) == ["prm-1"]
    assert not (store.root / "runs" / "prm-2").exists()
    remove_garbage(store, {"prm-1"})
    assert not any((store.root / "models").iterdir()), "a run that is named takes along what it trained"


def test_what_another_process_holds_is_left_and_said(store: Store) -> None:
    with store.lock_stage(store.stage(UNUSED)):
        gone, left = remove_garbage(store, confirmed={UNUSED})
    assert gone == [] and len(left) == 1 and f"stage {UNUSED} is being written by process {os.getpid()}" in left[0]
    assert store.stage(UNUSED).folder.is_dir()


def test_a_run_that_is_being_written_cannot_be_forgotten(store: Store) -> None:
    before = tree(store.root / "stages")
    with store.lock_run("second-2"), pytest.raises(StoreBusy, match="run second-2"):
        remove_garbage(store, {"second-2"})
    assert tree(store.root / "stages") == before


def test_a_stage_that_a_new_run_came_to_need_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = store.lock_stage

    def late(stage: Stage) -> Any:
        if stage.key == UNUSED:  # between the look and the lock a run begins
            store.write_run(run_named("third-3", *uses(UNUSED), status="running"))
        return lock(stage)

    monkeypatch.setattr(store, "lock_stage", late)
    assert remove_garbage(store, confirmed={UNUSED}) == ([], [])
    assert store.stage(UNUSED).entries()


def test_with_a_torn_manifest_nothing_is_garbage(store: Store) -> None:
    (store.run_folder("first-1") / "run.json").write_text("{")
    before = tree(store.root)
    with pytest.raises(StorageError, match=r"first-1/run\.json"):
        remove_garbage(store)
    assert {name: text for name, text in tree(store.root).items() if name != "locks/gc"} == before


class Killed(BaseException):
    """Stands for kill -9: nothing in the removal catches it, and locks die with their process."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ends a removal before its step number so and so on the disk; returns how many it made."""
    count, limit = [0], [0]

    def counted(function: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == limit[0]:
                raise Killed
            return function(*arguments, **options)

        return step

    for name in ("rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))

    def arm(number: int) -> list[int]:
        count[0], limit[0] = 0, number
        return count

    yield arm


def test_killed_at_any_step_the_store_is_whole_and_the_next_removal_ends_it(tmp_path: Path, kill_at: Any) -> None:
    step, killed = 0, True
    while killed:
        step += 1
        store = Store(tmp_path / str(step))
        store.write_run(run_named("first-1", *uses(SHARED)))
        store.write_run(run_named("second-2", *uses(NEEDED)))
        for key in (NEEDED, SHARED):
            write_rollouts(store.stage(key), "ab", 0, 2)
        write_problems(store)
        kill_at(step)
        try:
            remove_garbage(store, {"second-2"}, {NEEDED})
            killed = False
        except Killed:
            kill_at(0)
            assert is_whole(store), step
            assert len(store.stage(SHARED).entries()) == 1
            forgotten = {run.run_id for run in store.runs()} & {"second-2"}
            remove_garbage(store, forgotten, {NEEDED})
        kill_at(0)
        assert find_garbage(store) == [], step
        assert [stage.key for stage in store.stages()] == ["problems-1", SHARED], step
        assert [run.run_id for run in store.runs()] == ["first-1"]
        assert is_whole(store)
    assert step > 10


def told(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def test_the_command_lists_first_and_removes_with_yes(store: Store) -> None:
    code, output = told("gc", "--store", store.root)
    assert code == 0 and UNUSED in output and "2 things of" in output and "that engines made" in output
    code, output = told("gc", "--yes", "--store", store.root, "--run", "second")
    assert code == 0 and "1 thing of" in output and ": removed" in output
    assert store.stage(UNUSED).folder.is_dir() and store.stage(NEEDED).folder.is_dir()
    code, output = told("gc", "--store", store.root, "--confirm", UNUSED)
    assert code == 0 and "nothing was removed, --yes removes it" in output and store.stage(UNUSED).folder.is_dir()
    code, output = told("gc", "--yes", "--store", store.root, "--confirm", UNUSED, "--confirm", NEEDED)
    assert code == 0 and "4 things of" in output and ": removed" in output
    assert told("gc", "--store", store.root) == (0, "no garbage\n")
    code, output = told("gc", "--yes", "--store", store.root, "--confirm", SHARED)
    assert code == 2 and f"--confirm {SHARED}: no such garbage" in output and store.stage(SHARED).entries()
    assert told("gc", "--run", "nothing", "--store", store.root)[0] == 2


def test_a_run_whose_record_was_lost_keeps_its_rollouts_and_doctor_tells_of_it(store: Store) -> None:
    with store.lock_run("second-2"):
        pass
    (store.run_folder("second-2") / "run.json").unlink()
    (finding,) = [each for each in store_findings(store) if each.level == "broken"]
    assert finding.place == str(store.run_folder("second-2")) and "run.json is missing" in finding.what
    remove_garbage(store)
    assert store.stage(NEEDED).entries() and store.stage(NEEDED).journals is not None
    (warning,) = [each for each in store_findings(store) if each.level == "warning"]
    assert NEEDED in warning.what and "engines made" in warning.what


def test_a_sweep_is_a_reference_until_it_is_named(store: Store) -> None:
    sweep = Sweep("grid-1", "grid", ("first-1", "second-2"))
    store.write_sweep(sweep)
    assert not [item for item in find_garbage(store) if item.path == store.run_folder("grid-1")]
    remove_garbage(store, {"first-1"})
    assert store.sweeps() == [sweep]
    told("gc", "--yes", "--store", store.root, "--run", "grid")
    assert store.sweeps() == store.runs() == []


def test_runs_go_on_after_a_removal(store: Store) -> None:
    remove_garbage(store, confirmed={UNUSED})
    with store.lock_stage(store.stage(UNUSED)):
        write_rollouts(store.stage(UNUSED), "ab", 0, 2)
    assert json.loads((store.root / "locks" / UNUSED).read_text())["pid"] == os.getpid()
