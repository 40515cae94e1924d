"""An import as a run: graded and chosen from like any other, whole or resumed, beside what the other tool reported.

Run as a script, this file forks the imports that crash: `FILE FOLDER`. One line of JSON a store.
"""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import SHARED_DATA
from crash_steps import KILLED, Steps
from storage_samples import ROOT, forked, status_of
from test_importers import learned, output, record, row, tts_folder, write_lines

from overthink.flows.import_rollouts import import_rollouts
from overthink.flows.orchestration.run_flow import run_flow
from overthink.storage.files import read_json
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError
from overthink.tasks.plan.import_plan import plan_imports
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.import_recipe import GradedAs, ImportRecipe, ReadAs, import_recipe
from overthink.tasks.reporting.compare_imports import compare_run
from overthink.tasks.reporting.results import summary_rows

pytestmark = pytest.mark.usefixtures("prefect_server")

MAPPING = ["question=q", "reference=gold", "text=out", "scores=rewards", "problem_id=id", "tokens=len", "answer=said"]
WANTING = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="real rollouts are not shipped: ../shared/data")


def recipe_of(layout: Any, path: Path, mapping: list[str] | None = None, independent: bool = False) -> ImportRecipe:
    return import_recipe(layout, path, ReadAs(mapping or []), None, GradedAs(), independent)


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(Store(store), sql).to_pylist()]


def three_lines(folder: Path) -> Path:
    """Two completions a problem: the second scores higher and is wrong; a number alone; and no answer at all."""
    plain = learned(unique_id="b", completions=["it is 4", "no idea"], scores=[[0.5], [0.9]])
    silent = learned(unique_id="c", completions=["no idea", "none"], scores=[[0.5], [0.9]])
    for line in (plain, silent):
        line |= {"pred_naive@2": "\\boxed{4}", "pred_maj@1": "\\boxed{4}"}
    return write_lines(folder / "sal.jsonl", learned(), plain, silent)


def test_an_import_lies_where_version_0_1_laid_it(tmp_path: Path) -> None:
    (plan,) = plan_imports(recipe_of("search-and-learn", three_lines(tmp_path)))
    assert plan.run_id == "search-and-learn-faf3bdcdb7"
    assert "import-ae0efcfbe6fd4c574ec7" in {use.key for use in plan.uses()}


async def test_an_import_fills_the_tables_of_a_run(tmp_path: Path) -> None:
    recipe = recipe_of("search-and-learn", three_lines(tmp_path))
    store = tmp_path / "store"
    (run_id,) = await import_rollouts(recipe, store)
    assert rows(store, "SELECT run_id, status, policy, prm IS NOT NULL FROM runs") == [(run_id, "complete", None, True)]
    assert rows(store, "SELECT count(*) FROM problems") == [(3,)]
    assert rows(store, "SELECT answer FROM rollouts ORDER BY problem_id, sample_index") == [
        ("4",),
        (None,),
        (None,),
        (None,),
        ("4",),
        ("5",),
    ]
    assert rows(store, "SELECT count(*), count(DISTINCT rollout_id) FROM rollouts") == [(6, 6)]
    assert rows(store, "SELECT count(*) FROM steps") == rows(store, "SELECT count(*) FROM scores") == [(8,)]
    chosen = "SELECT problem_id, answer, correct, accuracy FROM selections WHERE selector = '{}' AND n = {} ORDER BY 1"
    assert rows(store, chosen.format("prm_last_max", 2)) == [
        ("b", "4", True, 1.0),
        ("c", None, False, 0.0),
        ("sum/1.json", "5", False, 0.0),
    ]
    # Not independent: a budget of 1 is answered by the first rollout, not by the mean over both.
    assert rows(store, chosen.format("majority", 1))[2] == ("sum/1.json", "4", True, 1.0)


