"""What takes a real terminal or a real shell: the questions of `init`, and completion in bash."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from own_terminal import ENVIRONMENT, typed_into
from storage_samples import run_named

from overthink.storage.store import Store

BIN = Path(sys.executable).parent
COMPLETE = """source <(overthink --show-completion)
completer=$(complete -p overthink | sed -E 's/.* -F ([^ ]+) .*/\\1/')
COMP_WORDS=(overthink "$@"); COMP_CWORD=$#
$completer overthink
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_init_asks_in_a_terminal_for_what_no_option_says(tmp_path: Path) -> None:
    code, shown = typed_into(tmp_path, "fake\n\n\nbest_of_n\n8\n", BIN / "overthink", "init", "--prm", "fake")
    assert code == 0, shown
    for question in ("The model that writes", "The problems", "The method", "Its budget"):
        assert question in shown
    assert "The model that scores" not in shown
    assert "wrote recipe.yaml; next: overthink run recipe.yaml --dry-run" in " ".join(shown.split())
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert (recipe["policy"]["engine"], recipe["methods"][-1]) == ("fake", {"method": "best_of_n", "n": 8})


def test_init_asks_again_for_a_number_that_is_none(tmp_path: Path) -> None:
    code, shown = typed_into(tmp_path, "fake\nfake\nchains\ncot\nmany\n0\n1\n", BIN / "overthink", "init")
    assert code == 0, shown
    assert "Error: a whole number is wanted, 1 at least, not 'many'\n" in shown
    assert "Error: a whole number is wanted, 1 at least, not '0'\n" in shown
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["budgets"] == [1]


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers where these words are typed, the last of them in part."""
    bash = ["bash", "--noprofile", "--norc", "-c", COMPLETE, "bash", *words]
    done = subprocess.run(bash, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_commands_recipes_and_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write_run(run_named("night-0a1b"))
    (tmp_path / "small.yaml").write_text("name: a\n")
    assert completed(tmp_path, "va") == ["validate"]
    assert set(completed(tmp_path, "pr")) == {"prompt", "prm-eval", "prm-train"}
    assert completed(tmp_path, "run", "sm") == ["smoke", "small.yaml"]
    assert completed(tmp_path, "report", "ni") == ["night-0a1b"]
    assert completed(tmp_path, "run", "smoke", "--dry") == ["--dry-run"]
