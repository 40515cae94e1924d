"""The tree of a search on one problem, as far as it is shown."""

from dataclasses import dataclass

from overthink.storage.store import Run
from overthink.tasks.reporting.tree_shape import Item, branches
from overthink.tasks.reporting.viewer.open_readings import OpenReading

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


def search_tree(reading: OpenReading, run: Run, method_id: str, problem_id: str) -> SearchTree:
    """A problem's tree; an empty one where the method is no search, or has not drawn it yet."""
    nodes = reading.rows(_NODES, run=run.run_id, method=method_id, problem=problem_id)
    first = nodes[0] if nodes else {"drawn": 0, "pruned": 0}
    return SearchTree(branches(nodes), len(nodes), first["drawn"], first["pruned"])
