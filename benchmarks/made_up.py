"""A store of made-up rows: one finished run of best-of-N with scores and grades, of any size, without any engine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.schemas import SCHEMAS
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.stages.identity import stage_identity

RUN_ID, METHOD = "made-up", "best_of_n"
STEPS, KINDS_OF_ANSWERS, STEP_CHARACTERS = 3, 8, 100
SELECTORS = ("majority", "prm_last_max", "prm_last_vote")
IDENTITIES = {
    StageKind.PROBLEMS: stage_identity(StageKind.PROBLEMS),
    StageKind.SAMPLE: stage_identity(StageKind.SAMPLE, method={"method": METHOD}),
    StageKind.SCORE: stage_identity(StageKind.SCORE),
    StageKind.GRADE: stage_identity(StageKind.GRADE),
    StageKind.SELECT: stage_identity(StageKind.SELECT, selectors=SELECTORS, budgets=[1, 2], independent=True),
}
KEYS = {kind: labelled_key(kind, identity) for kind, identity in IDENTITIES.items()}
Arrays = dict[str, pa.Array | pa.ChunkedArray]


def write_store(root: Path, problems: int, n: int, shard_size: int) -> Store:
    """Write the run's stages, shard by shard, and its manifest."""
    store = Store(root)
    units = [f"p{number:07d}" for number in range(problems)]
    keys = pa.array(units)
    content = {"problem_set": repeated("made-up", problems), "problem_key": keys, "problem_id": keys, "reference": keys}
    for kind, identity in IDENTITIES.items():
        store.stage(KEYS[kind]).describe(identity)
    store.stage(KEYS[StageKind.PROBLEMS]).write_part(
        Extent(tuple(units), 0, 1), {"problems": table("problems", content)}
    )
    for begin in range(0, problems, shard_size):
        write_shard(store, units[begin : begin + shard_size], n, begin)
    budgets = [n] if n == 1 else [1, n]
    answers = store.stage(KEYS[StageKind.GRADE]).table("answers")
    store.stage(KEYS[StageKind.SELECT]).write_part(Extent(tuple(units), 0, n), selected(units, n, budgets, answers))
    store.write_run(made_up_run(n, budgets))
    return store


