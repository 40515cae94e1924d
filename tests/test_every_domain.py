"""Difficulty, strategies, reports, sweeps and labels in every domain, by the commands, on a scripted policy."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from commanding import overthink
from domain_tasks import METHODS, PROBLEMS, TASKS, Task
from search_runs import Row, rows

from overthink.flows.prm_train import prm_train
from overthink.tasks.domains.known_domains import DOMAINS
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.recipes.strategy_file import read_strategy

TRAINING: Row = {"base": {"model": "zoo/abacus-1m"}, "part": "head", "updates": 2, "check_every": 1}

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

    def solve(self, strategy: Path, mapped: list[str]) -> str:
        """What `solve` prints about the rows, of which it reads these columns."""
        words = [word for pair in mapped for word in ("--map", pair)]
        path = self.folder / f"{self.task.domain}.jsonl"
        return self.told("solve", strategy, "--problems", path, *words, "--budget", 16)

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


def test_every_domain_that_ships_has_a_task() -> None:
    assert {*TASKS, "math"} == {*DOMAINS}


def test_every_verdict_is_that_of_the_script(done: Done) -> None:
    """A search that did not see a domain's answers would ask for more than the script has."""
    found = done.rows("""SELECT problem_id, avg(correct::INT) AS share
        FROM verdicts JOIN rollouts USING (run_id, method_id, rollout_id)
        WHERE method_id = 'best_of_n-n16' AND run_id LIKE 'task%' GROUP BY ALL""")
    assert {int(row["problem_id"]): row["share"] for row in found} == {n: n % 9 / 8 for n in range(PROBLEMS)}
    assert done.rows("SELECT DISTINCT grader FROM grades") == [{"grader": f"{done.task.domain} (boxed)"}]


def test_a_strategy_is_fitted_read_and_told_with_chance(done: Done, strategy: Path) -> None:
    fitted = read_strategy(strategy)
    assert (fitted.domain, fitted.budgets, fitted.chance) == (done.task.domain, (4, 16), done.task.chance)
    told = (done.folder / "fitted.txt").read_text()
    # The choices, the baselines, the total that is shared out, and the bins of difficulty.
    assert told.count("; chance 25.0 %") == (4 if done.task.chance else 0)
    assert "│ easy │ 12 │ 0.719 │" in told, "pass@1 from 0.5 on, by the domain's own verdicts"
    assert "│ hard │ 3 │ 0.000 │" in told


def test_a_strategy_is_applied_to_problems_and_graded(done: Done, strategy: Path) -> None:
    told = done.solve(strategy, done.task.mapped)
    found = done.rows("""SELECT problem_id, answer, correct, difficulty
        FROM decisions JOIN selections USING (run_id, method_id, problem_id)""")
    assert len(found) == PROBLEMS
    assert {row["difficulty"] for row in found} <= {"easy", "medium", "hard", None}
    solved = [row for row in found if row["correct"]]
    assert len(solved) > PROBLEMS / 4
    assert f"{100 * len(solved) / PROBLEMS:.1f}" in told
    assert done.task.shown(solved[0]["answer"]) in told


def test_a_run_without_references_changes_no_other_runs_report(done: Done, strategy: Path) -> None:
    done.solve(strategy, done.task.mapped[:-1])
    assert done.rows("SELECT reference FROM grades WHERE reference IS NULL LIMIT 1") == [{"reference": None}]
    assert done.told("report", "task") in done.printed


