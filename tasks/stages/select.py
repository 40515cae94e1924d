"""The select stage: groups of equal answers; the chosen answer and expected accuracy of every selector and budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.schemas import SCHEMAS
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.analysis.estimators import SUBSETS, Estimate, estimates
from overthink.tasks.analysis.intervals import KIND, mean_interval
from overthink.tasks.analysis.selectors import (
    Candidates,
    SelectorName,
    choose,
    needs_prm,
    selector_of,
    signal_of,
)
from overthink.tasks.analysis.signals import OF_TESTS, SIGNAL_NAMES, SignalName
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.graded import Graded, Pool, SignalSource, in_batches, join_all, read_graded
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.known_signals import KnownSignals
from overthink.tasks.stages.node import Input, PlainNode

Row = dict[str, Any]
NOTHING_CHOSEN = Estimate(0.0, 0.0, "exact")


@dataclass(frozen=True)
class SelectSettings:
    """The selectors, and the budgets n: each selector chooses among the first n rollouts.

    `independent` means that any n rollouts, not only the first n, represent a budget of n; `seed` draws the subsets
    where there are too many.
    """

    budgets: Sequence[int]
    selectors: Sequence[SelectorName]
    independent: bool
    seed: int

    @property
    def signals(self) -> tuple[SignalName, ...]:
        """What the selectors read of the table of rollouts."""
        read = dict.fromkeys(signal_of(selector) for selector in self.selectors)
        return tuple(one for one in SIGNAL_NAMES if one in read and one not in ("prm", *OF_TESTS))


@dataclass(frozen=True, eq=False, kw_only=True)
class ChoiceNode(PlainNode):
    """Base of the stages that choose answers: they group equal answers, and hold all problems in one part."""

    kind: ClassVar[StageKind] = StageKind.SELECT
    tables: ClassVar[tuple[str, ...]] = ("groups", "selections", "estimates")

    @property
    def samples(self) -> None:
        """None: it holds choices among the rollouts of other stages."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SelectNode(ChoiceNode):
    """The selectors' choices among graded and, with a PRM, scored rollouts, and the expected accuracy.

    Selectors whose signal not all rollouts with an answer have are left out.
    """

    rollouts: Input
    grades: Input
    scores: Input | None
    settings: SelectSettings

    @property
    def identity(self) -> JsonObject:
        """The rollouts, the settings and the grader."""
        settings = self.settings
        return stage_identity(
            self.kind,
            grades=self.grades.key,
            scores=None if self.scores is None else self.scores.key,
            problems=self.problems.key,
            n=self.n,
            budgets=settings.budgets,
            selectors=settings.selectors,
            independent=settings.independent,
            monte_carlo={"subsets": SUBSETS, "all_where_few": True, "seed": settings.seed},
            intervals=KIND,
            **own_code("selection"),
            **plugin_identities("selectors", settings.selectors),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """Answers, scores where there are any, and the rollouts where a selector reads more of them."""
        scores = () if self.scores is None else ((self.scores, "scores"),)
        rollouts = ((self.rollouts, "rollouts"),) if self.settings.signals else ()
        return ((self.grades, "answers"), *scores, *rollouts)

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Choose for all problems of the run, some at a time, so that only their rollouts are in memory."""
        settings = self.settings if self.scores is not None else without_prm(self.settings)
        known, by_key = KnownSignals(settings.selectors), self.problems.by_key
        groups, chosen = [], []
        for some in in_batches(extent):
            pools = join_all(self._graded(context, some), context.judge)
            rows: list[Row] = []
            for unit, pool in pools.items():
                known.add(pool.all)
                rows += choices(by_key[unit], pool, settings)
                context.on_problem(unit)
            groups.append(rows_table("groups", groups_of(by_key, pools)))
            chosen.append(rows_table("selections", rows))
        settings = without_unknown(settings, known)
        ordered = in_order(pa.concat_tables(chosen), settings)
        return {
            "groups": pa.concat_tables(groups),
            "selections": pa.concat_tables(ordered),
            "estimates": rows_table("estimates", estimate_rows(ordered)),
        }

    def _graded(self, context: ShardContext, extent: Extent) -> dict[str, Graded]:
        scores = None if self.scores is None else context.stage_of(self.scores.key)
        wanted = self.settings.signals
        signals = SignalSource(context.stage_of(self.rollouts.key), wanted) if wanted else None
        return read_graded(context.stage_of(self.grades.key), scores, extent, signals)


def without_prm(settings: SelectSettings) -> SelectSettings:
    """The settings without the selectors that need scores."""
    return replace(settings, selectors=[selector for selector in settings.selectors if not needs_prm(selector)])


def without_unknown(settings: SelectSettings, known: KnownSignals) -> SelectSettings:
    """The settings without the selectors whose signal is unknown of any answer; `report` says which and why.

    A choice among the rollouts that have it, such as those drawn since an engine keeps it, would be one of fewer than
    n, and its accuracy at a small n that of sets without any.
    """
    unknown = known.unknown
    return replace(settings, selectors=[one for one in settings.selectors if signal_of(one) not in unknown])


def in_order(chosen: pa.Table, settings: SelectSettings) -> list[pa.Table]:
    """The choices of each selector at each budget, in the order of both; without those of other selectors."""
    tables = []
    for selector in settings.selectors:
        of_selector = chosen.filter(pc.equal(chosen["selector"], selector))
        tables += [of_selector.filter(pc.equal(of_selector["n"], n)) for n in settings.budgets]
    return [SCHEMAS["selections"].empty_table(), *tables]


def groups_of(problems: Mapping[str, Problem], pools: Mapping[str, Pool]) -> list[Row]:
    """Which answers count as equal: a row for each rollout with an answer."""
    return [
        {
            "problem_key": unit,
            "problem_id": problems[unit].problem_id,
            "rollout_id": rollout.rollout_id,
            "sample_index": rollout.sample_index,
            "answer_group": group,
        }
        for unit, pool in pools.items()
        for rollout, group in zip(pool.rollouts, pool.groups, strict=True)
        if group is not None
    ]


def choices(problem: Problem, pool: Pool, settings: SelectSettings) -> list[Row]:
    """Each selector's choice among one problem's first n rollouts, for each budget n, and the expected accuracy."""
    expected: dict[tuple[SelectorName, int], Estimate] = {}
    if problem.reference is not None:
        expected = _expected(pool.all, settings)
    return [
        selection(problem, pool, selector, n, expected.get((selector, n)))
        for selector in settings.selectors
        for n in settings.budgets
        if selector_of(selector).serves_subsets or n == max(settings.budgets)
    ]


def _expected(rollouts: Candidates, settings: SelectSettings) -> dict[tuple[SelectorName, int], Estimate]:
    selectors, seed = settings.selectors, settings.seed
    if settings.independent:
        return estimates(selectors, rollouts, settings.budgets, seed)
    # Of dependent rollouts only the first n (or fewer, if fewer exist) represent n; no rollouts give no answer.
    found: dict[tuple[SelectorName, int], Estimate] = {}
    for n in settings.budgets:
        pool = rollouts.first(n)
        together = estimates(selectors, pool, [pool.count], seed) if pool.count else {}
        found |= {(one, n): together.get((one, pool.count), NOTHING_CHOSEN) for one in selectors}
    return found


def selection(problem: Problem, pool: Pool, selector: SelectorName, n: int, expected: Estimate | None) -> Row:
    """A selector's choice among the first n rollouts; `expected` is None where there is no reference.

    The answer is that of the chosen rollout; for a group, that of the first rollout in it.
    """
    chosen = choose(selector, pool.all.first(n))
    unanswered = None if problem.reference is None else False
    return {
        "problem_id": problem.problem_id,
        "n": n,
        "selector": selector,
        "answer": None if chosen is None else pool.rollouts[chosen].answer,
        "correct": unanswered if chosen is None else pool.rollouts[chosen].correct,
        **({} if expected is None else estimate_columns(expected)),
    }


def estimate_columns(expected: Estimate) -> Row:
    """An estimate as columns of a table."""
    return {
        "accuracy": expected.accuracy,
        "accuracy_low": expected.low,
        "accuracy_high": expected.high,
        "unknown": expected.unknown,
        "estimator": expected.estimator,
    }


def estimate_rows(choices_of_each: Iterable[pa.Table]) -> list[Row]:
    """The accuracy over the problems of each selector and budget; none where no problem has a reference."""
    return [found for group in choices_of_each for found in over_problems(group.to_pylist())]


def over_problems(rows: Sequence[Row]) -> list[Row]:
    """The accuracy over the problems of one selector and budget, as a row; none where no problem has a reference.

    The accuracy is the mean over the problems with a known verdict, None if none has one; the bounds are over all.
    """
    judged = [row for row in rows if row.get("accuracy_low") is not None]
    if not judged:
        return []
    known = np.array([row["accuracy"] for row in judged if row["accuracy"] is not None])
    low, high = mean_interval(known) or (None, None)
    return [
        {
            "selector": judged[0]["selector"],
            "n": judged[0]["n"],
            "problems": len(judged),
            "accuracy": float(known.mean()) if len(known) else None,
            **{name: _mean(judged, name) for name in ("accuracy_low", "accuracy_high", "unknown")},
            "ci_low": low,
            "ci_high": high,
            "reads_prm": needs_prm(judged[0]["selector"]),
            "estimator": "monte_carlo" if "monte_carlo" in [row["estimator"] for row in judged] else "exact",
        }
    ]


def _mean(rows: Sequence[Row], column: str) -> float:
    return float(np.mean([row[column] for row in rows]))
