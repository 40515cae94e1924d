"""Difficulty, strategies, reports, sweeps and labels in every domain, by the commands, on a scripted policy."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from domain_tasks import PROBLEMS, TASKS, Task
from search_runs import Row, rows

from overthink.tasks.recipes.strategy_file import read_strategy

pytestmark = pytest.mark.usefixtures("prefect_server")


@dataclass(frozen=True)
class Done:
    """A finished run of a task, in a store of its own; `printed` is what `run` said at its end."""

    task: Task
    folder: Path
    printed: str

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def told(self, *words: object, code: int = 0) -> str:
        """What a command prints about this store."""
        done = overthink(*words, "--store", self.store, COLUMNS="220")
        assert done.returncode == code, done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def rows(self, sql: str) -> list[Row]:
        return rows(self.store, sql)


@pytest.fixture(scope="module", params=TASKS)
def done(request: pytest.FixtureRequest, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    task, folder = TASKS[request.param], tmp_path_factory.mktemp(request.param)
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps(task.recipe(folder)))
    ran = overthink("run", recipe, "--store", folder / "store", COLUMNS="220")
    assert ran.returncode == 0, ran.stderr
    return Done(task, folder, " ".join(ran.stdout.split()))


@pytest.fixture(scope="module")
def strategy(done: Done) -> Path:
    path = done.folder / "strategy.yaml"
    (done.folder / "fitted.txt").write_text(done.told("fit", "task", "--out", path))
    return path


def test_every_verdict_is_that_of_the_script(done: Done) -> None:
    """A search that looked for an answer of mathematics would ask for more than the script has."""
    sql = "SELECT problem_id, avg(correct::INT) AS share FROM verdicts JOIN rollouts USING (run_id, method_id, rollout_id) "
    found = {
        int(row["problem_id"]): row["share"]
        for row in done.rows(sql + "WHERE method_id = 'best_of_n-n16' GROUP BY ALL")
    }
    assert found == {number: number % 9 / 8 for number in range(PROBLEMS)}
    assert done.rows("SELECT DISTINCT grader FROM grades") == [{"grader": f"{done.task.domain} (boxed)"}]