def test_the_page_has_bins_of_difficulty_and_chance(done: Done, tmp_path: Path) -> None:
    done.told("report", "task", "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for name in ("easy", "medium", "hard"):
        assert f">{name}" in page
    headed = re.findall(r"<th[^>]*>chance</th>|25\.0 % of guesses are right", page)
    assert len(headed) == (2 if done.task.chance else 0)
    assert bool(re.search(r"<td[^>]*>25\.0</td>", page)) == bool(done.task.chance)


def test_rows_for_other_programs_hold_chance(done: Done) -> None:
    found = overthink("sql", "SELECT DISTINCT chance FROM summary", "--store", done.store, "--format", "json")
    assert json.loads(found.stdout) == [{"chance": done.task.chance}]
    csv = overthink("sql", "SELECT DISTINCT chance FROM summary", "--store", done.store, "--format", "csv")
    assert csv.stdout.split() == ['"chance"', *([str(done.task.chance)] if done.task.chance else [])]


def test_a_prm_is_measured_by_the_domains_verdicts(done: Done) -> None:
    done.told("prm-eval", "--run", "task")
    (found,) = done.rows("""SELECT value FROM prm_metrics WHERE source = 'best_of_n-n16'
        AND measure = 'accuracy_of_oracle' AND point = 1""")
    assert found["value"] == pytest.approx(sum(number % 9 / 8 for number in range(PROBLEMS)) / PROBLEMS)


def test_runs_are_compared_and_judged_by_their_own_domain(done: Done) -> None:
    told = done.told("compare", "task", "task")
    assert f"{PROBLEMS} problems in both" + ("; chance 25.0 %" if done.task.chance else "") in told
    found = overthink("compare", "task", "task", "--store", done.store, "--format", "json")
    compared = json.loads(found.stdout)
    assert compared["chance"] == done.task.chance
    runs_programs = done.task.domain == "code"
    assert ("cpu_seconds" in {cost["measure"] for cost in compared["costs"]}) == runs_programs
    assert ("executions of programs took" in done.printed) == runs_programs
    other = done.folder / "other.yaml"
    other.write_text(json.dumps(done.task.recipe(done.folder, name="again", seed=1, methods=METHODS[:2])))
    assert overthink("run", other, "--store", done.store).returncode == 0
    assert "│ best_of_n-n16 │ majority │ 16 │ 24 │" in done.told("gate", "again", "--against", "task")


def test_a_sweep_of_several_domains_has_a_column_of_chance(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    said = {text: after for task in TASKS.values() for text, after in task.script(tmp_path).items()}
    script.write_text(json.dumps({"policy": said}))
    value = {
        "name": "grid",
        "problems": [task.problems(tmp_path) for task in TASKS.values()],
        "policies": [{"engine": "scripted", "script": str(script)}],
        "prms": [{"engine": "fake"}],
        "methods": [{"method": "best_of_n"}, {"method": "dvts"}],
        "budgets": [4],
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(value))
    swept = overthink("sweep", tmp_path / "sweep.yaml", "--store", tmp_path / "store", COLUMNS="220")
    assert swept.returncode == 0, swept.stderr
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in swept.stdout.splitlines() if "│ grid-" in line
    ]
    assert [line[4] for line in lines] == ["25.0", *[""] * (len(TASKS) - 1)]
    found = rows(tmp_path / "store", "SELECT DISTINCT grader FROM grades ORDER BY grader")
    assert [row["grader"] for row in found] == sorted(f"{domain} (boxed)" for domain in TASKS)


@pytest.mark.parametrize(
    "domain", sorted(TASKS.keys() - {"code"})
)  # a label is a verdict, and programs would have to be run
async def test_labels_of_a_prms_training_are_shares_of_right_answers(domain: str, tmp_path: Path) -> None:
    task = TASKS[domain]
    value = {key: part for key, part in task.recipe(tmp_path).items() if key not in ("prm", "methods", "budgets")}
    script = tmp_path / "script.json"  # a label is drawn after every step, and behind the answer there is none here
    script.write_text(script.read_text().replace("\\n\\nThat is all.", ""))
    value |= {"rollouts": 8, "continuations": 8, "training": TRAINING}
    await prm_train(PrmTrainRecipe.model_validate(value), tmp_path / "store")
    found = rows(
        tmp_path / "store",
        """SELECT problem_id, avg(label) AS share FROM step_labels
        JOIN rollouts USING (rollout_id) WHERE step_index = 1 GROUP BY ALL""",
    )
    assert {int(row["problem_id"]): row["share"] for row in found} == {n: n % 9 / 8 for n in range(PROBLEMS)}
