"""Recipes of searches on fake engines, and what their runs left in the store."""

import json
from pathlib import Path
from typing import Any

from overthink.storage.sql import query
from overthink.storage.store import Store

Row = dict[str, Any]
PROBLEMS = 5
SEARCHES: dict[str, Row] = {
    "beam_search-n8-m4": {"method": "beam_search", "n": 8},
    "beam_search-n8-m4-hf": {"method": "beam_search", "n": 8, "variant": "hf"},
    "beam_search-n8-m4-lookahead2": {"method": "beam_search", "n": 8, "lookahead": 2},
    # Nine in ten of the steps that the fake writes do not fit into 13 tokens, so paths come to dead ends.
    "beam_search-n8-m2-step_tokens13": {"method": "beam_search", "n": 8, "beam_width": 2, "step_tokens": 13},
    "dvts-n8-m4": {"method": "dvts", "n": 8},
    "dvts-n8-m4-siblings": {"method": "dvts", "n": 8, "return": "siblings"},
    "rebase-n8-max_depth3-balance0.2": {"method": "rebase", "n": 8, "max_depth": 3},
    "particle_filtering-n8": {"method": "particle_filtering", "n": 8},
    "particle_filtering-n8-iterations2": {"method": "particle_filtering", "n": 8, "iterations": 2},
    "particle_filtering-n8-entropic": {"method": "particle_filtering", "n": 8, "tempering": "entropic"},
    "dvts-n8-m4-granularity2": {"method": "dvts", "n": 8, "granularity": 2},
    "mcts-n8-m4": {"method": "mcts", "n": 8},
    "mcts-n8-m4-uct": {"method": "mcts", "n": 8, "rule": "uct"},
    "mcts-n8-m2-step_tokens13": {"method": "mcts", "n": 8, "beam_width": 2, "step_tokens": 13},
}


def base(folder: Path, count: int = PROBLEMS) -> Row:
    """A recipe on fakes; half of its problems have the answer that the fake gives most often."""
    problems = folder / "problems.jsonl"
    lines = [{"question": f"What is question {number}?", "answer": str(number % 2)} for number in range(count)]
    problems.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return {
        "name": "trees",
        "problems": {"source": "file", "path": str(problems)},
        "policy": {"engine": "fake", "steps": 6},
        "prm": {"engine": "fake"},
        "methods": [{"method": "dvts", "n": 8}],
        "budgets": [1, 4, 8],
        "sampling": {"max_tokens": 256},
        "shard_size": 2,
    }


def rows(store: Path, sql: str) -> list[Row]:
    return list(query(Store(store), sql).to_pylist())


def one(store: Path, sql: str) -> Any:
    (row,) = rows(store, sql)
    return next(iter(row.values()))
