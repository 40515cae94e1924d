"""The tree of a search on one problem, as far as it is shown."""

from dataclasses import dataclass

from overthink.storage.store import Run
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.tree_shape import Item, branches
from overthink.tasks.reporting.viewer.open_readings import Reading

MOST_NODES = 3000
LONGEST_STEP = 2000  # characters
# A tree that was searched by confidence has no scores: its values stand in their place.
_NODES = f"""SELECT * FROM (
    SELECT node_id, parent_id, depth, draw, left(text, {LONGEST_STEP}) AS text, kept, dropped, finished, value,
           CASE WHEN count(score) OVER () = 0 THEN value ELSE score END AS score, lookahead_tokens,
           count(*) OVER () AS drawn, count(*) FILTER (NOT kept) OVER () AS pruned
    FROM nodes WHERE run_id = $run AND method_id = $method AND problem_id = $problem)
ORDER BY depth, draw LIMIT {MOST_NODES}"""


@dataclass(frozen=True)
class SearchTree:
    """`items` as in `branches`, of the first `shown` steps, by depth, of all that were `drawn`."""

    items: list[Item]
    shown: int
    drawn: int
    pruned: int


def search_tree(reading: Reading, run: Run, method_id: str, problem_id: str) -> SearchTree:
    """A problem's tree. Raises UserError where the method drew none."""
    nodes = reading.rows(_NODES, run=run.run_id, method=method_id, problem=problem_id)
    if not nodes:
        raise UserError(f"run {run.run_id} has no tree of problem {problem_id!r} by {method_id}")
    return SearchTree(branches(nodes), len(nodes), nodes[0]["drawn"], nodes[0]["pruned"])
