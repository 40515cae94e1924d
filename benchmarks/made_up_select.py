"""The select stage of a made-up run, made anew from its stored grades and scores."""

import shutil
from functools import cache
from pathlib import Path

from benchmarks.made_up import KEYS, METHOD, RUN_ID
from overthink.storage.manifest import Extent
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import BY_DEFAULT
from overthink.tasks.domains.domain import Judge
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.node import Problems, StoredStage
from overthink.tasks.stages.problem_rows import problem_of
from overthink.tasks.stages.select import SelectNode, SelectSettings

READ = StageKind.SAMPLE, StageKind.GRADE, StageKind.SCORE


def select_node(store: Store) -> SelectNode:
    """The stage, of the default selectors at every power of two."""
    run = store.find_run(RUN_ID)
    n = max(use.n or 1 for use in run.stages)
    problems = tuple(map(problem_of, store.stage(KEYS[StageKind.PROBLEMS]).table("problems").to_pylist()))
    rollouts, grades, scores = (StoredStage(KEYS[kind], METHOD, n) for kind in READ)
    budgets = [2**power for power in range(n.bit_length()) if 2**power <= n]
    return SelectNode(
        problems=Problems(RUN_ID, problems, ()),
        method_id=METHOD,
        n=n,
        rollouts=rollouts,
        grades=grades,
        scores=scores,
        settings=SelectSettings(budgets, BY_DEFAULT, True, 0),
    )


def context_of(store: Store, node: SelectNode, judge: Judge) -> ShardContext:
    """What the stage is made with; it is written into a store of its own, beside that of the run."""
    stage = Store(store.root.with_name(f"{store.root.name}-select")).stage(node.key)
    return ShardContext(stage, cache(lambda key: store.stage(key).as_it_stands()), judge, lambda: None)


def select_again(root: Path) -> None:
    """Choose for all problems, and write the part into a store of its own, which is removed."""
    store = Store(root)
    node = select_node(store)
    with Grader(MATH, GradingConfig()).judge() as judge:
        context = context_of(store, node, judge)
        node.make_now(context, Extent(node.problems.units, 0, node.n))
    shutil.rmtree(context.stage.folder.parents[1])
