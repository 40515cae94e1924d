"""`prm-eval`, end to end: on fake and scripted PRMs, on finished runs, through crashes."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commanding import overthink
from conftest import recipe_of

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.flows.prm_eval import prm_eval
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.analysis.prm_quality import auc
from overthink.tasks.datasets.labelled import load_solutions
from overthink.tasks.engines.fakes.fake import FakePrm
from overthink.tasks.errors import BadReply, EngineDied, ProblemError, UserError
from overthink.tasks.plan.prm_eval_plan import plan_prm_eval
from overthink.tasks.plan.run_plan import Plan, is_finished
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.records import Scores
from overthink.tasks.reporting.html.prm_figures import prm_pictures
from overthink.tasks.reporting.prm_tables import prm_table
from overthink.tasks.stages.measure import ThresholdSplit

pytestmark = pytest.mark.usefixtures("prefect_server")

ROW = {"problem": "1+1+1?", "steps": ["1+1=2", "2+1=4"]}


def rows(store: Path, sql: str) -> list[dict[str, Any]]:
    return list(query(Store(store), sql).to_pylist())


def one(store: Path, sql: str) -> Any:
    (row,) = rows(store, sql)
    return next(iter(row.values()))


def figure(store: Path, measure: str, condition: str = "true") -> Any:
    return one(store, f"SELECT value FROM prm_metrics WHERE measure = '{measure}' AND {condition}")


def on_chains(**changes: Any) -> PrmEvalRecipe:
    value = {
        "name": "trial",
        "solutions": {"source": "chains", "count": 20},
        "prm": {"engine": "fake"},
        "shard_size": 7,
    }
    return PrmEvalRecipe.model_validate(value | changes)


def plan_of(recipe: PrmEvalRecipe) -> Plan:
    return plan_prm_eval(recipe, load_solutions(recipe.solutions))


def scripted(folder: Path, solutions: list[dict[str, Any]], scores: list[list[float]]) -> PrmEvalRecipe:
    """A recipe over a ProcessBench file, and a PRM that says literally `scores`."""
    path, script = folder / "solutions.jsonl", folder / "script.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in solutions), encoding="utf-8")
    said: dict[str, dict[str, list[float]]] = {}
    for row, values in zip(solutions, scores, strict=True):
        said.setdefault(row["problem"], {})["\n\n".join(row["steps"])] = values
    script.write_text(json.dumps({"prm": said}), encoding="utf-8")
    source = {"source": "file", "path": str(path), "format": "processbench"}
    return on_chains(solutions=source, prm={"engine": "scripted", "script": str(script)})


class OracleOfChains(FakePrm):
    """Doubts exactly the steps whose arithmetic is false, as a perfect PRM would."""

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        values = [0.9 if "=" not in step or eval(step.replace("=", "==")) else 0.1 for step in steps]
        return Scores(tuple(values[from_step:]), 1)


def always(monkeypatch: pytest.MonkeyPatch, kind: type[FakePrm]) -> None:
    async def opener(config: Any) -> FakePrm:
        return kind(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)


async def test_a_perfect_prm_has_f1_of_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, OracleOfChains)
    run_id = await prm_eval(on_chains(), tmp_path)
    assert figure(tmp_path, "f1") == figure(tmp_path, "accuracy_on_wrong") == figure(tmp_path, "accuracy_on_right") == 1
    assert 0.1 < figure(tmp_path, "threshold") <= 0.9
    assert figure(tmp_path, "auc", "aggregation = 'min'") == figure(tmp_path, "auc", "aggregation IS NULL") == 1
    (run,) = rows(tmp_path, "SELECT run_id, status, policy, problem_set FROM runs")
    assert (run["run_id"], run["status"], run["policy"]) == (run_id, "complete", None)
    assert run["problem_set"].startswith("chains-test@")


async def test_the_tables_hold_the_solutions_their_labels_and_their_scores(tmp_path: Path) -> None:
    run_id = await prm_eval(on_chains(), tmp_path)
    assert one(tmp_path, f"SELECT count(*) FROM rollouts WHERE run_id = '{run_id}'") == 40
    assert one(tmp_path, "SELECT count(*) FROM problems WHERE reference IS NULL") == 40
    steps = one(tmp_path, "SELECT sum(step_count) FROM rollouts")
    assert one(tmp_path, "SELECT count(*) FROM steps") == one(tmp_path, "SELECT count(*) FROM scores") == steps
    wrong = "SELECT rollout_id, max(step_index) AS last FROM step_labels GROUP BY 1 HAVING min(label) = 0"
    assert one(tmp_path, f"SELECT count(*) FROM ({wrong})") == 20
    # Nothing is said of what comes after the first wrong step.
    assert (
        one(tmp_path, f"SELECT sum(label) FROM step_labels JOIN ({wrong}) USING (rollout_id) WHERE step_index = last")
        == 0
    )
    assert one(tmp_path, "SELECT count(*) FROM rollouts WHERE completion_tokens IS NOT NULL") == 0
    assert rows(tmp_path, "SELECT DISTINCT run_id, source, labeller FROM prm_metrics") == [
        {"run_id": run_id, "source": "chains-test", "labeller": "chains-test"}
    ]
    assert one(tmp_path, "SELECT count(*) FROM calls WHERE kind = 'score'") == 40


async def test_choosing_and_judged_solutions_are_different_questions(tmp_path: Path) -> None:
    recipe = on_chains()
    await prm_eval(recipe, tmp_path)
    split, solutions = ThresholdSplit(recipe.threshold_share, recipe.seed), load_solutions(recipe.solutions).solutions
    choosing = [solution for solution in solutions if split.chooses(solution.question)]
    assert one(tmp_path, "SELECT count FROM prm_metrics WHERE measure = 'threshold'") == len(choosing)
    assert one(tmp_path, "SELECT count FROM prm_metrics WHERE measure = 'f1'") == 40 - len(choosing)
    assert 0 < len(choosing) < 40
    assert len(choosing) == 2 * len({solution.question for solution in choosing})


async def test_the_same_again_asks_nothing_and_more_solutions_only_the_new_ones(
    tmp_path: Path, count_calls: Counter[str]
) -> None:
    await prm_eval(on_chains(), tmp_path)
    assert count_calls["score"] == 40
    assert is_finished(plan_of(on_chains()), Store(tmp_path))
    await prm_eval(on_chains(), tmp_path)
    await prm_eval(on_chains(threshold_share=0.4), tmp_path)
    assert count_calls["score"] == 40
    larger = on_chains(solutions={"source": "chains", "count": 25})
    assert not is_finished(plan_of(larger), Store(tmp_path))
    await prm_eval(larger, tmp_path)
    assert count_calls["score"] == 50
    newest = one(tmp_path, "SELECT arg_max(run_id, n) FROM (SELECT run_id, count(*) AS n FROM rollouts GROUP BY 1)")
    await prm_eval(larger, tmp_path / "fresh")
    sql = f"SELECT * FROM prm_metrics WHERE run_id = '{newest}' ORDER BY ALL"
    assert rows(tmp_path, sql) == rows(tmp_path / "fresh", sql) != []


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [0.5, float("nan")], [0.5, 1.5], [-0.1, 0.5]])
async def test_a_prm_that_answers_nonsense_is_an_error_and_leaves_no_score(values: list[float], tmp_path: Path) -> None:
    solutions = [ROW | {"id": str(number), "problem": f"{number}?", "label": number % 2 - 1} for number in range(20)]
    recipe = scripted(tmp_path, solutions, [[0.5, 0.5]] * 7 + [values] + [[0.5, 0.5]] * 12)
    with pytest.raises(BadReply, match=r"PRM scripted@\w+ gave .* problem 7-"):
        await prm_eval(recipe, tmp_path / "store")
    assert one(tmp_path / "store", "SELECT count(*) FROM scores WHERE NOT score BETWEEN 0 AND 1 OR isnan(score)") == 0
    assert one(tmp_path / "store", "SELECT count(*) FROM prm_metrics") == 0
    assert one(tmp_path / "store", "SELECT status FROM runs") == "failed"


@pytest.mark.parametrize(("label", "wrong"), [(-1, 0), (1, 6)])
async def test_a_source_of_one_kind_is_refused_before_any_engine(label: int, wrong: int, tmp_path: Path) -> None:
    solutions = [ROW | {"id": str(number), "problem": f"{number}?", "label": label} for number in range(9)]
    recipe = scripted(tmp_path, solutions, [[]] * 9)
    with pytest.raises(
        ProblemError, match="processbench@.*: F1 needs solutions with a wrong step and solutions without"
    ):
        await prm_eval(recipe, tmp_path / "store")
    assert not (tmp_path / "store").exists()


class DyingPrm(FakePrm):
    """Answers 15 calls and dies; its successor answers all."""

    lives = 0
    answered = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        type(self).lives += 1

    async def score(self, *arguments: Any) -> Scores:
        if type(self).lives == 1 and type(self).answered >= 15:
            raise EngineDied("the engine fell over")
        scores = await super().score(*arguments)
        type(self).answered += 1
        return scores


async def test_a_dead_prm_is_loaded_again_and_no_answered_call_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always(monkeypatch, DyingPrm)
    await prm_eval(on_chains(), tmp_path / "died")
    assert (DyingPrm.lives, DyingPrm.answered) == (2, 40)
    monkeypatch.undo()
    await prm_eval(on_chains(), tmp_path / "lived")
    for table in ("prm_metrics", "scores", "step_labels", "rollouts"):
        sql = f"SELECT * FROM {table} ORDER BY ALL"
        assert rows(tmp_path / "died", sql) == rows(tmp_path / "lived", sql) != []


async def test_damaged_scores_are_made_again_and_measured_again(tmp_path: Path, count_calls: Counter[str]) -> None:
    await prm_eval(on_chains(), tmp_path)
    before = rows(tmp_path, "SELECT * FROM prm_metrics ORDER BY ALL")
    part = next(tmp_path.glob("stages/score-*/parts/*.scores.parquet"))
    part.write_bytes(part.read_bytes()[:-5])
    assert not is_finished(plan_of(on_chains()), Store(tmp_path))
    await prm_eval(on_chains(), tmp_path)
    assert 40 < count_calls["score"] < 60
    assert rows(tmp_path, "SELECT * FROM prm_metrics ORDER BY ALL") == before


async def test_the_prm_of_a_finished_run(
    fake_recipe: dict[str, Any], tmp_path: Path, count_calls: Counter[str]
) -> None:
    recipe = recipe_of(fake_recipe, methods=[*fake_recipe["methods"], {"method": "beam_search", "n": 4}])
    run_id = await evaluate(recipe, tmp_path)
    asked = dict(count_calls)
    assert await prm_eval_run("fake", tmp_path) == run_id
    assert count_calls == asked, "no engine is needed"
    sources = one(tmp_path, f"SELECT list(DISTINCT source ORDER BY source) FROM prm_metrics WHERE run_id = '{run_id}'")
    assert sources == ["beam_search-n4-m4", "best_of_n-n8", "cot"]
    judged = rows(
        tmp_path,
        "SELECT rollout_id, min(score) AS score, any_value(correct) AS correct FROM rollouts JOIN grades USING "
        "(rollout_id) JOIN scores USING (rollout_id) WHERE method_id = 'best_of_n-n8' GROUP BY 1",
    )
    expected = auc(np.array([row["score"] for row in judged]), np.array([row["correct"] for row in judged]))
    assert figure(tmp_path, "auc", "source = 'best_of_n-n8' AND aggregation = 'min'") == pytest.approx(expected)
    # Where `overthink run` reports the same, the numbers are the same.
    for n in (1, 4, 8):
        for measure, selector in (("max", "prm_mean_max"), ("oracle", "oracle"), ("majority", "majority")):
            known = (
                f"SELECT accuracy FROM summary WHERE method_id = 'best_of_n-n8' AND selector = '{selector}' AND n = {n}"
            )
            condition = f"source = 'best_of_n-n8' AND point = {n} AND coalesce(aggregation, 'mean') = 'mean'"
            assert figure(tmp_path, f"accuracy_of_{measure}", condition) == pytest.approx(one(tmp_path, known))
    searched = "source LIKE 'beam%' AND measure = 'accuracy_of_oracle'"
    assert one(tmp_path, f"SELECT list(DISTINCT point) FROM prm_metrics WHERE {searched}") == [4], (
        "the rollouts of a search only count together"
    )
    before = rows(tmp_path, "SELECT * FROM prm_metrics ORDER BY ALL")
    await prm_eval_run("fake", tmp_path)
    assert rows(tmp_path, "SELECT * FROM prm_metrics ORDER BY ALL") == before
    assert prm_table(Store(tmp_path), run_id).row_count > 20
    drawn = {
        picture.title: [panel.title for panel in picture.panels] for picture in prm_pictures(Store(tmp_path), run_id)
    }
    assert "best_of_n-n8" in drawn["Score against length"]
    assert drawn["Best of n"] == ["best_of_n-n8"], "a single n is no curve"


async def test_labelled_steps_of_a_finished_run_give_an_f1(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    run_id = await evaluate(recipe_of(fake_recipe, methods=[{"method": "best_of_n", "n": 8}]), tmp_path)
    await prm_eval_run(run_id, tmp_path)
    assert rows(tmp_path, "SELECT * FROM prm_metrics WHERE measure = 'f1'") == []
    scored = rows(tmp_path, "SELECT rollout_id, step_index, score FROM scores ORDER BY ALL")
    # A labeller whose estimated probabilities are the PRM's scores: wrong is what scores below 0.5.
    labels = [
        {"rollout_id": row["rollout_id"], "labeller": "agrees", "step_index": row["step_index"], "label": row["score"]}
        for row in scored
    ]
    stage = Store(tmp_path).stage("import-labels")
    stage.write_part(Extent(("x",), 0, 1), {"step_labels": rows_table("step_labels", labels)})
    await prm_eval_run(run_id, tmp_path)
    assert figure(tmp_path, "f1", "labeller = 'agrees'") > 0.85
    assert figure(tmp_path, "threshold", "labeller = 'agrees'") == pytest.approx(0.5, abs=0.1)


async def test_a_run_that_is_run_again_forgets_its_measures(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    await evaluate(recipe_of(fake_recipe), tmp_path)
    await prm_eval_run("fake", tmp_path)
    assert one(tmp_path, "SELECT count(*) > 0 FROM prm_metrics")
    await evaluate(recipe_of(fake_recipe), tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM prm_metrics") == 0


async def test_what_cannot_be_measured_is_told(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    await evaluate(recipe_of(fake_recipe, name="bare", prm=None), tmp_path)
    with pytest.raises(UserError, match="bare-.* has no PRM scores: name a `prm`"):
        await prm_eval_run("bare", tmp_path)
    await prm_eval(on_chains(), tmp_path)
    with pytest.raises(UserError, match="trial-.* is one of `overthink prm-eval`"):
        await prm_eval_run("trial", tmp_path)
    with pytest.raises(StorageError, match="no run named 'none'"):
        await prm_eval_run("none", tmp_path)
    await evaluate(recipe_of(fake_recipe), tmp_path)
    next(tmp_path.glob("stages/score-*/parts/*000008-*.scores.parquet")).unlink()
    with pytest.raises(StorageError, match=r"scores\.parquet is missing; run its recipe again"):
        await prm_eval_run("fake", tmp_path)


MISTAKES = {
    "a recipe of run": (["prm-eval", "demo"], "this recipe names methods, so it is one of `overthink run`"),
    "a recipe of prm-eval": (["run", "prm-eval"], "this recipe names solutions, so it is one of `overthink prm-eval`"),
    "nothing": (["prm-eval"], "name a recipe, such as prm-eval, or a finished run with --run; not both"),
    "both": (["prm-eval", "prm-eval", "--run", "x"], "not both"),
    "changes of a run": (["prm-eval", "--run", "x", "--set", "seed=1"], "--run reads none"),
    "no store": (["prm-eval", "--run", "x", "--store", "nowhere"], "there is no store at nowhere"),
    "unknown key": (["prm-eval", "prm-eval", "--set", "solutions.cuont=3"], "solutions.cuont: unknown key"),
    "unknown format": (
        ["prm-eval", "prm-eval", "--set", "solutions={source: file, path: x.jsonl, format: y}"],
        "--set solutions.format: 'y' is unknown: name one of prmbench, processbench",
    ),
    "missing file": (
        ["prm-eval", "prm-eval", "--set", "solutions={source: file, path: x.jsonl, format: prmbench}"],
        "x.jsonl: cannot be read",
    ),
    "too few": (["prm-eval", "prm-eval", "--set", "solutions.count=1"], "change threshold_share"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_without_traceback_and_exit_code_2(name: str, tmp_path: Path) -> None:
    words, message = MISTAKES[name]
    result = overthink(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_command_prints_a_table_and_writes_a_page(tmp_path: Path) -> None:
    words = ["prm-eval", "prm-eval", "--set", "prm={engine: fake}", "--set", "solutions.count=20"]
    result = overthink(*words, "--store", tmp_path / "store", "--html", tmp_path / "prm.html")
    assert (result.returncode, result.stderr) == (0, "")
    assert "F1 of the first wrong step" in result.stdout and "calibration error" in result.stdout
    page = (tmp_path / "prm.html").read_text(encoding="utf-8")
    assert page.count("<svg") == page.count("<pre>SELECT") == 2
    assert "Calibration: chains-test" in page and "F1 against threshold: chains-test" in page
    assert not re.search(r"(src|href)=.http", page), "the page needs no other file"
    report = overthink("report", "prm-eval", "--store", tmp_path / "store")
    assert "F1 of the first wrong step" in report.stdout
