"""A store that cannot be written: what only reads answers, what writes says so in one message, and nothing hangs.

Run as a script, this file gives all commands in a folder where the store is read only: `STORE`. One line of JSON each.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from commanding import overthink
from golden import golden_store
from storage_samples import ROOT

MAPPING = [word for each in ("question=q", "reference=gold", "text=out") for word in ("--map", each)]
MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'  # root may write whatever modes say
READING = [
    (["status"], "interrupted"),
    (["sql", "SELECT count(*) AS n FROM rollouts"], "94"),
    (["report", "golden"], "majority"),
    (["cost", "golden"], "beam_search"),
    (["gc"], "no garbage"),
    (["doctor"], "every byte is as it was written"),
    (["prm-eval", "prm.yaml"], "prm_metrics"),
]
WRITING = [
    ["run", "smoke"],
    ["run", "interrupted.yaml"],
    ["sweep", "sweep.yaml", "--set", "seed=1"],
    ["import", "jsonl", "imported.jsonl", "--name", "again", *MAPPING],
    ["prm-eval", "--run", "golden"],
    ["gc", "--yes"],
]


@dataclass(frozen=True)
class Answered:
    """What all commands said over one store."""

    place: Path
    results: dict[str, tuple[int, str, str]]

    def to(self, words: list[str]) -> tuple[int, str, str]:
        return self.results[" ".join(words)]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    store = golden_store(tmp_path_factory.mktemp("golden"))
    for path in (store, *store.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, __file__, str(store)]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "sh", "-c", MOUNTED, str(store), *command]
        trial = shutil.which("unshare") and subprocess.run([*command[:6], "true"], capture_output=True).returncode == 0
        if not trial:
            pytest.skip("root, who writes everywhere, and no read-only mount to be had here")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=store.parent, env=environment, timeout=600, check=True
    )
    return Answered(store, {words: tuple(said) for words, said in map(json.loads, told.stdout.splitlines())})


@pytest.mark.parametrize(("words", "told"), READING, ids=lambda words: words[0] if isinstance(words, list) else "")
def test_what_only_reads_answers(answered: Answered, words: list[str], told: str) -> None:
    code, output, errors = answered.to(words)
    assert code == 0, errors
    assert told in output


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_what_writes_says_that_it_cannot(answered: Answered, words: list[str]) -> None:
    code, output, errors = answered.to(words)
    assert code == 2, output + errors
    (message,) = errors.strip().splitlines()
    assert str(answered.place) in message and "let this user write there, or name another place" in message


if __name__ == "__main__":
    for words in [*(words for words, _ in READING), *WRITING]:
        result = overthink(*words, "--store", sys.argv[1])
        print(json.dumps([" ".join(words), [result.returncode, result.stdout, result.stderr]]), flush=True)
