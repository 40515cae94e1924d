"""Selectors: how one answer is chosen among a problem's rollouts, by the scores and votes of Liu et al. 2025."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from overthink.tasks.plugins import plugins

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

Aggregation = Literal["min", "last", "mean", "prod"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
BY_STRATEGY = "strategy"  # in tables: the selector that a strategy chose for each problem


def aggregate(scores: Sequence[float], aggregation: Aggregation) -> float:
    """One number in [0, 1] for a rollout's step scores; NaN for a rollout without steps."""
    if not scores:
        return float("nan")
    values = np.asarray(scores, dtype=np.float64)
    match aggregation:
        case "min":
            return float(values.min())
        case "last":
            return float(values[-1])
        case "mean":
            return float(values.mean())
        case "prod":
            return float(values.prod())


@dataclass(frozen=True)
class Candidates:
    """One problem's N rollouts in the order of their sample index.

    `groups` (N,) numbers the groups of equal answers, -1: none; `correct` (N,) marks the right ones, `unknown` (N,) the
    answers without a verdict, and no rollout is marked by both; `scores` maps each aggregation to (N,) numbers in
    [0, 1], NaN where unknown; `steps` holds the scores that these are made of, one a step, None where no PRM gave any.
    """

    groups: Integers
    correct: Booleans
    unknown: Booleans
    scores: Mapping[Aggregation, Floats]
    steps: Sequence[Sequence[float]] | None = None

    @property
    def count(self) -> int:
        """N."""
        return len(self.groups)

    def first(self, n: int) -> "Candidates":
        """The first n of them."""
        return self.at(np.arange(min(n, self.count)))

    def at(self, indices: Integers) -> "Candidates":
        """Those at `indices`, (any,)."""
        scores = {name: values[indices] for name, values in self.scores.items()}
        steps = None if self.steps is None else [self.steps[index] for index in indices]
        return Candidates(self.groups[indices], self.correct[indices], self.unknown[indices], scores, steps)


def candidates(
    answer_groups: Sequence[str | None], correct: Sequence[bool | None], step_scores: Sequence[Sequence[float]] | None
) -> Candidates:
    """Arrays of one problem's rollouts.

    `answer_groups` names the groups of equal answers, None: none; `correct` is None where unknown; `step_scores` is
    None where no PRM scored them.
    """
    numbers: dict[str, int] = {}
    groups = [-1 if group is None else numbers.setdefault(group, len(numbers)) for group in answer_groups]
    scores: dict[Aggregation, Floats] = {}
    if step_scores is not None:
        scores = {name: np.array([aggregate(row, name) for row in step_scores]) for name in AGGREGATIONS}
    right = np.array([verdict is True for verdict in correct], dtype=np.bool_)
    unknown = np.array(
        [verdict is None and group >= 0 for verdict, group in zip(correct, groups, strict=True)], dtype=np.bool_
    )
    return Candidates(np.array(groups, dtype=np.int64), right, unknown, scores, step_scores)


Value = Callable[[Candidates], Floats]  # (N,) each rollout's value for the choice, NaN where unknown
Pick = Callable[[Candidates, Floats], int | None]  # the rollout that those values choose, None where all are NaN


def one_each(rollouts: Candidates) -> Floats:
    """A vote of 1 for each rollout."""
    return np.ones(rollouts.count)


def best(_: Candidates, values: Floats) -> int | None:
    """The rollout of the highest value; ties go to the first."""
    eligible = np.flatnonzero(~np.isnan(values))
    return int(eligible[np.argmax(values[eligible])]) if len(eligible) else None


def vote(rollouts: Candidates, values: Floats) -> int | None:
    """The first rollout of the group with the highest sum; of groups that tie, the one first encountered."""
    eligible = np.flatnonzero(~np.isnan(values))
    if not len(eligible):
        return None
    totals = np.bincount(rollouts.groups[eligible], weights=values[eligible])
    present, first = np.unique(rollouts.groups[eligible], return_index=True)
    leading = present[totals[present] == totals[present].max()]
    return int(eligible[min(first[np.isin(present, leading)])])


