"""What a run's policy spent on reasoning, read from the store by SQL, as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store

SPENT_SQL = """SELECT method_id, count(*) AS rollouts, avg(reasoning_tokens) AS tokens,
    count(*) FILTER (stop_reason = 'reasoning') AS unfinished
FROM rollouts WHERE run_id = '{run_id}' GROUP BY method_id HAVING tokens > 0 OR unfinished > 0 ORDER BY ALL"""


def thinking_lines(store: Store, run_id: str) -> list[str]:
    """For each method whose policy thinks, the tokens that it spends on it, and how often it came to no end."""
    imported = any(use.kind == StageKind.IMPORT for use in store.find_run(run_id).stages)
    remedy = "" if imported else ": raise sampling.max_tokens, or close it by reasoning.max_tokens"
    return [
        f"{row['method_id']}: {_tokens(row['tokens'])} tokens of reasoning a solution{_unfinished(row, remedy)}"
        for row in query(store, SPENT_SQL.format(run_id=run_id)).to_pylist()
    ]


def _tokens(tokens: float | None) -> str:
    return "an unknown number of" if tokens is None else f"{tokens:,.0f}"


def _unfinished(row: Mapping[str, Any], remedy: str) -> str:
    if not row["unfinished"]:
        return ""
    return f"; {row['unfinished']:,} of {row['rollouts']:,} never ended it and have no answer{remedy}"
