"""The rows of the table `nodes`: what a search or a chain of revisions wrote, returned or not."""

from collections.abc import Mapping
from typing import Any

from overthink.storage.keys import content_key
from overthink.tasks.methods.requests import Outcome
from overthink.tasks.methods.tree import Node
from overthink.tasks.records import Problem


def tree_rows(stage_key: str, problems: Mapping[str, Problem], outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """A row for each node of some problems; `problems` and `outcomes` by problem key."""
    return [_row(stage_key, problems[unit], node) for unit, outcome in outcomes.items() for node in outcome.nodes]


def _row(stage_key: str, problem: Problem, node: Node) -> dict[str, Any]:
    address = node.address
    return {
        "problem_key": problem.problem_key,
        "problem_id": problem.problem_id,
        "node_id": _node_id(stage_key, problem, address),
        "parent_id": _node_id(stage_key, problem, address[:-1]) if len(address) > 1 else None,
        "depth": len(address),
        "draw": node.draw,
        "text": node.sample.text,
        "score": node.score,
        "value": node.value,
        "kept": node.kept,
        "dropped": node.dropped,
        "finished": node.stop is not None and node.dropped is None,
        "completion_tokens": node.completion_tokens,
        "lookahead_tokens": node.lookahead_tokens,
        "role": node.role,
    }


def _node_id(stage_key: str, problem: Problem, address: tuple[int, ...]) -> str:
    return content_key([stage_key, problem.problem_key, address])
