"""Selectors: how one answer is chosen among a problem's rollouts, by votes, PRM scores or what sampling tells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from overthink.tasks.analysis.aggregation import AGGREGATIONS, Aggregation, aggregate
from overthink.tasks.analysis.ballots import Ballot, as_valued, borda, first_three, top
from overthink.tasks.analysis.signals import CLASS_NAMES, SIGNAL_NAMES, ClassName, SignalName
from overthink.tasks.closest import which
from overthink.tasks.plugins import plugins

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

BY_STRATEGY = "strategy"  # in tables: the selector that a strategy chose for each problem


@dataclass(frozen=True)
class Candidates:
    """One problem's N rollouts in the order of their sample index.

    `groups` (N,) numbers the groups of equal answers, -1: none; `correct` (N,) marks the right ones, `unknown` (N,) the
    answers without a verdict, and no rollout is marked by both; `scores` maps each aggregation to (N,) numbers in
    [0, 1], NaN where unknown; `steps` holds the scores that these are made of, one a step, None where no PRM gave any.
    `signals` maps what else is known of them to (N,) numbers, NaN where unknown; `classes` maps what puts programs
    together to (N,) numbers of classes, -1: none.
    """

    groups: Integers
    correct: Booleans
    unknown: Booleans
    scores: Mapping[Aggregation, Floats]
    steps: Sequence[Sequence[float]] | None = None
    signals: Mapping[SignalName, Floats] = field(default_factory=dict)
    classes: Mapping[ClassName, Integers] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """N."""
        return len(self.groups)

    def signal(self, name: SignalName) -> Floats:
        """The numbers of a signal, (N,), NaN where unknown."""
        return self.signals.get(name, np.full(self.count, np.nan))

    def class_of(self, name: ClassName) -> Integers:
        """The numbers of their classes, (N,), -1: none."""
        return self.classes.get(name, np.full(self.count, -1))

    def joined_by(self, name: ClassName | None) -> "Candidates":
        """The same with the rollouts of a class as one group; those of none stay with equal answers."""
        if name is None:
            return self
        classes = self.class_of(name)
        others = self.groups + classes.max(initial=-1) + 1
        return replace(self, groups=np.where(self.groups < 0, -1, np.where(classes < 0, others, classes)))

    def first(self, n: int) -> "Candidates":
        """The first n of them."""
        return self.at(np.arange(min(n, self.count)))

    def at(self, indices: Integers) -> "Candidates":
        """Those at `indices`, (any,)."""
        scores = {name: values[indices] for name, values in self.scores.items()}
        steps = None if self.steps is None else [self.steps[index] for index in indices]
        signals = {name: values[indices] for name, values in self.signals.items()}
        classes = {name: values[indices] for name, values in self.classes.items()}
        return Candidates(
            self.groups[indices], self.correct[indices], self.unknown[indices], scores, steps, signals, classes
        )


def candidates(
    answer_groups: Sequence[str | None],
    correct: Sequence[bool | None],
    step_scores: Sequence[Sequence[float]] | None,
    signals: Mapping[SignalName, Sequence[float | None]] | None = None,
    classes: Mapping[ClassName, Sequence[str | None]] | None = None,
) -> Candidates:
    """Arrays of one problem's rollouts.

    `answer_groups` names the groups of equal answers, None: none; `correct` is None where unknown; `step_scores` is
    None where no PRM scored them; `signals` are in the order of the rollouts, None where unknown, and so are the names
    of their `classes`, None where they belong to none.
    """
    groups = _numbered(answer_groups)
    scores: dict[Aggregation, Floats] = {}
    if step_scores is not None:
        scores = {name: np.array([aggregate(row, name) for row in step_scores]) for name in AGGREGATIONS}
    right = np.array([verdict is True for verdict in correct], dtype=np.bool_)
    unknown = np.array([verdict is None for verdict in correct], dtype=np.bool_) & (groups >= 0)
    known = {name: np.array(values, dtype=np.float64) for name, values in (signals or {}).items()}
    together = {name: _numbered(values) for name, values in (classes or {}).items()}
    return Candidates(groups, right, unknown, scores, step_scores, known, together)


def _numbered(names: Sequence[str | None]) -> Integers:
    """(N,) a number for each name in order of first sight, -1 for None."""
    numbers: dict[str, int] = {}
    found = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(found, dtype=np.int64)


Value = Callable[[Candidates], Floats]  # (N,) each rollout's value for the choice, NaN where unknown
Pick = Callable[[Candidates, Floats], int | None]  # the rollout that those votes choose, None where all are NaN


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

    `signal` is what `value` reads, None for answers alone; `ballot` makes a rollout's vote of its value and of those of
    the others chosen from. `joined_by` names the classes whose rollouts vote together, as groups of equal answers do
    where it is None. Where `serves_subsets`, the stored N rollouts determine the choice among any n of them, and
    so the accuracy at every budget; otherwise the choice is made only among all N. Raise `version` whenever the choices
    change. Raises ValueError for a signal or classes that are none.
    """

    name: str
    pick: Pick
    value: Value = one_each
    signal: SignalName | None = None
    serves_subsets: bool = True
    version: int = 1
    ballot: Ballot = as_valued
    joined_by: ClassName | None = None

    def __post_init__(self) -> None:
        if self.signal is not None and self.signal not in SIGNAL_NAMES:
            raise ValueError(f"there is no signal {self.signal!r}: name one of {', '.join(SIGNAL_NAMES)}")
        if self.joined_by is not None and self.joined_by not in CLASS_NAMES:
            raise ValueError(f"there are no classes {self.joined_by!r}: name one of {', '.join(CLASS_NAMES)}")


