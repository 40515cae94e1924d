"""Two runs on the same problems: what each chose, and where one is right and the other wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overthink.storage.store import Run
from overthink.tasks.reporting.viewer.choice_of_run import RunChoice
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Row
from overthink.tasks.reporting.viewer.problem_list import BY_ID, PAGE, listed_sql
from overthink.tasks.reporting.viewer.states import CompareState, Outcome

# A verdict that is unknown is in none but the last.
OUTCOMES: Mapping[Outcome, str] = {
    "differ": "first_right != second_right",
    "first": "first_right AND NOT second_right",
    "second": "second_right AND NOT first_right",
    "both": "first_right AND second_right",
    "neither": "NOT first_right AND NOT second_right",
    "all": "true",
}
_COUNTS = ", ".join(f"'{outcome}': count(*) FILTER ({condition})" for outcome, condition in OUTCOMES.items())
_PAIRS = f"""WITH one AS ({{one}} SELECT * FROM listed), two AS ({{two}} SELECT * FROM listed),
pairs AS MATERIALIZED (
    SELECT one.problem_id, one.question, one.reference,
           one.chosen AS first, one.chosen_right AS first_right, one."right" AS first_share, one.rollouts AS first_of,
           two.chosen AS second, two.chosen_right AS second_right, two."right" AS second_share,
           two.rollouts AS second_of
    FROM one JOIN two ON two.problem_id = one.problem_id AND two.question IS NOT DISTINCT FROM one.question),
page AS (SELECT *, row_number() OVER (ORDER BY {BY_ID}) AS place FROM pairs WHERE {{shown}}
         ORDER BY place LIMIT $size OFFSET $offset)
SELECT * FROM (SELECT {{{{{_COUNTS}}}}} AS counts FROM pairs) LEFT JOIN page ON true ORDER BY place"""
_PARAMETER = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Pairs:
    """A page of the problems that both runs have; `counts` says how many have each outcome."""

    rows: list[Row]
    counts: Row
    pages: int


def pairs_of(
    reading: OpenReading, runs: tuple[Run, Run], choices: tuple[RunChoice, RunChoice], state: CompareState
) -> Pairs:
    """The page that a state asks for."""
    sides = zip(runs, choices, ("one", "two"), strict=True)
    (one, of_one), (two, of_two) = (
        _renamed(*listed_sql(run, choice, state.found), name) for run, choice, name in sides
    )
    sql = _PAIRS.format(one=one, two=two, shown=OUTCOMES[state.outcome])
    rows = reading.rows(sql, **of_one, **of_two, size=PAGE, offset=PAGE * (state.page - 1))
    counts = rows[0]["counts"]
    return Pairs([row for row in rows if row["place"] is not None], counts, -(-counts[state.outcome] // PAGE))


def _renamed(sql: str, values: Mapping[str, Any], side: str) -> tuple[str, dict[str, Any]]:
    """The same query, whose parameters have names of their own."""
    return _PARAMETER.sub(rf"${side}_\1", sql), {f"{side}_{name}": value for name, value in values.items()}
