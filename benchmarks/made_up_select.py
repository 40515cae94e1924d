"""The select stage of a made-up run, made anew from its stored grades and scores."""

import shutil
from pathlib import Path

from benchmarks.made_up import KEYS, METHOD, RUN_ID
from overthink.storage.manifest import Extent
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import BY_DEFAULT
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.node import Problems, StoredStage
from overthink.tasks.stages.problem_rows import problem_of
from overthink.tasks.stages.select import SelectNode, SelectSettings

READ = StageKind.SAMPLE, StageKind.GRADE, StageKind.SCORE


def select_again(root: Path) -> None:
    """Choose by the default selectors at every power of two, and write the part into a stage of its own."""
    store = Store(root)
    run = store.find_run(RUN_ID)
    n = max(use.n or 1 for use in run.stages)
    rows = store.stage(KEYS[StageKind.PROBLEMS]).table("problems").to_pylist()
    problems = tuple(map(problem_of, rows))
    rollouts, grades, scores = (StoredStage(KEYS[kind], METHOD, n) for kind in READ)
    budgets = [2**power for power in range(n.bit_length()) if 2**power <= n]
    node = SelectNode(
        problems=Problems("made-up", problems, ()),
        method_id=METHOD,
        n=n,
        rollouts=rollouts,
        grades=grades,
        scores=scores,
        settings=SelectSettings(budgets, BY_DEFAULT, True, 0),
    )
    stage = Store(root.with_name(f"{root.name}-select")).stage(node.key)
    with Grader(MATH, GradingConfig()).judge() as judge:
        node.make_now(ShardContext(stage, store.stage, judge, lambda: None), Extent(node.problems.units, 0, n))
    shutil.rmtree(stage.folder)
