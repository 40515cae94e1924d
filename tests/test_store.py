"""Runs and stages under one root."""

from dataclasses import replace
from pathlib import Path

import pytest
from storage_samples import run_named, write_rollouts

from overthink.storage.storage_errors import StorageError, StoreBusy
from overthink.storage.store import StageUse, Store, Sweep


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_run_comes_back_as_written(store: Store) -> None:
    uses = (StageUse("problems", "problems-1"), StageUse("sample", "sample-1", "best_of_n-n4", 4))
    run = run_named("demo-1", *uses, finished_at="2026-01-02T00:00:00Z", prm="judge", prm_parameters=5)
    store.write_run(run)
    assert store.runs() == [run]


def test_a_run_written_again_takes_the_place_of_the_first(store: Store) -> None:
    run = run_named("demo-1", status="running")
    store.write_run(run)
    store.write_run(replace(run, status="failed"))
    assert [found.status for found in store.runs()] == ["failed"]


def test_a_store_that_is_not_there_holds_nothing(store: Store) -> None:
    assert store.runs() == store.stages() == []
    assert not store.root.exists()


def test_runs_are_listed_oldest_first(store: Store) -> None:
    for run_id, created_at in (("a", "2026-01-03"), ("c", "2026-01-01"), ("b", "2026-01-01")):
        store.write_run(run_named(run_id, created_at=created_at))
    assert [run.run_id for run in store.runs()] == ["b", "c", "a"]


@pytest.mark.parametrize(("name", "run_id"), [("demo-12", "demo-12"), ("demo-1", "demo-1"), ("math", "math-1")])
def test_a_run_is_found_by_its_id_or_by_what_it_alone_starts_with(store: Store, name: str, run_id: str) -> None:
    for known in ("demo-1", "demo-12", "math-1"):
        store.write_run(run_named(known))
    assert store.find_run(name).run_id == run_id


def test_a_run_of_that_very_name_goes_before_one_that_begins_with_it(store: Store) -> None:
    store.write_run(run_named("theirs-0a1b", name="theirs"))
    store.write_run(run_named("theirs-record-1-2c3d", name="theirs-record-1"))
    assert store.find_run("theirs").run_id == "theirs-0a1b"
    store.write_run(run_named("theirs-4e5f", name="theirs", created_at="2999-01-01"))
    assert store.find_run("theirs").run_id == "theirs-4e5f", "the newest of them"
    assert [run.run_id for run in store.runs_named("theirs")] == ["theirs-0a1b", "theirs-4e5f"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", r"runs there: math-1, demo-12, demo-1$"),
        ("x", r"runs there: math-1, demo-12, demo-1$"),
        ("emo-1", r"did you mean demo-1\?$"),
        ("maths-1", r"did you mean math-1\?$"),
    ],
)
def test_an_unknown_run_is_told_with_the_one_that_was_meant_or_all(store: Store, name: str, told: str) -> None:
    for known in ("demo-1", "demo-12", "math-1"):
        store.write_run(run_named(known))
    with pytest.raises(StorageError, match=f"holds no run named '{name}': {told}"):
        store.find_run(name)


def test_a_store_without_runs_says_so(store: Store) -> None:
    with pytest.raises(StorageError, match="holds no run yet: make one with `overthink run`"):
        store.find_run("x")


@pytest.mark.parametrize("content", ["", '{"run_id": "demo-1"', "null", "[]", "3", '"x"', "{}", '{"stages": [3]}'])
def test_a_torn_manifest_is_an_error_that_names_it_and_the_remedy(store: Store, content: str) -> None:
    store.write_run(run_named("demo-1"))
    path = store.run_folder("demo-1") / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StorageError, match=r"demo-1/run\.json.*delete it"):
        store.runs()


def test_a_folder_without_a_manifest_is_no_run(store: Store) -> None:
    (store.run_folder("begun")).mkdir(parents=True)
    assert store.runs() == []


def test_stages_are_those_that_have_begun(store: Store) -> None:
    write_rollouts(store.stage("sample-2"), "a", 0, 1)
    write_rollouts(store.stage("sample-1"), "a", 0, 1)
    (store.root / "stages" / "a-file").touch()
    assert [stage.key for stage in store.stages()] == ["sample-1", "sample-2"]


def test_locks_of_a_run_and_a_stage_name_them(store: Store) -> None:
    stage = store.stage("sample-1")
    with store.lock_run("demo-1"), store.lock_stage(stage):
        with pytest.raises(StoreBusy, match="run demo-1"), store.lock_run("demo-1"):
            pass
        with pytest.raises(StoreBusy, match="stage sample-1"), store.lock_stage(stage):
            pass


def test_locks_alone_make_neither_runs_nor_stages(store: Store) -> None:
    with store.lock_run("demo-1"), store.lock_stage(store.stage("sample-1")):
        assert store.runs() == store.stages() == []


def test_the_runs_of_a_sweep_are_found_by_its_name_oldest_first(store: Store) -> None:
    for run_id, created_at in (("grid-b", "2026-01-01"), ("grid-a", "2026-01-02"), ("grid-other", "2026-01-03")):
        store.write_run(run_named(run_id, created_at=created_at))
    store.write_sweep(Sweep("grid-1234", "grid", ("grid-a", "grid-b", "grid-not-begun")))
    for name in ("grid", "grid-1", "grid-1234"):
        assert [run.run_id for run in store.find_runs(name)] == ["grid-b", "grid-a"]
    assert store.sweeps() == [Sweep("grid-1234", "grid", ("grid-a", "grid-b", "grid-not-begun"))]


def test_a_run_is_found_where_no_sweep_is_meant(store: Store) -> None:
    for run_id in ("grid-a", "grid-b", "demo-1"):
        store.write_run(run_named(run_id))
    store.write_sweep(Sweep("grid-1234", "grid", ("grid-a", "grid-b")))
    assert [run.run_id for run in store.find_runs("grid-a")] == ["grid-a"]
    assert [run.run_id for run in store.find_runs("demo")] == ["demo-1"]
    with pytest.raises(StorageError, match="no run named 'search'"):
        store.find_runs("search")


def test_a_name_that_could_be_two_sweeps_is_refused_with_their_ids(store: Store) -> None:
    store.write_run(run_named("grid-a"))
    for sweep_id in ("grid-12", "grid-34"):
        store.write_sweep(Sweep(sweep_id, "grid", ("grid-a",)))
    with pytest.raises(StorageError, match="2 sweeps named 'grid': name one, of grid-12, grid-34"):
        store.find_runs("grid")


def test_a_torn_list_of_a_sweep_is_told_by_its_path(store: Store) -> None:
    path = store.run_folder("grid-12") / "sweep.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "grid"}')
    with pytest.raises(StorageError, match=r"sweep\.json is not the list of a sweep"):
        store.sweeps()
