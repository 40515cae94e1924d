"""Example trees: the kept and pruned steps of a search on a solved and on an unsolved problem, as nested lists."""

from typing import Any

from markupsafe import Markup

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.markup import behind, paragraph, render
from overthink.tasks.reporting.tree_shape import branches
from overthink.tasks.reporting.tree_text import NODES_SQL

# Of the solved and of the unsolved problems, the one whose tree is closest to the median size.
EXAMPLES_SQL = """WITH sizes AS (SELECT problem_id, count(*) AS size FROM nodes
    WHERE run_id = '{run_id}' AND method_id = '{method_id}' GROUP BY problem_id)
SELECT problem_id, s.answer, s.correct, p.reference, size
FROM selections s JOIN sizes USING (problem_id) JOIN runs USING (run_id) JOIN problems p USING (problem_set, problem_id)
WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND selector = '{selector}' AND s.correct IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY s.correct ORDER BY abs(size - (SELECT median(size) FROM sizes)), problem_id) = 1
ORDER BY s.correct DESC"""

Row = dict[str, Any]


def example_trees(facts: RunFacts) -> Markup:
    """One solved and one unsolved problem of the run's most accurate search."""
    searches = {use.method_id for use in facts.run.stages if use.kind == StageKind.SEARCH}
    rows = [row for row in facts.known if row["method_id"] in searches and row["selector"] == facts.lead]
    if not rows:
        return paragraph("No search in this run, so no trees: its methods draw whole solutions.", "note")
    method_id = max(rows, key=lambda row: (row["accuracy"], row["n"]))["method_id"]
    sql = EXAMPLES_SQL.format(run_id=facts.run_id, method_id=method_id, selector=facts.lead)
    examples = query(facts.store, sql).to_pylist()
    told = paragraph(
        f"By {method_id}; {facts.lead} chose the answer. Each step is shown with its score, or its value where no PRM "
        "was asked; a step below another of the same indent is its only continuation. Pruned steps are folded."
    )
    for correct, word in ((True, "solved"), (False, "failed to solve")):
        if correct not in [row["correct"] for row in examples]:
            told += paragraph(f"There is no problem that it {word}.", "note")
    drawn = [_example(facts, method_id, row) for row in examples]
    return render("trees.html", told=told, examples=drawn, behind=behind(sql))


def _example(facts: RunFacts, method_id: str, row: Row) -> Row:
    quoted = row["problem_id"].replace("'", "''")
    sql = NODES_SQL.format(run_id=facts.run_id, method_id=method_id, problem_id=quoted)
    nodes = query(facts.store, sql).to_pylist()
    answer = "No answer was chosen" if row["answer"] is None else f"{row['answer']} was chosen"
    return {
        "verdict": "Solved" if row["correct"] else "Not solved",
        "problem_id": row["problem_id"],
        "question": nodes[0]["question"],
        "told": paragraph(f"{answer}, the reference is {row['reference']}; {len(nodes)} steps drawn."),
        "tree": branches(nodes),
        "behind": behind(sql),
    }
