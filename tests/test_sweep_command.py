"""`overthink sweep` and `overthink status` as their users meet them: exit codes, messages, tables, how to resume."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commanding import overthink
from storage_samples import run_named
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.commands.status import in_short
from overthink.storage.store import StageUse, Store, Sweep

BASE: dict[str, Any] = {
    "name": "grid",
    "problems": [{"source": "chains", "count": 2}],
    "policies": [{"engine": "fake", "steps": 1}],
    "prms": [{"engine": "fake"}],
    "methods": [{"method": "best_of_n"}, {"method": "beam_search"}, {"method": "dvts", "beam_width": 2}],
    "budgets": [2, 4],
}


def written(folder: Path, **changes: Any) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(BASE | changes))
    return str(path)


def test_a_sweep_says_what_failed_and_how_to_go_on_and_one_that_is_finished_is_reported(
    prefect_server: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"prm": {}}))
    scripted = {"engine": "scripted", "script": str(script)}
    words = ["sweep", written(tmp_path, prms=[{"engine": "fake"}, scripted]), "--store", str(tmp_path / "store")]

    failed = overthink(*words)
    assert failed.returncode == 1
    assert failed.stderr == ""
    assert "left out: beam_search: n = 2 is not a multiple of beam_width = 4" in failed.stdout
    ending = failed.stdout[failed.stdout.index("n = 4") :]
    assert ending.count("BadReply: the script has no scores for") == 4, "best_of_n, beam_search, and dvts twice"
    assert "fake × scripted × chains-test@" in ending
    assert "4 cells failed; all others are finished, and every answered call is safe." in ending
    assert ending.rstrip().splitlines()[-1] == f"overthink {' '.join(words)}"
    finished = overthink(*words, "--set", "prms=[{engine: fake}]")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "best_of_n-n4" in finished.stdout or "dvts-n4-m2" in finished.stdout
    assert "runs to do" not in finished.stdout, "the healthy half was finished before"
    assert len(Store(tmp_path / "store").sweeps()) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polcies": []}, "polcies: unknown key"),
        ({"prms": [{"engine": "fake"}] * 2}, "prms: entries 0 and 1 are equal"),
        ({"methods": []}, "methods: it is empty: give at least 1"),
        ({"budgets": [1, 3], "methods": [{"method": "cot"}, {"method": "rebase"}, {"method": "dvts"}]}, "suits no"),
        ({"policies": [{"engine": "vllm", "model": "zoo/abacus-9b"}]}, "the zoo holds no model 'abacus-9b'"),
        ({"problems": [{"source": "file", "path": "no.jsonl"}]}, "no.jsonl: cannot be read"),
        ({"prms": [{"engine": "fake"}, {"engine": "fake", "latency_ms": 1}]}, "two entries come to the same"),
        (
            {"policies": [{"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 40}]},
            "its prompt has",
        ),
    ],
)
def test_a_mistake_is_refused_before_anything_starts(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sweep", written(tmp_path, **changes), "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "store").exists()


def test_status_names_policy_prm_and_sweep_and_cuts_no_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    searches = [StageUse("search", f"search-{n}", f"beam_search-n{n}-m4") for n in (4, 12, 16)]
    long = "a-name-of-a-grid-that-is-rather-long-1234567890"
    store.write_run(run_named(long, StageUse("sample", "sample-1", "cot"), *searches, prm="judge@12345678"))
    store.write_run(run_named("grid-b", status="failed"))
    store.write_sweep(Sweep("grid-12", "grid", (long, "grid-b", "grid-c")))
    told = CliRunner().invoke(app, ["status", "--store", str(tmp_path)], env={"COLUMNS": "200"}).output
    for word in (long, "tiny", "judge", "2026-01-01", "1 complete, 1 failed, 1 not begun"):
        assert word in told
    assert "@12345678" not in told


def test_several_sizes_of_a_method_are_one_word() -> None:
    methods = ["cot", "best_of_n-n64", "dvts-n4-m4", "dvts-n12-m4", "dvts-n4-m4", "imported"]
    assert in_short(methods) == "cot, best_of_n-n64, dvts × 2, imported"
