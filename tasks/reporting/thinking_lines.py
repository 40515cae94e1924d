"""What a run's policy spent on reasoning, read from the store by SQL, as lines for a terminal."""

from overthink.storage.sql import query
from overthink.storage.store import Store

SPENT_SQL = """SELECT method_id, count(*) AS rollouts, avg(reasoning_tokens) AS tokens,
    count(*) FILTER (stop_reason = 'reasoning') AS unfinished
FROM rollouts WHERE run_id = '{run_id}' GROUP BY method_id HAVING tokens > 0 OR unfinished > 0 ORDER BY ALL"""


def thinking_lines(store: Store, run_id: str) -> list[str]:
    """For each method whose policy thinks, the tokens that it spends on it, and how often it came to no end."""
    return [
        f"{row['method_id']}: {_tokens(row['tokens'])} tokens of reasoning a solution{_unfinished(**row)}"
        for row in query(store, SPENT_SQL.format(run_id=run_id)).to_pylist()
    ]


def _tokens(tokens: float | None) -> str:
    return "an unknown number of" if tokens is None else f"{tokens:,.0f}"


def _unfinished(rollouts: int, unfinished: int, **_: object) -> str:
    if not unfinished:
        return ""
    return (
        f"; {unfinished:,} of {rollouts:,} never ended it and have no answer: raise sampling.max_tokens, or close it "
        "by reasoning.max_tokens"
    )