async def test_budgets_of_independent_rollouts_are_estimated_from_all(tmp_path: Path) -> None:
    recipe = recipe_of("search-and-learn", three_lines(tmp_path), independent=True)
    await import_rollouts(recipe, tmp_path / "store")
    sql = "SELECT accuracy FROM selections WHERE selector = 'majority' AND n = 1 ORDER BY problem_id"
    assert rows(tmp_path / "store", sql) == [(0.5,), (0.0,), (0.5,)]


async def test_what_is_unknown_is_null_all_the_way(tmp_path: Path) -> None:
    unknown = row(rewards=[0.5, None], len=None)
    path = write_lines(tmp_path / "a.jsonl", row(out="a\n\n\\boxed{5}"), unknown, row(id=8, q="3?"), row(id=8, q="3?"))
    store = tmp_path / "store"
    (run_id,) = await import_rollouts(recipe_of("jsonl", path, MAPPING, independent=True), store)
    assert rows(store, "SELECT completion_tokens FROM rollouts ORDER BY problem_id, sample_index LIMIT 2") == [
        (9,),
        (None,),
    ]
    assert rows(store, "SELECT count(*) FROM scores WHERE score IS NULL OR isnan(score)") == [(1,)]
    assert rows(store, "SELECT DISTINCT prompt_tokens, logprob_sum, stop_reason FROM rollouts") == [(None, None, None)]
    unknown_costs = "SELECT DISTINCT policy_tokens, prm_tokens, flops FROM summary"
    assert rows(store, unknown_costs) == [(None, None, None)]
    # The rollout whose last score is unknown is right and has a vote, but no say where that score is read.
    sql = "SELECT answer FROM selections WHERE problem_id = '7' AND n = 2 AND selector = '{}'"
    assert rows(store, sql.format("prm_last_max")) == rows(store, sql.format("prm_mean_vote")) == [("5",)]
    assert all(row["accuracy"] is not None for row in summary_rows(Store(store), run_id))


async def test_known_tokens_are_in_the_summary(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {0: [record(tokens=40)], 1: [record("other", tokens=20)]})
    await import_rollouts(recipe_of("compute-optimal-tts", folder), tmp_path / "store")
    sql = "SELECT DISTINCT n, problems, policy_tokens, prm_tokens, flops FROM summary"
    assert rows(tmp_path / "store", sql) == [(4, 2, 60.0, None, None)]


async def test_rollouts_without_scores_are_chosen_from_without_a_prm(tmp_path: Path) -> None:
    mapping = [pair for pair in MAPPING if not pair.startswith("scores")]
    path = write_lines(tmp_path / "a.jsonl", row(), row(out="5"))
    await import_rollouts(recipe_of("jsonl", path, mapping), tmp_path / "store")
    assert rows(tmp_path / "store", "SELECT count(*) FROM scores") == [(0,)]
    assert {name for (name,) in rows(tmp_path / "store", "SELECT selector FROM summary")} == {"majority", "oracle"}


async def test_a_search_that_died_counts_as_wrong(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {0: [record()], 1: [record("dead", output=[])]})
    await import_rollouts(recipe_of("compute-optimal-tts", folder), tmp_path / "store")
    sql = "SELECT problem_id, answer, correct FROM selections WHERE selector = 'majority' ORDER BY 1"
    assert rows(tmp_path / "store", sql) == [("question_0", "4", True), ("question_1", None, False)]
    assert rows(tmp_path / "store", "SELECT DISTINCT problems, accuracy FROM summary") == [(2, 0.5)]


async def test_what_was_reported_lies_beside_ours(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {0: [record(vote=0)]})
    await import_rollouts(recipe_of("compute-optimal-tts", folder), tmp_path / "store")
    sql = """SELECT s.correct AS ours, r.correct AS theirs, r.answer FROM selections s
    JOIN reported r USING (run_id, method_id, problem_id, selector, n)"""
    assert rows(tmp_path / "store", sql) == [(True, False, "4")]
    sql = "SELECT value FROM reported WHERE problem_id IS NULL AND measure = 'accuracy'"
    assert rows(tmp_path / "store", sql) == [(0.5,)]


