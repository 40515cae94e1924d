"""Runs whose PRM is a model that writes: tables, costs, resume, and searches, on fakes and scripts."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import recipe_of
from search_runs import Row, base, one, rows

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval import prm_eval
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_protocol import Verifier
from overthink.tasks.engines.fakes.fake_critic import FakeCritic
from overthink.tasks.engines.policy_prompts import TURN
from overthink.tasks.engines.prm.critic_families import CRITIC_FAMILIES, CriticFamilyName
from overthink.tasks.engines.prm_config import GenerativePrmConfig
from overthink.tasks.engines.registry import identify, open_prm
from overthink.tasks.errors import BadReply
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.reporting.run_notes import unscored_lines

pytestmark = pytest.mark.usefixtures("prefect_server")

BEST_OF: Row = {"method": "best_of_n", "n": 4}


def fake(family: str = "critic", critiques: int = 2, **model: Any) -> Row:
    return {"engine": "generative", "family": family, "critiques": critiques, "verifier": {"engine": "fake", **model}}


def run(folder: Path, prm: Row, *methods: Row) -> Path:
    recipe = recipe_of(base(folder), prm=prm, methods=methods or [BEST_OF], budgets=[1, 4])
    asyncio.run(evaluate(recipe, folder / "store"))
    return folder / "store"


@pytest.mark.parametrize("family", CRITIC_FAMILIES)
def test_best_of_n_is_scored_by_critiques(tmp_path: Path, family: CriticFamilyName) -> None:
    store = run(tmp_path, fake(family))
    assert one(store, "SELECT count(*) FROM scores") == one(store, "SELECT sum(step_count) FROM rollouts")
    if family == "thinkprm":  # one critique judges all steps
        assert one(store, "SELECT count(*) FROM critiques") == 2 * one(store, "SELECT count(*) FROM rollouts")
    else:
        assert one(store, "SELECT count(*) FROM critiques") == 2 * one(store, "SELECT count(*) FROM scores")
        wrong = """SELECT count(*) FROM scores s JOIN (SELECT rollout_id, step_index, avg(score) AS mean FROM critiques
            GROUP BY ALL) USING (rollout_id, step_index) WHERE abs(score - mean) > 1e-12"""
        assert one(store, wrong) == 0
    assert one(store, "SELECT count(*) FROM critiques WHERE verdict IS NULL OR score NOT BETWEEN 0 AND 1") == 0
    assert one(store, "SELECT count(*) FROM summary WHERE selector = 'prm_last_max'") > 0


def test_the_report_says_why_rollouts_have_no_scores(tmp_path: Path) -> None:
    store = run(tmp_path, fake(silent=0.5))
    unscored = "SELECT count(*) FROM rollouts WHERE rollout_id NOT IN (SELECT rollout_id FROM scores)"
    opened = Store(store)
    (line,) = unscored_lines(opened, opened.runs()[0])
    count = one(store, unscored)
    assert count > 1
    assert line.startswith(f"{count} rollouts have a step without any critique that came to a verdict: without scores")


def test_what_critiques_cost_is_the_verifiers(tmp_path: Path) -> None:
    store = run(tmp_path, fake())
    written = one(store, "SELECT sum(output_tokens) FROM calls WHERE kind = 'score'")
    read = one(store, "SELECT sum(input_tokens) FROM calls WHERE kind = 'score'")
    assert written > read / 100 > 0
    (cost,) = rows(store, "SELECT sum(prm_tokens) AS all, sum(prm_completion_tokens) AS written FROM costs")
    assert cost == {"all": read + written, "written": written}
    shown = "SELECT prm_tokens FROM summary WHERE n = 4 AND selector = 'prm_last_max'"
    assert one(store, shown) == read + written
    assert one(store, "SELECT prm_tokens FROM summary WHERE n = 4 AND selector = 'majority'") == 0


def test_equal_solutions_are_criticised_once_and_have_equal_rows(tmp_path: Path) -> None:
    recipe = recipe_of(
        base(tmp_path), prm=fake(), methods=[BEST_OF], budgets=[1, 4], policy={"engine": "fake", "steps": 1}
    )
    store = tmp_path / "store"
    asyncio.run(evaluate(recipe, store))
    critiques = "SELECT count(*) AS n FROM critiques GROUP BY rollout_id"
    assert {row["n"] for row in rows(store, critiques)} == {2}
    calls = one(store, "SELECT count(*) FROM calls WHERE kind = 'score'")
    texts = one(store, "SELECT count(*) FROM (SELECT DISTINCT problem_id, text FROM rollouts)")
    assert calls == texts * 2 * 2  # and the other word of each verdict


def test_more_samples_keep_what_was_written(tmp_path: Path) -> None:
    store = run(tmp_path, fake())
    before = rows(store, "SELECT * FROM critiques ORDER BY ALL")
    run(tmp_path, fake(), {"method": "best_of_n", "n": 8})
    after = rows(store, "SELECT * FROM critiques ORDER BY ALL")
    assert len(after) > len(before)
    assert [row for row in after if row in before] == before
    assert (
        one(store, "SELECT count(*) FROM (SELECT rollout_id FROM rollouts ANTI JOIN critiques USING (rollout_id))") == 0
    )


def test_without_a_verdict_a_rollout_has_no_scores(tmp_path: Path) -> None:
    store = run(tmp_path, fake(critiques=1, silent=0.2))
    silent = "SELECT DISTINCT rollout_id FROM critiques WHERE verdict IS NULL"
    assert one(store, f"SELECT count(*) FROM ({silent})") > 0
    assert one(store, f"SELECT count(*) FROM scores SEMI JOIN ({silent}) USING (rollout_id)") == 0
    scored = one(store, "SELECT count(DISTINCT rollout_id) FROM scores")
    assert scored + one(store, f"SELECT count(*) FROM ({silent})") == one(store, "SELECT count(*) FROM rollouts")
    assert one(store, "SELECT count(*) FROM critiques WHERE verdict IS NULL AND score IS NOT NULL") == 0


def test_labelled_rollouts_without_scores_are_in_no_figure_but_their_share(tmp_path: Path) -> None:
    store = run(tmp_path, fake(critiques=1, silent=0.2))
    labels = [
        {"rollout_id": row["rollout_id"], "labeller": "hand", "step_index": step, "label": float(step < number % 3)}
        for number, row in enumerate(rows(store, "SELECT rollout_id, step_count FROM rollouts ORDER BY ALL"))
        for step in range(row["step_count"])
    ]
    stage = Store(store).stage("import-labels")
    stage.write_part(Extent(("x",), 0, 1), {"step_labels": rows_table("step_labels", labels)})
    asyncio.run(prm_eval_run("trees", store))
    scored, every = "SELECT count(DISTINCT rollout_id) FROM scores", "SELECT count(*) FROM rollouts"
    (share,) = rows(store, "SELECT value, count FROM prm_metrics WHERE labeller = 'hand' AND measure = 'share_scored'")
    assert share == {"value": pytest.approx(one(store, scored) / one(store, every)), "count": one(store, every)}
    assert 0 < share["value"] < 1
    (auc,) = rows(store, "SELECT count FROM prm_metrics WHERE labeller = 'hand' AND measure = 'auc'")
    assert auc["count"] == one(store, "SELECT count(*) FROM scores")


def test_searches_are_led_by_critiques(tmp_path: Path) -> None:
    beam, dvts = {"method": "beam_search", "n": 4, "beam_width": 2}, {"method": "dvts", "n": 4, "beam_width": 2}
    store = run(tmp_path, fake(silent=0.2), beam, dvts)
    lost = "SELECT count(*) FROM nodes WHERE dropped = 'unjudged'"
    assert one(store, lost) > 0
    assert one(store, "SELECT count(*) FROM nodes WHERE dropped = 'unjudged' AND score IS NOT NULL") == 0
    wrong = """SELECT count(*) FROM scores s JOIN (SELECT rollout_id, step_index, avg(score) AS mean FROM critiques
        GROUP BY ALL) USING (rollout_id, step_index) WHERE abs(score - mean) > 1e-12"""
    assert one(store, wrong) == 0
    per_step = "SELECT DISTINCT count(*) AS n FROM critiques GROUP BY rollout_id, step_index"
    assert [row["n"] for row in rows(store, per_step)] == [2]


class Counting(FakeCritic):
    """A verifier that breaks after some requests, and counts what it was asked for."""

    asked: ClassVar[Counter[Any]] = Counter()
    left = 0

    async def generate(self, question: str, path: Any, sampling: Any, seed: int) -> Any:
        sample = await super().generate(question, path, sampling, seed)
        if Counting.left == 0:
            raise BadReply("it is broken")
        Counting.left -= 1
        Counting.asked[question, path, sampling, seed] += 1
        return sample


@pytest.mark.parametrize("method", [BEST_OF, {"method": "dvts", "n": 4, "beam_width": 2}])
def test_no_critique_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Row) -> None:
    whole = run(tmp_path / "whole", fake(), method) if (tmp_path / "whole").mkdir() is None else tmp_path
    monkeypatch.setattr("overthink.tasks.engines.fakes.fake_critic.FakeCritic", Counting)
    Counting.asked = Counter()
    (tmp_path / "parts").mkdir()
    for _ in range(20):
        Counting.left = 110
        try:
            store = run(tmp_path / "parts", fake(), method)
            break
        except BadReply:
            continue
    assert set(Counting.asked.values()) == {1}
    for table in ("critiques", "scores"):
        columns = f"SELECT * EXCLUDE (rollout_id) FROM {table} ORDER BY ALL"
        assert rows(store, columns) == rows(whole, columns)
    total = "SELECT count(*) FROM calls WHERE kind = 'score'"
    assert one(store, total) == one(whole, total) == len(Counting.asked)


def test_a_finished_run_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = run(tmp_path, fake())
    recipe = recipe_of(base(tmp_path), prm=fake(), methods=[BEST_OF], budgets=[1, 4])
    assert is_finished(plan_evaluation(recipe, load_problems(recipe.problems)), Store(store))
    monkeypatch.setattr("overthink.tasks.engines.fakes.fake_critic.FakeCritic", Counting)
    Counting.left = 0
    run(tmp_path, fake())


def test_all_that_changes_critiques_is_in_the_key() -> None:
    said: list[Row] = [
        {},
        {"family": "genprm"},
        {"critiques": 3},
        {"rounds": 2},
        {"temperature": 0.1},
        {"max_tokens": 77},
        {"verifier": {"engine": "fake", "silent": 0.5}},
    ]
    addresses = [identify(GenerativePrmConfig.model_validate(fake() | one)).address for one in said]
    assert len(set(addresses)) == len(said)
    slow = fake(latency_ms=5)
    assert identify(GenerativePrmConfig.model_validate(slow)).address == addresses[0]


async def test_a_verifier_is_told_from_a_prm_of_numbers() -> None:
    prm = await open_prm(GenerativePrmConfig.model_validate(fake()))
    assert isinstance(prm, Verifier)
    await prm.close()


def labelled(folder: Path, texts: dict[str, list[str]], critiques: int) -> PrmEvalRecipe:
    """Eight solutions of one step each, every second one wrong, and a verifier that says `texts` of each."""
    solutions, script = folder / "solutions.jsonl", folder / "script.json"
    family, said, lines = CRITIC_FAMILIES["critic"], {}, []
    for number in range(8):
        question, step = f"What is {number}?", f"It is {number + number % 2}."
        lines.append({"problem": question, "steps": [step], "label": 0 if number % 2 else -1, "id": str(number)})
        said[TURN.join(family.turns(question, [step], 0))] = {"": texts["wrong" if number % 2 else "right"]}
    solutions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    script.write_text(json.dumps({"verifier": said}), encoding="utf-8")
    prm = {"engine": "generative", "critiques": critiques, "verifier": {"engine": "scripted", "script": str(script)}}
    source = {"source": "file", "path": str(solutions), "format": "processbench"}
    return PrmEvalRecipe.model_validate({"name": "judged", "solutions": source, "prm": prm, "shard_size": 3})


def test_prm_eval_measures_a_verifier(tmp_path: Path) -> None:
    recipe = labelled(tmp_path, {"right": ["Verdict: Yes"], "wrong": ["Verdict: No", "Verdict: No"]}, 2)
    asyncio.run(prm_eval(recipe, tmp_path / "store"))
    assert one(tmp_path / "store", "SELECT value FROM prm_metrics WHERE measure = 'f1'") == 1.0
    assert one(tmp_path / "store", "SELECT count(*) FROM prm_metrics WHERE measure = 'share_scored'") == 0
    assert one(tmp_path / "store", "SELECT count(*) FROM critiques") == 16


def test_prm_eval_says_of_how_many_solutions_its_figures_are(tmp_path: Path) -> None:
    recipe = labelled(tmp_path, {"right": ["Verdict: Yes"], "wrong": ["I cannot say."]}, 1)
    asyncio.run(prm_eval(recipe, tmp_path / "store"))
    (share,) = rows(tmp_path / "store", "SELECT value, count FROM prm_metrics WHERE measure = 'share_scored'")
    assert share == {"value": 0.5, "count": 8}
    assert one(tmp_path / "store", "SELECT value FROM prm_metrics WHERE measure = 'f1'") is None


def test_prm_eval_ends_where_a_verifier_never_judges(tmp_path: Path) -> None:
    recipe = labelled(tmp_path, {"right": ["Hm."], "wrong": [""]}, 2)
    asyncio.run(prm_eval(recipe, tmp_path / "store"))
    assert one(tmp_path / "store", "SELECT value FROM prm_metrics WHERE measure = 'share_scored'") == 0.0
    assert one(tmp_path / "store", "SELECT count(*) FROM scores") == 0
