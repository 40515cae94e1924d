"""A run's problems: how many rollouts are right, what was chosen, what the vote says; filtered and sorted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overthink.storage.store import Run
from overthink.tasks.reporting.viewer.choice_of_run import RunChoice
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Row
from overthink.tasks.reporting.viewer.states import ListState, Show, Sort

PAGE = 50
MOST_FACETS = 200  # values of a filter
EXCERPT = 400  # characters of a question
VOTE = "majority"

# Of a problem `"right"` counts the rollouts that are known to be right, `chosen_right` is null where that is unknown.
SHOWN: Mapping[Show, str] = {
    "all": "true",
    "missed": 'NOT chosen_right AND "right" > 0',
    "vote_missed": 'NOT vote_right AND "right" > 0',
    "vote_differs": "chosen_right != vote_right",
    "none_right": 'rollouts > 0 AND "right" = 0',
    "right": "chosen_right",
    "unknown": "unknown > 0",
}


def natural(column: str) -> str:
    """What orders texts with their numbers as numbers, p9 before p10."""
    padded = "lpad(part, greatest(20, length(part))::INTEGER, '0')"
    parts = f"regexp_extract_all({column}, '[0-9]+|[^0-9]+')"
    return f"list_transform({parts}, lambda part: CASE WHEN part[1] BETWEEN '0' AND '9' THEN {padded} ELSE part END)"


BY_ID = f"{natural('problem_id')}, problem_id"
SORTED: Mapping[Sort, str] = {
    "problem": BY_ID,
    "hardest": f'"right" / rollouts NULLS LAST, {BY_ID}',
    "easiest": f'"right" / rollouts DESC NULLS LAST, {BY_ID}',
    "level": f"{natural('level')} NULLS LAST, {BY_ID}",
    "subject": f"subject NULLS LAST, {BY_ID}",
    "longest": f"tokens DESC NULLS LAST, {BY_ID}",
}
OF_RUN = "problem_set = (SELECT problem_set FROM runs WHERE run_id = $run)"
_LISTED = f"""WITH counted AS (
    SELECT problem_id, count(*) AS rollouts, count(*) FILTER (correct) AS "right",
           count(*) FILTER (correct IS NULL) AS unknown, avg(completion_tokens) AS tokens
    FROM rollouts LEFT JOIN verdicts USING (run_id, method_id, rollout_id)
    WHERE run_id = $run AND method_id = $method AND sample_index < coalesce($n, 2147483647) GROUP BY problem_id),
picked AS (
    SELECT problem_id, any_value(answer) FILTER (selector = $selector) AS chosen,
           any_value(correct) FILTER (selector = $selector) AS chosen_right,
           any_value(answer) FILTER (selector = '{VOTE}') AS vote,
           any_value(correct) FILTER (selector = '{VOTE}') AS vote_right
    FROM selections WHERE run_id = $run AND method_id = $method AND n = $n GROUP BY problem_id),
listed AS MATERIALIZED (
    SELECT problem_id, left(question, {EXCERPT}) AS question, reference, level, subject, domain,
           coalesce(rollouts, 0) AS rollouts, "right", unknown, tokens, chosen, chosen_right, vote, vote_right
    FROM problems LEFT JOIN counted USING (problem_id) LEFT JOIN picked USING (problem_id)
    WHERE {OF_RUN} AND {{found}})
"""
_IN_QUESTIONS = "(contains(lower(question), lower($q)) OR contains(lower(problem_id), lower($q)))"
_IN_SOLUTIONS = """problem_id IN (SELECT problem_id FROM rollouts
    WHERE run_id = $run AND method_id = $method AND contains(lower(text), lower($q)))"""
_COUNTS = ", ".join(f"'{show}': count(*) FILTER ({condition})" for show, condition in SHOWN.items())
# The counts are there where the page is empty too.
_PAGE = f"""{{listed}}, page AS (
    SELECT *, row_number() OVER (ORDER BY {{order}}) AS place FROM listed WHERE {{shown}}
    ORDER BY place LIMIT $size OFFSET $offset)
SELECT * FROM (SELECT {{{{{_COUNTS}}}}} AS counts FROM listed) LEFT JOIN page ON true ORDER BY place"""
_FACETS = f"""SELECT level, subject, domain FROM problems WHERE {OF_RUN}
GROUP BY GROUPING SETS ((level), (subject), (domain)) ORDER BY ALL LIMIT {MOST_FACETS}"""


@dataclass(frozen=True)
class ProblemList:
    """One page of problems; `counts` says how many of them each filter shows, `facets` the values of the others."""

    rows: list[Row]
    counts: Row
    facets: Mapping[str, list[str]]
    pages: int


def problem_list(reading: OpenReading, run: Run, choice: RunChoice, state: ListState) -> ProblemList:
    """The page that a state asks for."""
    sql, values = listed_sql(run, choice, state)
    page = _PAGE.format(listed=sql, order=SORTED[state.sort], shown=SHOWN[state.show])
    rows = reading.rows(page, **values, size=PAGE, offset=PAGE * (state.page - 1))
    counts = rows[0]["counts"]
    found = reading.rows(_FACETS, run=run.run_id)
    facets = {
        name: [row[name] for row in found if row[name] not in (None, "")] for name in ("level", "subject", "domain")
    }
    return ProblemList(
        [row for row in rows if row["place"] is not None], counts, facets, -(-counts[state.show] // PAGE)
    )


def neighbours(
    reading: OpenReading, run: Run, choice: RunChoice, state: ListState, problem_id: str
) -> tuple[str | None, str | None]:
    """The problems before and after one in the list of a state; None at its ends, and where it is not in it."""
    sql, values = listed_sql(run, choice, state)
    order = SORTED[state.sort]
    around = reading.rows(
        f"{sql}, beside AS (SELECT problem_id, lag(problem_id) OVER (ORDER BY {order}) AS before, "
        f"lead(problem_id) OVER (ORDER BY {order}) AS after FROM listed WHERE {SHOWN[state.show]}) "
        "SELECT before, after FROM beside WHERE problem_id = $problem",
        **values,
        problem=problem_id,
    )
    return (around[0]["before"], around[0]["after"]) if around else (None, None)


def listed_sql(run: Run, choice: RunChoice, state: ListState) -> tuple[str, dict[str, Any]]:
    """SQL that begins with the problems that a state finds, as `listed`, and its values."""
    values: dict[str, Any] = {
        "run": run.run_id,
        "method": choice.method,
        "selector": choice.selector,
        "n": choice.n,
    }
    found = []
    if state.q:
        found.append(_IN_QUESTIONS if state.within == "questions" else _IN_SOLUTIONS)
        values["q"] = state.q
    for name in ("level", "subject", "domain"):
        if getattr(state, name):
            found.append(f"{name} = ${name}")
            values[name] = getattr(state, name)
    return _LISTED.format(found=" AND ".join(found) or "true"), values