def by_scores(aggregation: Aggregation, pick: Pick) -> Selector:
    """A choice by the PRM's scores, those of a rollout's steps aggregated."""
    kind = "max" if pick is best else "vote"
    return Selector(f"prm_{aggregation}_{kind}", pick, lambda rollouts: rollouts.scores[aggregation], signal="prm")


def reading(signal: SignalName) -> Value:
    """A signal as it is."""
    return lambda rollouts: rollouts.signal(signal)


def token_probability(rollouts: Candidates) -> Floats:
    """The geometric mean of the tokens' probabilities, in (0, 1]: a sum of logarithms would be against many votes."""
    return np.exp(rollouts.signal("logprob_mean"))


def brevity(rollouts: Candidates) -> Floats:
    """The negative number of tokens written."""
    return -rollouts.signal("completion_tokens")


def by_confidence(name: str, signal: SignalName) -> tuple[Selector, ...]:
    """The choices of DeepConf by one kind of confidence: the best, and votes of all or of the top percent."""
    value = reading(signal)
    filtered = (Selector(f"{name}_top{one}_vote", vote, value, signal, ballot=top(one)) for one in (10, 90))
    return (Selector(f"{name}_max", best, value, signal), Selector(f"{name}_vote", vote, value, signal), *filtered)


def weighing(signal: SignalName, unknown: float, power: float = 1.0) -> Value:
    """A power of what tests say; `unknown` for a rollout of which they say nothing, so that one is chosen anyway."""
    return lambda rollouts: np.nan_to_num(rollouts.signal(signal), nan=unknown) ** power


MAJORITY = Selector("majority", vote)
ORACLE = Selector("oracle", any_right)
BEST_BY: Mapping[Aggregation, Selector] = {one: by_scores(one, best) for one in AGGREGATIONS}
VOTE_BY: Mapping[Aggregation, Selector] = {one: by_scores(one, vote) for one in AGGREGATIONS}
WITHOUT_PRM = (
    Selector("logprob_mean_max", best, reading("logprob_mean"), "logprob_mean"),
    Selector("logprob_mean_vote", vote, token_probability, "logprob_mean"),
    Selector("self_certainty_max", best, reading("self_certainty"), "self_certainty"),
    Selector("self_certainty_borda", vote, reading("self_certainty"), "self_certainty", ballot=borda(0.5)),
    *by_confidence("deepconf_mean", "confidence_mean"),
    *by_confidence("deepconf_tail", "confidence_tail"),
    *by_confidence("deepconf_bottom", "confidence_bottom"),
    *by_confidence("deepconf_lowest", "confidence_lowest"),
    Selector("shortest", best, brevity, "completion_tokens"),
    Selector("shortest_vote", vote, brevity, "completion_tokens", ballot=first_three),
)
# Of programs. The score of CodeT, sqrt(programs) * tests, rises with its square, the sum of the programs' tests^2.
BY_TESTS = (
    Selector("tests_max", best, weighing("tests_passed", unknown=-1), "tests_passed"),
    Selector("tests_vote", vote, weighing("tests_passed", unknown=0), "tests_passed", joined_by="behaviour"),
    Selector("behaviour_vote", vote, joined_by="behaviour"),
    Selector("codet", vote, weighing("generated_passed", 0, power=2), "generated_passed", joined_by="agreement"),
)
# By name, as recipes and tables list them.
SELECTORS: Mapping[str, Selector] = {
    one.name: one for one in (MAJORITY, *BEST_BY.values(), *VOTE_BY.values(), *WITHOUT_PRM, *BY_TESTS, ORACLE)
}
# Those of a recipe that lists none, where they apply: they read answers, step scores and, of programs, what tests say.
BY_DEFAULT: tuple[str, ...] = tuple(name for name, one in SELECTORS.items() if one not in WITHOUT_PRM)


def selector_of(name: str) -> Selector:
    """The selector of this name, built in or of an installed package.

    Raises ValueError with the known names, and UserError where the package that defines it is broken.
    """
    installed = plugins("selectors", SELECTORS)
    if name in installed:
        plugin: Selector = installed[name].load_as(Selector)
        return plugin
    if name not in SELECTORS:
        raise ValueError(f"there is no selector {name!r}: {which(name, (*SELECTORS, *installed))}")
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


def signal_of(name: str) -> SignalName | ClassName | None:
    """What a selector cannot do without: its signal, else the classes that it joins by; None for answers alone."""
    selector = selector_of(name)
    return selector.signal or selector.joined_by


def values_of(name: str, rollouts: Candidates) -> Floats:
    """Each rollout's value for a selector's choice, (N,): 1, or what its signal says; NaN where it does not count.

    A rollout without an answer, or without a number that the selector needs, does not count.
    """
    return np.where(rollouts.groups < 0, np.nan, selector_of(name).value(rollouts))


def choose(name: str, rollouts: Candidates) -> int | None:
    """The index of a rollout that holds the answer that a selector chooses, or None where no rollout counts."""
    selector, values = selector_of(name), values_of(name, rollouts)
    return selector.pick(rollouts.joined_by(selector.joined_by), selector.ballot(values[np.newaxis])[0])
