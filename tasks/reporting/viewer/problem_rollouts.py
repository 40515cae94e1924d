"""The rollouts of one problem: a line of each for the whole, and some at a time with all that is known of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overthink.storage.schemas import SIGNALS
from overthink.storage.store import Run
from overthink.tasks.reporting.viewer.choice_of_run import RunChoice
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Row
from overthink.tasks.reporting.viewer.page_templates import LONGEST_TEXT
from overthink.tasks.reporting.viewer.states import Order, ProblemState, Verdict

PAGE = 16
MOST_IN_SUMMARY = 1024

VERDICTS: Mapping[Verdict, str] = {
    "all": "true",
    "right": "correct",
    "wrong": "NOT correct",
    "unknown": "correct IS NULL",
}
ORDERS: Mapping[Order, str] = {
    "sample": "sample_index",
    "highest": "last_score DESC NULLS LAST, sample_index",
    "lowest": "last_score NULLS LAST, sample_index",
    "longest": "completion_tokens DESC NULLS LAST, sample_index",
}
# One PRM's scores: others may have scored the same rollouts.
_OF_PRM = "prm = (SELECT prm FROM runs WHERE run_id = $run)"
_DRAWN = f"""WITH drawn AS (
    SELECT * FROM rollouts WHERE run_id = $run AND method_id = $method AND problem_id = $problem
        AND sample_index < coalesce($n, 2147483647)),
scored AS (
    SELECT rollout_id, arg_max(score, step_index) AS last_score, min(score) AS lowest_score FROM scores
    WHERE {_OF_PRM} AND rollout_id IN (SELECT rollout_id FROM drawn) GROUP BY rollout_id),
told AS (
    SELECT d.*, v.correct, v.detail, v.grader, s.last_score, s.lowest_score,
           coalesce(g.answer_group, d.answer_key) AS answer_group
    FROM drawn d LEFT JOIN verdicts v USING (run_id, method_id, rollout_id) LEFT JOIN scored s USING (rollout_id)
    LEFT JOIN groups g USING (run_id, method_id, problem_id, rollout_id))
"""
_SUMMARY = f"""{_DRAWN} SELECT sample_index, answer, answer_group, correct, last_score, lowest_score, completion_tokens,
count(*) OVER () AS drawn FROM told ORDER BY sample_index LIMIT {MOST_IN_SUMMARY}"""
_CUT = LONGEST_TEXT + 1  # so that a page can say that there is more
_SHOWN = f"""{_DRAWN} SELECT * REPLACE (left(text, {_CUT}) AS text, left(answer, {_CUT}) AS answer,
    left(reasoning_text, {_CUT}) AS reasoning_text, left(detail, {_CUT}) AS detail), count(*) OVER () AS found
FROM told WHERE {{condition}} ORDER BY {{order}} LIMIT {PAGE} OFFSET {{offset}}"""
_STEPS = f"""SELECT rollout_id, step_index, left(text, {_CUT}) AS text, completion_tokens, {", ".join(SIGNALS)}
FROM steps WHERE rollout_id = ANY($ids) ORDER BY step_index"""
_SCORES = f"SELECT rollout_id, step_index, score FROM scores WHERE {_OF_PRM} AND rollout_id = ANY($ids)"
_CRITIQUES = f"""SELECT rollout_id, step_index, critique, left(text, {_CUT}) AS text, verdict, score, stop_reason
FROM critiques WHERE {_OF_PRM} AND rollout_id = ANY($ids) ORDER BY critique"""
_TESTS = f"""SELECT rollout_id, suite, passed, ended, left(detail, {_CUT}) AS detail, cpu_seconds
FROM test_results WHERE rollout_id = ANY($ids) ORDER BY suite"""


@dataclass(frozen=True)
class RolloutPage:
    """Some of `found` rollouts that the filters show, with `steps` (their `score` and `critiques`) and `tests`."""

    rows: list[Row]
    found: int
    pages: int


def summary_of(reading: OpenReading, run: Run, choice: RunChoice, problem_id: str) -> list[Row]:
    """A line for each of the first MOST_IN_SUMMARY rollouts; `drawn` says how many there are."""
    return reading.rows(_SUMMARY, **_values(run, choice, problem_id))


def rollout_page(reading: OpenReading, run: Run, choice: RunChoice, state: ProblemState) -> RolloutPage:
    """The rollouts that a state shows."""
    values, condition = _values(run, choice, state.problem), VERDICTS[state.verdict]
    if state.answer:
        values["answer"] = state.answer
        condition += " AND answer_group = $answer"
    offset = PAGE * (state.rollouts - 1)
    sql = _SHOWN.format(condition=condition, order=ORDERS[state.order], offset=offset)
    rows = reading.rows(sql, **values)
    found = rows[0]["found"] if rows else 0
    return RolloutPage(with_parts(reading, run, rows), found, -(-found // PAGE))


def rollouts_at(
    reading: OpenReading, run: Run, choice: RunChoice, problem_id: str, indices: Sequence[int]
) -> list[Row]:
    """The rollouts with some sample indices, in their order, each with its `steps` and `tests`."""
    sql = _SHOWN.format(condition="sample_index = ANY($indices)", order="sample_index", offset=0)
    return with_parts(reading, run, reading.rows(sql, **_values(run, choice, problem_id), indices=list(indices)))


def with_parts(reading: OpenReading, run: Run, rollouts: Sequence[Row]) -> list[Row]:
    """Rollouts with their `steps`, each with its `score` and `critiques`, and their `tests`."""
    ids = [row["rollout_id"] for row in rollouts]
    scores = {(row["rollout_id"], row["step_index"]): row["score"] for row in _of(reading, _SCORES, ids, run)}
    steps, tests, critiques = defaultdict(list), defaultdict(list), defaultdict(list)
    for row in _of(reading, _CRITIQUES, ids, run):
        critiques[row["rollout_id"], row["step_index"]].append(row)
    for row in _of(reading, _STEPS, ids):
        place = (row["rollout_id"], row["step_index"])
        steps[row["rollout_id"]].append(row | {"score": scores.get(place), "critiques": critiques[place]})
    for row in _of(reading, _TESTS, ids):
        tests[row["rollout_id"]].append(row)
    return [row | {"steps": steps[row["rollout_id"]], "tests": tests[row["rollout_id"]]} for row in rollouts]


def _of(reading: OpenReading, sql: str, ids: Sequence[str], run: Run | None = None) -> list[Row]:
    return reading.rows(sql, ids=ids, **({} if run is None else {"run": run.run_id})) if ids else []


def _values(run: Run, choice: RunChoice, problem_id: str) -> dict[str, Any]:
    return {"run": run.run_id, "method": choice.method, "n": choice.n, "problem": problem_id}
