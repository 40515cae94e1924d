"""What SQL says of complete runs that no longer hold all that they held."""

import asyncio
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import recipe_of

import overthink
from overthink.flows.evaluate import evaluate
from overthink.storage import left_out, stages
from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store

COMMAND = Path(sys.executable).parent / "overthink"
SUMMARY = "SELECT method_id, count(*) AS rows FROM summary GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def made(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two finished runs on fake engines, which share all but what is chosen."""
    store = tmp_path_factory.mktemp("made") / "store"
    value = {
        "problems": {"source": "chains", "count": 4},
        "policy": {"engine": "fake"},
        "prm": {"engine": "fake"},
        "methods": [{"method": "cot"}, {"method": "best_of_n", "n": 4}],
    }
    for name, budgets in (("night", [1, 4]), ("day", [1, 2, 4])):
        asyncio.run(evaluate(recipe_of(value, name=name, budgets=budgets), store))
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(made, tmp_path / "store"))


def use_of(run: Run, kind: StageKind) -> StageUse:
    return next(use for use in run.stages if use.kind == kind and use.method_id != "cot")


def clear(store: Store, use: StageUse) -> None:
    """All entries of a stage's manifest are deleted; its parts stay."""
    for path in store.stage(use.key).manifest_folder.iterdir():
        path.unlink()


def notes_of(store: Store, sql: str) -> list[str]:
    notes: list[str] = []
    query(store, sql, say=notes.append)
    return notes


@pytest.mark.parametrize(
    ("kind", "lost_to", "kept_to"),
    [
        (StageKind.SAMPLE, ["rollouts", "steps", "calls"], ["runs", "problems", "selections"]),
        (StageKind.SCORE, ["scores", "costs", "summary"], ["rollouts", "grades"]),
        (StageKind.GRADE, ["grades", "rollouts"], ["steps", "summary"]),
        (StageKind.SELECT, ["selections", "summary"], ["rollouts", "scores"]),
        (StageKind.PROBLEMS, ["problems", "rollouts"], ["runs", "steps"]),
    ],
)
def test_a_query_that_reads_what_a_complete_run_lacks_says_so(
    kind: StageKind, lost_to: list[str], kept_to: list[str], store: Store
) -> None:
    run = store.find_run("night")
    use = use_of(run, kind) if kind != StageKind.PROBLEMS else run.stages[0]
    for table in (*lost_to, *kept_to):
        assert notes_of(store, f"SELECT * FROM {table}") == []
    clear(store, use)
    for table in lost_to:
        (note,) = notes_of(store, f"SELECT count(*) FROM {table}")
        assert note.startswith(f"rows of run {store.runs()[0].run_id}, which is complete, are left out: {kind}")
        assert f"({use.key}): parts are missing; run its recipe again, which rebuilds them" in note
    for table in kept_to:
        assert notes_of(store, f"SELECT count(*) FROM {table}") == []


def test_one_entry_of_several_is_missed_too(store: Store) -> None:
    use = use_of(store.find_run("night"), StageKind.SAMPLE)
    next(store.stage(use.key).manifest_folder.iterdir()).unlink()
    (note,) = notes_of(store, "SELECT * FROM rollouts")
    assert f"sample of best_of_n-n4 ({use.key}): parts are missing" in note


def test_of_several_runs_one_is_named_and_doctor_for_the_rest(store: Store) -> None:
    use = use_of(store.find_run("night"), StageKind.SAMPLE)
    assert use in store.find_run("day").stages
    clear(store, use)
    (note,) = notes_of(store, "SELECT * FROM steps")
    assert note.endswith(f" (1 more lack parts: `overthink doctor --store {store.root}` names them all)")


def test_a_run_that_is_not_complete_may_lack_parts(store: Store) -> None:
    run = store.find_run("night")
    clear(store, use_of(run, StageKind.SELECT))
    store.write_run(replace(run, status="running"))
    assert notes_of(store, SUMMARY) == []


def test_the_command_says_it_in_one_line_beside_the_answer(store: Store) -> None:
    clear(store, use_of(store.find_run("night"), StageKind.SELECT))
    asked = [COMMAND, "sql", SUMMARY, "--store", str(store.root), "--format", "csv"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0
    assert told.stdout.splitlines()[0].replace('"', "") == "method_id,rows"
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith(f"note: rows of run {store.find_run('night').run_id}, which is complete")


def test_from_python_it_is_a_warning_where_the_question_stands(store: Store) -> None:
    results = overthink.open_store(store.root)
    results.sql(SUMMARY)
    clear(store, use_of(store.find_run("night"), StageKind.SELECT))
    with pytest.warns(UserWarning, match="which is complete, are left out: select of best_of_n-n4") as told:
        results.sql(SUMMARY)
    assert [warning.filename for warning in told if warning.category is UserWarning] == [__file__]


def test_no_part_is_read_for_it_and_each_manifest_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> str:
        raise AssertionError("a part was read")

    asked: list[str] = []
    entries = stages.Stage.entries

    def counted(stage: stages.Stage) -> object:
        asked.append(stage.key)
        return entries(stage)

    monkeypatch.setattr(stages, "sha256_of", refused)
    monkeypatch.setattr(stages.Stage, "entries", counted)
    for path in store.root.glob("stages/*/parts/*"):
        path.write_bytes(b"")
    tables = {"rollouts", "scores", "answers", "grades", "selections", "estimates", "calls", "problems"}
    assert left_out.left_out(store.as_it_stands(), store.runs(), tables) is None
    assert len(asked) == len(set(asked)) > 5
