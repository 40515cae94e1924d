"""A finished run that lost one table's parts: computed anew without an engine, or told what brings it back."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import recipe_of
from search_runs import base

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.flows.rebuild import irreparable, rebuild
from overthink.storage.completeness import incomplete_stages
from overthink.storage.sql import query
from overthink.storage.store import Run, Store
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.stages.scored_run import remedy

RECOMPUTED = ("problems", "answers", "grades", "selections", "estimates", "prm_metrics")
BY_ENGINES = ("rollouts", "steps", "scores", "nodes", "calls")
METHODS = [{"method": "cot"}, {"method": "best_of_n", "n": 4}, {"method": "dvts", "n": 4}]

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def finished(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of best-of-4 and a search, its PRM measured; the problems lie in a file beside the store."""
    folder = tmp_path_factory.mktemp("finished")
    run_id = asyncio.run(evaluate(recipe_of(base(folder), methods=METHODS, budgets=[1, 4]), folder / "store"))
    asyncio.run(prm_eval_run(run_id, folder / "store"))
    return folder / "store"


@pytest.fixture
def store(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy to spoil, with no engine to help."""

    def refuse(*_: object) -> None:
        raise AssertionError("an engine was opened")

    for engine in (FakePolicy, FakePrm):
        monkeypatch.setattr(engine, "__init__", refuse)
    return Store(Path(shutil.copytree(finished, tmp_path / "store")))


def the_run(store: Store) -> Run:
    (run,) = store.runs()
    return run


def contents(store: Store) -> dict[str, list[dict[str, Any]]]:
    tables = ("problems", "rollouts", "scores", "nodes", "grades", "selections", "calls", "prm_metrics", "summary")
    return {name: query(store, f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in tables}


def files(store: Store) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.root.rglob("*")) if path.is_file()}


def lose(store: Store, table: str) -> None:
    paths = list(store.root.rglob(f"*.{table}.parquet"))
    assert paths, table
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("table", RECOMPUTED)
async def test_a_table_that_needs_no_engine_is_computed_anew(store: Store, table: str) -> None:
    before, run = contents(store), the_run(store)
    lose(store, table)
    lost = incomplete_stages(store, run)
    assert lost and irreparable(store, run, lost) == []
    await rebuild(run.run_id, store.root)
    assert incomplete_stages(store, run) == []
    assert contents(store) == before
    assert the_run(store) == run


@pytest.mark.parametrize("table", BY_ENGINES)
def test_a_table_that_engines_made_is_missed_and_nothing_is_touched(store: Store, table: str) -> None:
    run = the_run(store)
    lose(store, table)
    lose(store, "grades")
    before = files(store)
    told = irreparable(store, run, incomplete_stages(store, run))
    assert told and all(f".{table}.parquet is missing; only an engine makes it" in line for line in told)
    assert files(store) == before
    assert remedy(run).startswith("`overthink run`")


async def test_spoiled_bytes_and_a_lost_manifest_are_noticed_too(store: Store) -> None:
    before, run = contents(store), the_run(store)
    (grade, *_) = [use for use in run.stages if use.kind == "grade"]
    (select, *_) = [use for use in run.stages if use.kind == "select"]
    part = next(store.stage(grade.key).parts_folder.glob("*.answers.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    shutil.rmtree(store.stage(select.key).manifest_folder)
    assert [(loss.use, loss.reason.split(" ", 1)[1]) for loss in incomplete_stages(store, run)] == [
        (grade, "has other bytes than were written"),
        (select, "are missing"),
    ]
    await rebuild(run.run_id, store.root)
    assert contents(store) == before


def test_problems_whose_source_is_gone_are_not_made_up(store: Store, finished: Path) -> None:
    run = the_run(store)
    source = finished.parent / "problems.jsonl"
    lose(store, "problems")
    kept = source.read_text(encoding="utf-8")
    try:
        source.write_text(json.dumps({"question": "Another?", "answer": "0"}), encoding="utf-8")
        (told,) = irreparable(store, run, incomplete_stages(store, run))
        assert "problems would not be what it was" in told
        source.unlink()
        (told,) = irreparable(store, run, incomplete_stages(store, run))
        assert str(source) in told
    finally:
        source.write_text(kept, encoding="utf-8")


def test_grades_of_another_grader_are_not_made_under_the_old_address(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = the_run(store)
    lose(store, "grades")
    monkeypatch.setattr("overthink.tasks.domains.known_domains.version", lambda _: "0.0.1")
    told = irreparable(store, run, incomplete_stages(store, run))
    assert told and all("grade would not be what it was" in line for line in told)


def test_a_whole_run_has_lost_nothing(store: Store) -> None:
    assert incomplete_stages(store, the_run(store)) == []


def report(store: Store) -> subprocess.CompletedProcess[str]:
    words = ["report", "trees", "--store", str(store.root)]
    return overthink(*words)


def test_report_mends_what_it_can_and_else_exits_with_1(store: Store) -> None:
    whole = report(store)
    lose(store, "selections")
    mended = report(store)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.endswith(whole.stdout) and "rebuilding select of cot" in mended.stdout
    lose(store, "steps")
    lost = report(store)
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "sample of best_of_n-n4" in lost.stderr and "search of dvts-n4-m4" in lost.stderr
    assert "`overthink run` with the run's recipe brings it back" in lost.stderr
