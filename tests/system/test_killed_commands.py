"""Commands that are killed or stopped by a signal: what is told, and that the store goes on to the same end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commanding import overthink
from safetensors.torch import load_file
from storage_samples import stored_keys
from test_prm_train import recipe_in

from benchmarks.kill import COUNTS, TABLES, finish, live_and_die, orphans, rows

COMMAND = Path(sys.executable).parent / "overthink"


def slow(latency_ms: int) -> list[str]:
    return [f"policy.latency_ms={latency_ms}", f"prm.latency_ms={latency_ms}", "problems.count=60", "methods.1.n=32"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_at_once_and_leave_a_store_to_go_on_with(sent: signal.Signals, tmp_path: Path) -> None:
    words = [word for change in slow(100) for word in ("--set", change)]
    life = subprocess.Popen(
        [COMMAND, "run", "smoke", *words, "--store", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journals = []
    while not journals and life.poll() is None:
        time.sleep(0.2)
        journals = list(tmp_path.glob("stages/*/journals/*.sqlite"))
    time.sleep(1)
    life.send_signal(sent)
    output, errors = life.communicate(timeout=120)
    assert life.returncode == (1 if sent == signal.SIGINT else 143), output + errors
    assert output.count("The run stopped: stopped by") == 1 and "Traceback" not in output + errors
    assert "interrupted" in overthink("status", "--store", str(tmp_path)).stdout
    finished = overthink("run", "smoke", *words, "--store", str(tmp_path))
    assert finished.returncode == 0
    (found,) = rows(tmp_path, COUNTS)
    assert found["rollouts"] == 60 * 33
    # A call for every rollout, and one to the PRM for every different one.
    different = rows(tmp_path, "SELECT count(*) AS n FROM (SELECT DISTINCT method_id, problem_id, text FROM rollouts)")
    assert found["calls"] == found["different_calls"] == found["rollouts"] + different[0]["n"]


def test_kill_nine_loses_nothing_doubles_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    changes = slow(40)
    words = [word for change in changes for word in ("--set", change)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    duration = finish("smoke", changes, whole)
    for life in range(6):
        live_and_die("smoke", changes, killed, duration * (0.35 + 0.1 * life))
    assert overthink("run", "smoke", *words, "--store", str(killed)).returncode == 0
    assert rows(killed, COUNTS) == rows(whole, COUNTS)
    for sql in TABLES.values():
        assert rows(killed, sql) == rows(whole, sql)
    assert orphans(killed) == []


def prm_eval_words(store: Path) -> list[str]:
    words = ["prm-eval", "prm-eval", "--set", "prm={engine: fake, latency_ms: 60}", "--set", "name=killed"]
    return [*words, "--set", "shard_size=40", "--store", str(store)]


def test_kill_nine_of_prm_eval_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    killed = 0
    for life in range(3):
        child = subprocess.Popen([COMMAND, *prm_eval_words(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        while child.poll() is None and not list(tmp_path.glob("killed/stages/score-*/journals/*.sqlite")):
            time.sleep(0.05)
        time.sleep(0.2 * life)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed
    for store in ("killed", "whole"):
        done = overthink(*prm_eval_words(tmp_path / store))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "F1 of the first wrong step" in done.stdout
    for sql in (
        "SELECT * FROM prm_metrics ORDER BY ALL",
        "SELECT * FROM scores ORDER BY ALL",
        "SELECT call_key, count(*) AS times FROM calls GROUP BY 1 ORDER BY 1",
    ):
        assert rows(tmp_path / "killed", sql) == rows(tmp_path / "whole", sql) != []


def ended_when(there: str, words: list[str], store: Path, end: Callable[[subprocess.Popen[bytes]], None]) -> bool:
    """End a life as soon as a file is there; False where it ended before."""
    life = subprocess.Popen([COMMAND, *words], stdout=subprocess.DEVNULL, start_new_session=True)
    while life.poll() is None:
        if list(store.glob(there)):
            end(life)
            life.wait(timeout=120)
            return True
        time.sleep(0.01)
    return False


def test_kill_nine_in_every_stage_of_prm_train_changes_nothing(tmp_path: Path) -> None:
    # Long enough that a first checkpoint is seen while the training still goes on, on a machine of any speed.
    training = {"base": {"model": "zoo/abacus-1m"}, "part": "head", "updates": 150, "check_every": 2, "patience": 150}
    recipe = recipe_in(tmp_path, policy={"engine": "fake", "steps": 4, "latency_ms": 30}, training=training)
    path = tmp_path / "trial.yaml"
    path.write_text(json.dumps(recipe.model_dump(mode="json")))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert overthink("prm-train", path, "--store", whole).returncode == 0
    words = ["prm-train", str(path), "--store", str(killed)]
    for there in (
        "stages/sample-*/journals/*.sqlite",
        "stages/label-*/journals/*.sqlite",
        "stages/label-*/parts/*.step_labels.parquet",
        "models/.*.training/checkpoint.pt",
    ):
        assert ended_when(there, words, killed, lambda life: os.killpg(life.pid, signal.SIGKILL)), there
    assert overthink(*words).returncode == 0
    sql = "SELECT * FROM step_labels ORDER BY ALL"
    assert rows(killed, sql) == rows(whole, sql)
    made = "SELECT problem_id, call_key FROM calls ORDER BY ALL"
    assert rows(killed, made) == rows(whole, made)
    (one,), (other,) = (list(store.glob("models/*/model.safetensors")) for store in (whole, killed))
    weights, again = load_file(one), load_file(other)
    assert all(torch.allclose(weights[name], again[name], atol=1e-2) for name in weights)
    assert not list(killed.rglob("*.sqlite*"))
    assert not list(killed.rglob("*.training"))


def test_a_signal_stops_the_training_at_once(tmp_path: Path) -> None:
    training = {"base": {"model": "zoo/abacus-1m"}, "part": "full", "updates": 1_000_000, "check_every": 2}
    recipe = recipe_in(tmp_path, training=training | {"patience": 1_000_000})
    path = tmp_path / "trial.yaml"
    path.write_text(json.dumps(recipe.model_dump(mode="json")))
    store = tmp_path / "store"
    words = ["prm-train", str(path), "--store", str(store)]
    assert ended_when("models/.*.training/checkpoint.pt", words, store, subprocess.Popen.terminate)
    told = overthink("status", "--store", store).stdout
    assert "interrupted" in told


def test_kill_nine_between_two_waits_goes_on_there(tmp_path: Path) -> None:
    recipe = tmp_path / "forced.yaml"
    recipe.write_text(
        "name: forced\nproblems: {source: chains, count: 12}\npolicy: {engine: fake, thinks: 3, latency_ms: 300}\n"
        "methods: [{method: budget_forcing, n: 2, wait: 2}]\nbudgets: [2]\n"
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert overthink("run", recipe, "--store", whole).returncode == 0
    life = subprocess.Popen([COMMAND, "run", recipe, "--store", killed], stdout=subprocess.DEVNULL)
    while life.poll() is None and len(journaled(killed)) < 48:  # of 120; the third call is the one after a first wait
        time.sleep(0.05)
    life.kill()
    life.wait()
    before = journaled(killed)
    assert 48 <= len(before) < 120
    assert overthink("run", recipe, "--store", killed).returncode == 0
    sql = "SELECT * FROM rollouts ORDER BY ALL"
    assert rows(killed, sql) == rows(whole, sql)
    (calls,) = rows(killed, "SELECT count(*) AS made, count(DISTINCT call_key) AS different FROM calls")
    assert calls == {"made": 120, "different": 120}
    began = rows(killed, f"SELECT count(*) AS kept FROM calls WHERE call_key IN ({', '.join(map(repr, before))})")
    assert began == [{"kept": len(before)}]


def journaled(store: Path) -> list[str]:
    """The keys of the calls in a store's journals."""
    return [key for path in store.glob("stages/*/journals/*.sqlite") for key in stored_keys(path)]
