"""The results of `overthink solve`, read from the store by SQL."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.plan.stored_run import stored_problem_set
from overthink.tasks.recipes.grading import grader_of
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.terminal_text import MOST_ROWS, printable

SOLVED_SQL = """SELECT d.* EXCLUDE (run_id, method_id), s.answer, s.correct, c.policy_completion_tokens, c.prm_tokens,
c.policy_flops + c.prm_flops AS flops, c.engine_seconds, c.cpu_seconds
FROM decisions d JOIN selections s USING (run_id, method_id, problem_id)
JOIN costs c USING (run_id, method_id, problem_id)
WHERE run_id = '{run_id}' ORDER BY problem_id"""


SPENT_SQL = """SELECT d.method_id, sum(d.expected_tokens) AS expected_tokens, sum(d.expected_flops) AS expected_flops,
sum(c.policy_completion_tokens)::DOUBLE AS tokens,
CASE WHEN count(*) = count(c.policy_flops + c.prm_flops) THEN sum(c.policy_flops + c.prm_flops) END AS flops
FROM decisions d JOIN costs c USING (run_id, method_id, problem_id) WHERE run_id = '{run_id}' GROUP BY d.method_id"""


def solved_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A row for each problem that a strategy was applied to: its decision, its answer as people read it, its cost."""
    rows: list[dict[str, Any]] = query(store, SOLVED_SQL.format(run_id=run_id)).to_pylist()
    run = store.find_run(run_id)
    domain, problems = grader_of(run.recipe).domain, stored_problem_set(store, run).problems
    by_id = {problem.problem_id: problem for problem in problems}
    for row in rows:
        if row["answer"] is not None:
            row["answer"] = domain.readable(by_id[row["problem_id"]], row["answer"])
    return rows


def solved_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """The answers, one line per problem, of the first 200 problems."""
    table = Table(title=title)
    judged = any(row["correct"] is not None for row in rows)
    for name in ("problem", "answer", *(["right"] if judged else []), "difficulty", "method", "selector"):
        table.add_column(name, overflow="fold")
    for name in ("n", "tokens"):
        table.add_column(name, justify="right")
    for row in rows[:MOST_ROWS]:
        verdict = [{True: "yes", False: "no", None: "unknown"}[row["correct"]]] if judged else []
        words = (row["problem_id"], _answer(row), *verdict, _difficulty(row), row["chosen"], row["selector"])
        numbers = (str(row["budget"]), f"{row['policy_completion_tokens']:,}")
        table.add_row(*(Text(printable(word)) for word in words), *numbers)
    if len(rows) > MOST_ROWS:
        table.caption = f"{MOST_ROWS} of {len(rows)} problems"
    return table


def solved_lines(row: dict[str, Any]) -> list[str]:
    """One problem's answer, how it was found and its cost."""
    flops = "unknown FLOPs" if row["flops"] is None else f"{row['flops']:.3g} FLOPs"
    seconds = "unknown time" if row["engine_seconds"] is None else f"{row['engine_seconds']:.1f} engine seconds"
    return [
        f"answer: {_answer(row)}",
        f"method: {row['chosen']} by {row['selector']}, {row['budget']} solutions in all, the pilot's included",
        f"difficulty: {_difficulty(row)}",
        f"cost: {row['policy_completion_tokens']:,} tokens written, {row['prm_tokens']:,} read by the PRM, {flops}, "
        f"{seconds}{_programs(row['cpu_seconds'])}",
    ]


def spending_lines(store: Store, run: Run) -> list[str]:
    """For each strategy of a run with a total: the actual and the expected cost."""
    ids = [use.method_id for use in run.stages if use.kind == StageKind.DECIDE]
    if not ids:
        return []
    spent = {row["method_id"]: row for row in query(store, SPENT_SQL.format(run_id=run.run_id)).to_pylist()}
    lines = []
    for method, method_id in zip(Recipe.model_validate(run.recipe).strategies, ids, strict=True):
        for what, total in (("tokens", method.total_tokens), ("flops", method.total_flops)):
            if total is not None:
                row = spent[method_id]
                took = "an unknown number" if row[what] is None else f"{row[what]:,.6g}"
                expected = row[f"expected_{what}"]
                lines.append(f"{method_id} took {took} of {total:,.6g} {what}; it had expected {expected:,.6g}")
    return lines


def _programs(seconds: float | None) -> str:
    """What the programs took that tested the solutions; empty where none did."""
    return "" if seconds == 0 else f", {'unknown' if seconds is None else f'{seconds:.1f}'} CPU seconds of programs"


def _answer(row: dict[str, Any]) -> str:
    return "none found" if row["answer"] is None else str(row["answer"])


def _difficulty(row: dict[str, Any]) -> str:
    if row["difficulty"] is None:
        return "not predicted: at this budget a pilot is not worth its share"
    return f"{row['difficulty']} (pass@1 of {row['predicted']:.2f} predicted)"