async def test_the_same_content_elsewhere_is_the_same_run(tmp_path: Path) -> None:
    path = three_lines(tmp_path)
    recipe = recipe_of("search-and-learn", path)
    (first,) = await import_rollouts(recipe, tmp_path / "store")
    moved = recipe_of("search-and-learn", Path(shutil.move(path, tmp_path / "moved.jsonl")))
    (plan,) = plan_imports(moved)
    assert plan.run_id == first
    assert is_finished(plan, Store(tmp_path / "store"))
    (strict,) = plan_imports(moved.model_copy(update={"independent": True}))
    assert strict.run_id != first


async def test_a_bad_record_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sal.jsonl", learned(), learned(unique_id="b", scores=[[0.5, 0.5], [2, 2]]))
    with pytest.raises(ProblemError, match="line 2"):
        await import_rollouts(recipe_of("search-and-learn", path), tmp_path / "store")
    assert not (tmp_path / "store").exists()


async def test_differences_are_told_apart(tmp_path: Path) -> None:
    same = learned(**{"pred_maj@2": "\\boxed{ 4 }"})
    elsewhere = learned(unique_id="b", **{"pred_naive@2": "\\boxed{7}"})
    grouped = learned(unique_id="c", **{"pred_naive@2": "\\boxed{4}"})
    path = write_lines(tmp_path / "sal.jsonl", same, elsewhere, grouped)
    (run_id,) = await import_rollouts(recipe_of("search-and-learn", path), tmp_path / "store")
    found = compare_run(Store(tmp_path / "store"), run_id)
    by_reason = {(one.problem_id, one.selector): one.reason for one in found if one.n == 2}
    assert by_reason == {
        ("sum/1.json", "majority"): None,
        ("sum/1.json", "prm_last_max"): None,
        ("b", "prm_last_max"): "extraction",
        ("c", "prm_last_max"): "grouping",
    }
    # Theirs is an empty box, so no answer; ours is one.
    assert {one.reason for one in found if one.n == 1} == {"extraction"}


async def test_verdicts_that_differ_are_told(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {0: [record(vote=0)], 1: [record("other", output=[output("5")], vote=0)]})
    (run_id,) = await import_rollouts(recipe_of("compute-optimal-tts", folder), tmp_path / "store")
    found = {one.problem_id: (one.equal, one.reason) for one in compare_run(Store(tmp_path / "store"), run_id)}
    assert found == {"question_0": (True, "verdict"), "question_1": (True, None)}


def life(path: Path, store: Path, crash_at: int, counted: int) -> None:
    """Import as a process that ends before step `crash_at` on the disk; writes how many steps it took."""
    steps = Steps(crash_at)
    steps.install()
    recipe = recipe_of("search-and-learn", path)
    asyncio.run(run_flow(Store(store), "import", lambda: import_rollouts(recipe, store), print))
    os.write(counted, str(steps.count).encode())


