"""benchmarks/gpu.sh from beginning to end without a card, with real engines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
REHEARSED = ("two-engines", "killed", "prm-parity", "prm-torch", "prefix-reuse")


@pytest.mark.engine
def test_what_needs_no_card_is_tried_and_the_rest_is_skipped(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "CHECKS": " ".join(("sleep-mode", *REHEARSED))}
    told = subprocess.run([SCRIPT, "--cpu", tmp_path], env=environment, capture_output=True, text=True)
    rows = [line.strip("| ").split(" | ") for line in told.stdout.splitlines() if "gpu_checks run" in line]
    assert rows[0][:3:2] == ["sleep-mode", "skipped: needs 1 card, this machine has 0"]
    assert [(row[0], row[2]) for row in rows[1:]] == [(name, "ok") for name in REHEARSED], told.stdout + told.stderr
    assert all(row[3] for row in rows[1:]), "each has a figure"
    assert told.returncode == 0
    assert {f"{name}.log" for name in REHEARSED} <= {path.name for path in tmp_path.iterdir()}
