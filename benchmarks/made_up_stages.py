"""Stages and commands over a made-up run, made anew from its stored grades and scores."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

from benchmarks.made_up import KEYS, METHOD, RUN_ID
from overthink.storage.manifest import Extent
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import BY_DEFAULT, BY_STRATEGY
from overthink.tasks.domains.domain import Judge
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.strategy_file import Strategy
from overthink.tasks.stages.choose import Applied, ChooseNode
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.decide import DecideNode, Decision, Pilot
from overthink.tasks.stages.measure import MeasureRolloutsNode, ThresholdSplit
from overthink.tasks.stages.node import PlainNode, Problems, StoredStage
from overthink.tasks.stages.problem_rows import problem_of
from overthink.tasks.stages.select import SelectNode, SelectSettings

GRADER = Grader(MATH, GradingConfig())
PILOT = 4
BY_MAJORITY = Decision(None, None, PILOT, METHOD, "majority", None, 1.0, None)


class MadeUpRun:
    """The nodes of a made-up run's stages; what they make is written into a store beside the run's."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self._beside = Store(root.with_name(f"{root.name}-again"))
        self.n = max(use.n or 1 for use in self.store.find_run(RUN_ID).stages)
        rows = self.store.stage(KEYS[StageKind.PROBLEMS]).table("problems").to_pylist()
        self.problems = Problems(RUN_ID, tuple(map(problem_of, rows)), ())
        kinds = StageKind.SAMPLE, StageKind.GRADE, StageKind.SCORE
        self._rollouts, self._grades, self._scores = (StoredStage(KEYS[kind], METHOD, self.n) for kind in kinds)

    def select(self) -> SelectNode:
        """The default selectors at every power of two."""
        budgets = [2**power for power in range(self.n.bit_length()) if 2**power <= self.n]
        return SelectNode(
            problems=self.problems,
            method_id=METHOD,
            n=self.n,
            rollouts=self._rollouts,
            grades=self._grades,
            scores=self._scores,
            settings=SelectSettings(budgets, BY_DEFAULT, True, 0),
        )

    def measure(self) -> MeasureRolloutsNode:
        """The PRM's figures over the rollouts."""
        return MeasureRolloutsNode(
            problems=self.problems,
            method_id=METHOD,
            n=self.n,
            rollouts=self._rollouts,
            grades=self._grades,
            scores=self._scores,
            prm="prm",
            split=ThresholdSplit(0.5, 0),
            independent=True,
            labels={},
            label_files=(),
            seed=0,
        )

    def decide(self) -> DecideNode:
        """The same decision for all problems, from pilots of the first rollouts."""
        return DecideNode(
            problems=self.problems,
            method_id=METHOD,
            strategy=cast(Any, Strategy).model_construct(choices=(), expectations=()),  # only its key reads it
            limit={"n": self.n},
            grader=GRADER,
            pilot=self._pilot(),
            decide=lambda features, _: [BY_MAJORITY] * len(features),
        )

    def choose(self) -> ChooseNode:
        """What these decisions choose among all rollouts."""
        applied = Applied(self._pilot(), self.decide(), self._scores, self._grades, self.n)
        return ChooseNode(problems=self.problems, method_id=METHOD, n=self.n, applied=applied, selectors=(BY_STRATEGY,))

    def _pilot(self) -> Pilot:
        return Pilot(self._rollouts, self._scores, self._grades, min(PILOT, self.n))

    def make(self, node: PlainNode, judge: Judge) -> None:
        """Make a stage in one part, with progress to nobody."""
        node.make_now(self.context(node, judge), Extent(self.problems.units, 0, node.n))

    def context(self, node: PlainNode, judge: Judge) -> ShardContext:
        """What a stage is made with."""
        stage = self._beside.stage(node.key)

        def open_stage(key: str) -> Store:
            return self._beside if self._beside.stage(key).entries() else self.store

        return ShardContext(stage, cache(lambda key: open_stage(key).stage(key).as_it_stands()), judge, lambda _: None)

    def forget(self) -> None:
        """Remove what was made."""
        shutil.rmtree(self._beside.root, ignore_errors=True)


Nodes = Callable[[MadeUpRun], list[PlainNode]]


def make_again(root: Path, nodes: Nodes) -> None:
    """Make some stages of the run anew, and remove them."""
    run = MadeUpRun(root)
    try:
        with GRADER.judge() as judge:
            for node in nodes(run):
                run.make(node, judge)
    finally:
        run.forget()


def collect(root: Path) -> None:
    """Read for `overthink fit` what the run found."""
    from overthink.tasks.strategy.outcomes import Collector
    from overthink.tasks.strategy.run_reader import RunReader

    store = Store(root)
    Collector([RunReader(store, store.find_run(RUN_ID))]).collect()


def compare(root: Path) -> None:
    """Compare the run with itself."""
    from overthink.tasks.reporting.compare_runs import compare_runs

    run = Store(root).find_run(RUN_ID)
    compare_runs(Store(root), run, run)