def any_right(rollouts: Candidates, values: Floats) -> int | None:
    """A right rollout where there is one, else one of unknown verdict, else the first with an answer."""
    eligible = np.flatnonzero(~np.isnan(values))
    promise = 2 * rollouts.correct[eligible] + rollouts.unknown[eligible]
    return int(eligible[np.argmax(promise)]) if len(eligible) else None


@dataclass(frozen=True)
class Selector:
    """How one answer is chosen: `value` maps each rollout to a number, `pick` chooses a rollout by these numbers.

    `signal` is what `value` reads, None for answers alone. Where `serves_subsets`, the stored N rollouts determine the
    choice among any n of them, and so the accuracy at every budget; otherwise the choice is made only among all N.
    Raise `version` whenever the choices change.
    """

    name: str
    pick: Pick
    value: Value = one_each
    signal: Literal["prm"] | None = None
    serves_subsets: bool = True
    version: int = 1


def by_scores(aggregation: Aggregation, pick: Pick) -> Selector:
    """A choice by the PRM's scores, those of a rollout's steps aggregated."""
    kind = "max" if pick is best else "vote"
    return Selector(f"prm_{aggregation}_{kind}", pick, lambda rollouts: rollouts.scores[aggregation], signal="prm")


MAJORITY = Selector("majority", vote)
ORACLE = Selector("oracle", any_right)
BEST_BY: Mapping[Aggregation, Selector] = {one: by_scores(one, best) for one in AGGREGATIONS}
VOTE_BY: Mapping[Aggregation, Selector] = {one: by_scores(one, vote) for one in AGGREGATIONS}
# By name, as recipes and tables list them.
SELECTORS: Mapping[str, Selector] = {one.name: one for one in (MAJORITY, *BEST_BY.values(), *VOTE_BY.values(), ORACLE)}


def selector_of(name: str) -> Selector:
    """The selector of this name, built in or of an installed package.

    Raises ValueError with the known names, and UserError where the package that defines it is broken.
    """
    installed = plugins("selectors", SELECTORS)
    if name in installed:
        plugin: Selector = installed[name].load_as(Selector)
        return plugin
    if name not in SELECTORS:
        raise ValueError(f"there is no selector {name!r}: name one of {', '.join((*SELECTORS, *installed))}")
    return SELECTORS[name]


class _Named:
    """Makes pydantic accept only names of selectors, and forms offer them as choices."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        names = dict.fromkeys((*SELECTORS, *plugins("selectors", SELECTORS)))
        return core_schema.no_info_after_validator_function(_loaded, core_schema.literal_schema([*names]))


def _loaded(name: str) -> str:
    selector_of(name)
    return name


SelectorName = Annotated[str, _Named]


def places(names: Iterable[str]) -> dict[str, int]:
    """The order of selectors in tables: from majority to oracle, then a strategy's choice, then those of plug-ins."""
    listed = dict.fromkeys((*SELECTORS, BY_STRATEGY, *names))
    return {name: place for place, name in enumerate(listed)}


def needs_prm(name: str) -> bool:
    """Whether a selector reads step scores."""
    return name != BY_STRATEGY and selector_of(name).signal == "prm"


def weights(name: str, rollouts: Candidates) -> Floats:
    """Each rollout's value for a selector's choice, (N,): a vote of 1, or its score; NaN where it does not count.

    A rollout without an answer, or without a score that the selector needs, does not count.
    """
    return np.where(rollouts.groups < 0, np.nan, selector_of(name).value(rollouts))


def choose(name: str, rollouts: Candidates) -> int | None:
    """The index of a rollout that holds the answer that a selector chooses, or None where no rollout counts."""
    return selector_of(name).pick(rollouts, weights(name, rollouts))
