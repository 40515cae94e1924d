"""A store that cannot be written: what only reads answers, what writes says so in one message, and nothing hangs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from golden import golden_store

MAPPING = [word for each in ("question=q", "reference=gold", "text=out") for word in ("--map", each)]
COMMAND = Path(sys.executable).parent / "overthink"
MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'  # root may write whatever modes say


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    store = golden_store(folder)
    for path in (store, *store.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return store


def overthink(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *words, "--store", str(place)]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "sh", "-c", MOUNTED, str(place), *command]
        trial = shutil.which("unshare") and subprocess.run([*command[:6], "true"], capture_output=True).returncode == 0
        if not trial:
            pytest.skip("root, who writes everywhere, and no read-only mount to be had here")
    return subprocess.run(command, capture_output=True, text=True, cwd=place.parent, timeout=300)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status"], "interrupted"),
        (["sql", "SELECT count(*) AS n FROM rollouts"], "94"),
        (["report", "golden"], "majority"),
        (["cost", "golden"], "beam_search"),
        (["gc"], "no garbage"),
        (["doctor"], "every byte is as it was written"),
        (["prm-eval", "prm.yaml"], "prm_metrics"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_what_only_reads_answers(place: Path, words: list[str], told: str) -> None:
    result = overthink(place, *words)
    assert result.returncode == 0, result.stderr
    assert told in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["run", "smoke"],
        ["run", "interrupted.yaml"],
        ["sweep", "sweep.yaml", "--set", "seed=1"],
        ["import", "jsonl", "imported.jsonl", "--name", "again", *MAPPING],
        ["prm-eval", "--run", "golden"],
        ["gc", "--yes"],
    ],
    ids=" ".join,
)
def test_what_writes_says_that_it_cannot(place: Path, words: list[str]) -> None:
    result = overthink(place, *words)
    assert result.returncode == 2, result.stdout + result.stderr
    (message,) = result.stderr.strip().splitlines()
    assert str(place) in message and "let this user write there, or name another store" in message
