"""The problems that a run's best choice got wrong although a right rollout was there, with links into the viewer."""

import shlex

from markupsafe import Markup

from overthink.storage.sql import query
from overthink.tasks.counted import counted
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.markup import behind, lines, link, paragraph, table
from overthink.tasks.reporting.results import Row
from overthink.tasks.reporting.viewer.addresses import address_from_outside
from overthink.tasks.reporting.viewer.page_templates import brief
from overthink.tasks.reporting.viewer.states import ListState, ProblemState

MOST = 50
MISSED_SQL = """WITH drawn AS (
    SELECT problem_id, count(*) AS rollouts, count(*) FILTER (correct) AS right_ones
    FROM rollouts LEFT JOIN verdicts USING (run_id, method_id, rollout_id)
    WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND sample_index < {n} GROUP BY problem_id)
SELECT problem_id, left(question, 400) AS question, reference, answer, right_ones, rollouts, count(*) OVER () AS missed
FROM selections JOIN drawn USING (problem_id)
JOIN runs USING (run_id) JOIN problems USING (problem_set, problem_id)
WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND selector = '{selector}' AND n = {n}
    AND NOT correct AND right_ones > 0
ORDER BY right_ones DESC, problem_id"""
NO_CHOICE = "No accuracy of run {run_id} is known, so neither is what it missed."
NONE_MISSED = "Wherever a rollout was right, {choice} chose a right answer."


def missed_part(facts: RunFacts, token: str) -> Markup:
    """The table, those with the most right rollouts first; `token` is the viewer's in its links."""
    best = facts.best
    if best is None:
        return paragraph(NO_CHOICE.format(run_id=facts.run_id), "note")
    names = {name: best[name] for name in ("method_id", "selector", "n")}
    sql = MISSED_SQL.format(run_id=facts.run_id, **names)
    rows = query(facts.store, f"{sql} LIMIT {MOST}").to_pylist()
    choice = f"{best['selector']} of {best['method_id']}, n = {best['n']}"
    if not rows:
        return paragraph(NONE_MISSED.format(choice=choice), "note")
    state = ListState(run=facts.run_id, method=best["method_id"], selector=best["selector"], n=best["n"], show="missed")
    every = address_from_outside(token, "run", state.parameters())
    count = rows[0]["missed"]
    told = paragraph(f"{choice} chose a wrong answer on {counted(count, 'problem')} of which a rollout was right.")
    told += paragraph(_how(facts, token))
    if count > len(rows):
        told += paragraph(f"The {len(rows)} with the most right rollouts; the viewer lists all.")
    header = ["problem", "question", "reference", "chosen", "right rollouts"]
    body = [_cells(row, ProblemState(problem=row["problem_id"], **state.model_dump()), token) for row in rows]
    return lines(
        [told, link(every, "All of them in the viewer"), table(header, body, words=4, kind="wide"), behind(sql)]
    )


def _how(facts: RunFacts, token: str) -> str:
    command = f"overthink view {shlex.quote(facts.store.address)} --token {token}"
    return f"The links open every rollout of a problem, on this machine, while this command runs: `{command}`"


def _cells(row: Row, state: ProblemState, token: str) -> list[str]:
    problem = link(address_from_outside(token, "problem", state.parameters()), row["problem_id"])
    texts = (brief(row["question"]), brief(row["reference"]), brief(row["answer"]))
    return [problem, *(text or "–" for text in texts), f"{row['right_ones']:,} of {row['rollouts']:,}"]
