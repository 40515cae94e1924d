"""A search tree, drawn from the `nodes` table for the terminal."""

from collections import defaultdict
from typing import Any

from rich.text import Text
from rich.tree import Tree

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import Store
from overthink.tasks.closest import which_of_many
from overthink.tasks.terminal_text import printable

# A tree that was searched by confidence has no scores: its values stand in their place.
NODES_SQL = """SELECT * REPLACE (CASE WHEN count(n.score) OVER () = 0 THEN n.value ELSE n.score END AS score),
    (SELECT any_value(question) FROM problems p WHERE p.problem_id = n.problem_id) AS question
FROM nodes n WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND problem_id = '{problem_id}'
ORDER BY depth, draw"""

KNOWN_SQL = """SELECT DISTINCT problem_id FROM nodes WHERE run_id = '{run_id}' AND method_id = '{method_id}'
ORDER BY problem_id"""


def tree_of(store: Store, run_id: str, problem_id: str, method_id: str | None) -> Tree:
    """One problem's tree, pruned steps dimmed. `method_id` may be left out where the run has one search.

    Raises QueryError where there is no such search or problem.
    """
    searches = [use.method_id for use in store.find_run(run_id).stages if use.kind == StageKind.SEARCH]
    if not searches:
        raise QueryError(f"run {run_id} has no search, so no tree: its methods draw whole solutions")
    if method_id is None and len(searches) > 1:
        raise QueryError(
            f"run {run_id} has several searches: name one with --method, of {', '.join(map(str, searches))}"
        )
    chosen = method_id or str(searches[0])
    if chosen not in searches:
        raise QueryError(f"run {run_id} has no search {chosen!r}: it has {', '.join(map(str, searches))}")
    quoted = problem_id.replace("'", "''")
    nodes = query(store, NODES_SQL.format(run_id=run_id, method_id=chosen, problem_id=quoted)).to_pylist()
    if not nodes:
        known = query(store, KNOWN_SQL.format(run_id=run_id, method_id=chosen))["problem_id"].to_pylist()
        raise QueryError(f"run {run_id} has no tree of problem {problem_id!r}: {which_of_many(problem_id, known)}")
    return _drawn(nodes, printable(f"{chosen}, {problem_id}: {nodes[0]['question']}"))


def _drawn(nodes: list[dict[str, Any]], title: str) -> Tree:
    children: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for node in nodes:
        children[node["parent_id"]].append(node)
    tree = Tree(Text(title))
    waiting: list[tuple[Tree, str | None]] = [(tree, None)]
    while waiting:
        branch, node_id = waiting.pop()
        for node in children[node_id]:
            waiting.append((branch.add(_label(node)), node["node_id"]))
    return tree


def _label(node: dict[str, Any]) -> Text:
    score = "  –  " if node["score"] is None else f"{node['score']:.3f}"
    if node["value"] != node["score"] and node["lookahead_tokens"]:
        score += f" → {node['value']:.3f}"
    text = printable(" ".join(node["text"].split()))
    end = " ■" if node["finished"] else ""
    fate = node["dropped"] or (None if node["kept"] else "pruned")
    return Text(f"{score} {text}{end}" + (f" [{fate}]" if fate else ""), style="bold" if node["kept"] else "dim")