def live_and_die(path: Path, folder: Path) -> None:
    """An import into `whole`; then others, each crashed once and gone on with. One line of JSON a store."""
    reading, writing = os.pipe()

    def ended(store: str, crash_at: int = 0) -> int:
        return status_of(forked(lambda: life(path, folder / store, crash_at, writing)))

    print(json.dumps({"store": "whole", "ended": ended("whole")}), flush=True)
    steps = int(os.read(reading, 100))
    for tenth in (2, 4, 6, 8):
        store = str(tenth)
        crashed = ended(store, steps * tenth // 10)
        (manifest,) = (folder / store).glob("runs/*/run.json")
        case = {"store": store, "crashed": crashed, "status": read_json(manifest)["status"]}
        print(json.dumps(case | {"ended": ended(store)}), flush=True)


def contents(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("problems", "rollouts", "steps", "scores", "grades", "selections", "reported", "summary")
    return {name: rows(store, f"SELECT * FROM {name} ORDER BY ALL") for name in tables}


def files(store: Path) -> set[str]:
    return {str(file.relative_to(store)) for file in store.rglob("*") if file.is_file()}


def test_an_import_killed_midway_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command = [sys.executable, __file__, three_lines(tmp_path), tmp_path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=True).stdout
    whole, *killed = map(json.loads, told.splitlines())
    assert whole == {"store": "whole", "ended": 0}
    assert len(killed) == 4
    for case in killed:
        assert case == {"store": case["store"], "crashed": KILLED, "status": "running", "ended": 0}
        assert contents(tmp_path / case["store"]) == contents(tmp_path / "whole")
        assert files(tmp_path / case["store"]) == files(tmp_path / "whole")


def test_the_command_imports_reports_and_compares(tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = three_lines(tmp_path)
    made = overthink("import", "search-and-learn", path, "--store", store, "--name", "theirs")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "unknown policy" in made.stdout and "prm_last_vote" in made.stdout
    again = overthink("import", "search-and-learn", path, "--store", store, "--name", "theirs")
    assert "run theirs" not in again.stdout, "nothing was started"
    assert "complete" in overthink("status", "--store", store).stdout
    assert "oracle" in overthink("report", "theirs", "--store", store).stdout
    compared = overthink("compare", "theirs", "--store", store)
    assert "extraction" in compared.stdout
    asked = overthink("sql", "SELECT field FROM reported", "--format", "csv", "--store", store)
    assert Counter(asked.stdout.split())['"pred_naive@2"'] == 3
    refused = overthink("prm-eval", "--run", "theirs", "--store", store)
    assert refused.returncode == 2 and "was imported" in refused.stderr


def test_an_import_that_made_several_runs_is_found_by_its_name(tmp_path: Path) -> None:
    tts_folder(tmp_path, {0: [record(), record()], 1: [record("other")]})
    store = tmp_path / "store"
    imported = overthink("import", "compute-optimal-tts", tmp_path, "--store", store)
    assert imported.returncode == 0
    assert len(Store(store).runs()) == 2
    for words in (["compare"], ["report"]):
        told = overthink(*words, "compute-optimal-tts", "--store", store)
        assert told.returncode == 0, told.stderr


def test_a_file_of_a_reward_model_becomes_a_run(tmp_path: Path) -> None:
    several = {"q": "2 + 2?", "gold": [4], "out": ["It is \\boxed{4}.", "\\boxed{5}"], "reward": [3.5, -0.5]}
    path, store = write_lines(tmp_path / "rewards.jsonl", several), tmp_path / "store"
    mapping = [
        word for pair in ("question=q", "reference=gold", "text=out", "scores=reward") for word in ("--map", pair)
    ]
    how = ["--independent", "--explode", "--score-transform", "sigmoid", "--store", store]
    imported = overthink("import", "jsonl", path, *mapping, *how)
    assert imported.returncode == 0, imported.stderr
    assert [round(score, 4) for (score,) in rows(store, "SELECT score FROM scores ORDER BY score")] == [0.3775, 0.9707]
    sql = "SELECT correct FROM selections WHERE selector = 'prm_last_max' AND n = 2"
    assert rows(store, sql) == [(True,)]
    refused = overthink("import", "jsonl", path, *mapping, "--explode", "--store", store)
    assert refused.returncode == 2 and "line 1, rollout 0: field 'reward': 3.5 is not in [0, 1]" in refused.stderr


MISTAKES = {
    "another format": (["search-and-learn", "rows.jsonl"], "rows.jsonl, line 1: field 'problem' is missing"),
    "missing folder": (["compute-optimal-tts", "nowhere"], "nowhere is not a folder"),
    "cut off": (["search-and-learn", "torn.jsonl"], "torn.jsonl, line 1: not JSON"),
    "no scores": (["search-and-learn", "unscored.jsonl"], "unscored.jsonl, line 1: field 'scores' is missing"),
    "a mapping": (["search-and-learn", "rows.jsonl", "--map", "text=out"], "--map is for jsonl"),
    "no mapping": (["jsonl", "rows.jsonl"], "--map lacks question, reference, text or steps"),
    "a name": (["search-and-learn", "rows.jsonl", "--name", "My Run"], "--name: 'My Run'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, message = MISTAKES[name]
    write_lines(tmp_path / "rows.jsonl", row())
    (tmp_path / "torn.jsonl").write_text(json.dumps(learned())[:50])
    write_lines(tmp_path / "unscored.jsonl", {key: value for key, value in learned().items() if key != "scores"})
    monkeypatch.chdir(tmp_path)
    result = overthink("import", *words, "--store", "store")
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()


@WANTING
async def test_at_least_99_percent_of_search_and_learn_choices_are_ours(tmp_path: Path) -> None:
    (path,) = (SHARED_DATA / "rollouts" / "search_and_learn").iterdir()
    (run_id,) = await import_rollouts(recipe_of("search-and-learn", path), tmp_path)
    found = compare_run(Store(tmp_path), run_id)
    assert len(found) == 1500
    different = [one for one in found if not one.equal]
    assert len(different) <= 15, "the bar"
    assert Counter((one.problem_id, one.reason) for one in different) == {
        ("test/algebra/1072.json", "extraction"): 5,
        ("test/precalculus/24313.json", "grouping"): 1,
        ("test/intermediate_algebra/428.json", "grouping"): 1,
        ("test/precalculus/990.json", "grouping"): 1,
    }, "docs/imports.md"


@WANTING
async def test_compute_optimal_tts_labels_give_its_own_accuracy_and_tokens(tmp_path: Path) -> None:
    from overthink.tasks.reporting.compare_imports import LABELLED_SQL

    first, _ = await import_rollouts(recipe_of("compute-optimal-tts", SHARED_DATA / "rollouts"), tmp_path)
    labelled = query(Store(tmp_path), LABELLED_SQL.format(run_id=first)).to_pylist()
    (majority,) = [row for row in labelled if row["selector"] == "majority"]
    assert majority["accuracy"] == pytest.approx(0.584, abs=1e-12)
    sql = f"SELECT policy_tokens / problems FROM summary WHERE run_id = '{first}' AND selector = 'majority'"
    assert rows(tmp_path, sql) == [(pytest.approx(2715.15, abs=0.005),)]
    compared = compare_run(Store(tmp_path), first)
    assert len(compared) == 500
    disagreed = {one.problem_id for one in compared if one.reason == "verdict"}
    assert disagreed == {f"question_{number}" for number in (200, 257, 293, 383, 435, 456, 467)}, "docs/imports.md"


def key_cases() -> list[dict[str, Any]]:
    path = SHARED_DATA / "grading_cases.jsonl"
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    kept = {json.dumps(case, sort_keys=True): case for case in cases if case["kind"] == "grade through key, order"}
    return list(kept.values())


@WANTING
@pytest.mark.parametrize("case", key_cases(), ids=lambda case: " ".join(case["answer"]))
async def test_a_verdict_does_not_depend_on_the_answers_beside_it(case: dict[str, Any], tmp_path: Path) -> None:
    expected = dict(zip(case["answer"], case["expected"], strict=True))
    for place, order in enumerate(itertools.permutations(case["answer"])):
        lines = [{"q": "?", "gold": case["reference"], "out": f"\\boxed{{{answer}}}"} for answer in order]
        path = write_lines(tmp_path / f"{place}.jsonl", *lines)
        mapping = ["question=q", "reference=gold", "text=out"]
        (run_id,) = await import_rollouts(recipe_of("jsonl", path, mapping, independent=True), tmp_path / "store")
        sql = f"SELECT answer, correct FROM rollouts JOIN grades USING (rollout_id) WHERE run_id = '{run_id}'"
        found = dict(rows(tmp_path / "store", sql))
        assert {answer: found[answer] for answer in order if expected[answer] is not None} == {
            answer: verdict for answer, verdict in expected.items() if verdict is not None
        }


if __name__ == "__main__":
    live_and_die(Path(sys.argv[1]), Path(sys.argv[2]))
