"""Commands killed with -9 in the middle of what they do: of all that they started nothing is left seconds later."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from alive import beneath, left_of

COMMAND = Path(sys.executable).parent / "overthink"
OWN_CORE = Path(__file__).with_name("own_core_command.py")
SECONDS_TO_END = 10  # 5 on a machine that does nothing else
SECONDS_TO_SEE = 300
CORE, LOOP = "VLLM::EngineCore", "engines.vllm.loop"

Seen = dict[int, str]


def killed(command: Sequence[object], moment: Callable[[Seen], bool], **changes: str) -> tuple[Seen, list[int]]:
    """Kill a command at a moment that what it has started tells; all of that, and what is left of it."""
    life = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, env=os.environ | changes, start_new_session=True
    )
    try:
        end = time.monotonic() + SECONDS_TO_SEE
        while not moment(seen := beneath(life.pid)):
            assert life.poll() is None and time.monotonic() < end, "the moment never came"
            time.sleep(0.02)
        seen = beneath(life.pid)
    finally:
        life.kill()
        life.wait()
    return seen, left_of(seen, SECONDS_TO_END)


def started(*words: str) -> Callable[[Seen], bool]:
    """The moment at which a process of each of these command lines is there."""
    return lambda seen: all(any(word in line for line in seen.values()) for word in words)


def recipe_at(folder: Path, **values: Any) -> Path:
    path = folder / "recipe.yaml"
    recipe = {
        "name": "killed",
        "problems": {"source": "chains", "count": 200},
        "policy": {"engine": "fake"},
        "methods": [{"method": "best_of_n", "n": 16}],
        "budgets": [16],
    }
    path.write_text(json.dumps(recipe | values))
    return path


def test_graders_end_with_a_killed_command(tmp_path: Path) -> None:
    rows = [{"question": f"Is {n} even?", "answer": f"\\sqrt{{{n}}}"} for n in range(5000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    problems = {"source": "file", "path": str(tmp_path / "rows.jsonl")}
    words = [COMMAND, "run", recipe_at(tmp_path, problems=problems), "--store", tmp_path / "store"]
    seen, left = killed(words, started("math.worker"))
    assert seen and not left, seen


VLLM = {
    "policy": {"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 512},
    "prm": {"engine": "vllm", "model": "zoo/abacus-prm", "max_model_len": 512},
    "methods": [{"method": "beam_search", "n": 16, "step_tokens": 64}],
    "sampling": {"temperature": 0.8, "max_tokens": 256},
}


@pytest.mark.engine
@pytest.mark.parametrize("moment", ["it loads", "its core loads", "it writes"])
def test_engines_and_their_cores_end_with_a_killed_command(moment: str, tmp_path: Path) -> None:
    def is_writing(seen: Seen) -> bool:
        return any(path.stat().st_size > 50_000 for path in tmp_path.glob("store/stages/*/journals/*.sqlite*"))

    moments = {"it loads": started(LOOP), "its core loads": started(CORE), "it writes": is_writing}
    words = [sys.executable, OWN_CORE, "run", recipe_at(tmp_path, **VLLM), "--store", tmp_path / "store"]
    seen, left = killed(words, moments[moment])
    assert sum(CORE in line for line in seen.values()) == {"it loads": 0, "its core loads": 1, "it writes": 2}[moment]
    assert not left, {pid: seen[pid] for pid in left}


ENDLESS = """
import json
from overthink.tasks.engines.templates import _answers
endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
_answers(json.dumps({"template": endless, "variables": {}, "chats": [[{"role": "user", "content": "a"}]]}))
"""


def test_a_chat_template_ends_with_a_killed_command() -> None:
    seen, left = killed([sys.executable, "-c", ENDLESS], started("engines.template_process"))
    assert len(seen) == 1 and not left


SERVING = """
import time
from pathlib import Path
from benchmarks.servers import POLICY
from benchmarks.vllm_server import VllmServer
VllmServer(POLICY, Path("server.log")).start()
time.sleep(600)
"""


@pytest.mark.engine
def test_a_server_of_a_benchmark_and_its_core_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen, left = killed([sys.executable, "-c", SERVING], started(CORE), PYTHONPATH=str(Path(__file__).parents[2]))
    assert not left, {pid: seen[pid] for pid in left}
