"""Stage search: one shard's trees, and the rollouts that came of them with the scores they were given on the way."""

from collections.abc import Mapping
from typing import Any

from prefect import task

from overthink.storage.keys import content_key
from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import rows_table
from overthink.tasks.methods.requests import Outcome
from overthink.tasks.methods.tree import Node
from overthink.tasks.records import Problem
from overthink.tasks.stages.sample import RolloutWork, carry_out, rollout_id_of, rollout_tables, write_rollouts
from overthink.tasks.stages.shards import ENGINE_TASK

MOST_DRAWS = 2**31 - 1  # repeated draws of a search have numbers far above n


@task(name="search", task_run_name="search {cover.name}", **ENGINE_TASK)
async def search(work: RolloutWork, cover: Cover) -> Entry:
    """Search one shard's problems and write its part.

    Raises EngineDied (worth a retry), BadReply or StorageError; journaled calls are safe in every case, and a search
    goes on from the last of them.
    """
    outcomes = await carry_out(work, cover)
    calls = await work.access.recorder.take(cover.units, 0, MOST_DRAWS)
    tables = rollout_tables(work, outcomes)
    tables["scores"] = rows_table("scores", _score_rows(work, outcomes))
    tables["nodes"] = rows_table("nodes", _node_rows(work, outcomes))
    return await write_rollouts(work, cover, tables, calls)


def _score_rows(work: RolloutWork, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "rollout_id": rollout_id_of(work, work.context.problems[unit], rollout),
            "prm": work.prm_id,
            "step_index": index,
            "score": score,
        }
        for unit, outcome in outcomes.items()
        for rollout in outcome.rollouts
        for index, score in enumerate(rollout.scores or ())
    ]


def _node_rows(work: RolloutWork, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    return [
        _node_row(work, work.context.problems[unit], node)
        for unit, outcome in outcomes.items()
        for node in outcome.nodes
    ]


def _node_row(work: RolloutWork, problem: Problem, node: Node) -> dict[str, Any]:
    address = node.address
    return {
        "problem_key": problem.problem_key,
        "problem_id": problem.problem_id,
        "node_id": _node_id(work, problem, address),
        "parent_id": _node_id(work, problem, address[:-1]) if len(address) > 1 else None,
        "depth": len(address),
        "draw": node.draw,
        "text": node.sample.text,
        "score": node.score,
        "value": node.value,
        "kept": node.kept,
        "dropped": node.dropped,
        "finished": node.stop is not None and node.dropped is None,
        "completion_tokens": len(node.sample.tokens),
        "lookahead_tokens": node.lookahead_tokens,
    }


def _node_id(work: RolloutWork, problem: Problem, address: tuple[int, ...]) -> str:
    return content_key([work.context.stage.key, problem.problem_key, address])