def write_shard(store: Store, units: Sequence[str], n: int, seed: int) -> None:
    """The parts of one shard in the stages sample, score and grade."""
    generator, extent, count = np.random.default_rng(seed), Extent(tuple(units), 0, n), len(units) * n
    place, index = np.repeat(np.arange(len(units)), n), np.tile(np.arange(n), len(units))
    problem = pa.array(units).take(pa.array(place))
    rollout_id = pc.binary_join_element_wise(problem, pa.array(index).cast(pa.string()), "/")
    kind = generator.integers(0, KINDS_OF_ANSWERS, count)
    answer = pa.array(kind).cast(pa.string())
    of_rollout: Arrays = {"problem_key": problem, "problem_id": problem, "sample_index": pa.array(index, pa.int32())}
    tokens = pa.array(generator.integers(50, 500, count), pa.int32())
    text = repeated("A step of reasoning. " * (STEPS * STEP_CHARACTERS // 21), count)
    rollouts = of_rollout | {"rollout_id": rollout_id, "completion_tokens": tokens, "prompt_tokens": tokens}
    rollouts |= {"text": pc.binary_join_element_wise(text, rollout_id, " "), "stop_reason": repeated("stop", count)}
    rollouts |= {"logprob_mean": pa.array(-generator.random(count)), "step_count": repeated(STEPS, count)}
    step = {
        "rollout_id": rollout_id.take(pa.array(np.repeat(np.arange(count), STEPS))),
        "step_index": pa.array(np.tile(np.arange(STEPS), count), pa.int32()),
    }
    written = step | {"text": repeated("A step of reasoning. " * (STEP_CHARACTERS // 21), count * STEPS)}
    scores = step | {"prm": repeated("prm", count * STEPS), "score": pa.array(generator.random(count * STEPS))}
    answers = of_rollout | {"rollout_id": rollout_id, "answer": answer, "answer_key": answer}
    grades = {"rollout_id": rollout_id, "grader": repeated("math (boxed)", count), "grader_version": repeated(1, count)}
    grades |= {"correct": pa.array(kind == 0)}
    generated, scored = (calls(of_rollout, rollout_id, tokens, one, generator) for one in ("generate", "score"))
    parts = {
        StageKind.SAMPLE: {"rollouts": rollouts, "steps": written, "calls": generated},
        StageKind.SCORE: {"scores": scores, "calls": scored},
        StageKind.GRADE: {"answers": answers, "grades": grades},
    }
    for made, of_stage in parts.items():
        tables = {name: table(name, columns) for name, columns in of_stage.items()}
        store.stage(KEYS[made]).write_part(extent, tables)


def calls(
    of_rollout: Arrays, rollout_id: pa.Array, tokens: pa.Array, kind: str, generator: np.random.Generator
) -> Arrays:
    """A call for each rollout."""
    count = len(rollout_id)
    output = tokens if kind == "generate" else repeated(0, count)
    return of_rollout | {
        "kind": repeated(kind, count),
        "call_key": pc.binary_join_element_wise(repeated(kind, count), rollout_id, "-"),
        "model": repeated("made-up", count),
        "input_tokens": tokens,
        "cached_tokens": repeated(0, count),
        "output_tokens": output,
        "latency_ms": pa.array(generator.random(count) * 1000),
        "started_at": pa.array(generator.integers(0, 10**9, count), pa.timestamp("us", tz="UTC")),
    }


def selected(units: Sequence[str], n: int, budgets: Sequence[int], answers: pa.Table) -> dict[str, pa.Table]:
    """The groups of the answers, and the choices of some selectors, made up too."""
    count = len(units)
    choices = [
        {
            "problem_id": pa.array(units),
            "n": repeated(budget, count),
            "selector": repeated(selector, count),
            "answer": repeated("0", count),
            "correct": repeated(True, count),
            "accuracy": repeated(0.5, count),
            "estimator": repeated("exact", count),
        }
        for selector in SELECTORS
        for budget in budgets
    ]
    estimates = {"selector": list(SELECTORS), "n": [n] * 3, "problems": [count] * 3, "accuracy": [0.5] * 3}
    figures = {name: [0.5] * 3 for name in ("accuracy_low", "accuracy_high", "ci_low", "ci_high")}
    columns = {name: answers[name] for name in SCHEMAS["groups"].names if name != "answer_group"}
    return {
        "groups": table("groups", columns | {"answer_group": answers["answer_key"]}),
        "selections": pa.concat_tables(table("selections", one) for one in choices),
        "estimates": table("estimates", {name: pa.array(values) for name, values in (estimates | figures).items()}),
    }


def repeated(value: str | float | bool, count: int) -> pa.Array:
    """The same value `count` times."""
    return pa.repeat(pa.scalar(value), count)


def table(name: str, columns: Arrays) -> pa.Table:
    """A table of the schema `name`, null where no column is given."""
    schema, count = SCHEMAS[name], len(next(iter(columns.values())))
    return pa.table(
        [
            columns[one].cast(kind) if one in columns else pa.nulls(count, kind)
            for one, kind in zip(schema.names, schema.types, strict=True)
        ],
        schema=schema,
    )


def made_up_run(n: int, budgets: Sequence[int]) -> Run:
    """The run's manifest."""
    recipe = {
        "name": RUN_ID,
        "problems": {"source": "chains", "count": 1},
        "policy": {"engine": "fake"},
        "prm": {"engine": "fake"},
        "methods": [{"method": METHOD, "n": n}],
        "budgets": list(budgets),
    }
    kinds, method_id = (StageKind.SAMPLE, StageKind.SCORE, StageKind.GRADE), f"{METHOD}-n{n}"
    uses = (
        StageUse(StageKind.PROBLEMS, KEYS[StageKind.PROBLEMS]),
        *(StageUse(kind, KEYS[kind], method_id, n, 0) for kind in kinds),
        StageUse(StageKind.SELECT, KEYS[StageKind.SELECT], method_id),
    )
    return Run(
        run_id=RUN_ID,
        name=RUN_ID,
        recipe=recipe,
        seed=0,
        status="complete",
        created_at="2026-01-01T00:00:00Z",
        finished_at="2026-01-02T00:00:00Z",
        versions={},
        problem_set="made-up",
        policy="made-up",
        policy_parameters=10**9,
        prm="prm",
        prm_parameters=10**9,
        stages=uses,
    )
