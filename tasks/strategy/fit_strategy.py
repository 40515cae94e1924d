"""Fit a strategy to the results of each budget's options, and evaluate it on held-out problems.

Two folds, as in Snell et al. 2024: one fold fits the predictor of difficulty and chooses the best option for each
difficulty and budget; these are scored on the other fold; then the folds swap. Choices never see the scored fold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from overthink.tasks.analysis.difficulty import DIFFICULTIES, Difficulty, DifficultyConfig, Predictor, fit_predictor
from overthink.tasks.analysis.method_ids import method_name
from overthink.tasks.analysis.selectors import Floats, Integers, SelectorName
from overthink.tasks.strategy.paper_rule import PaperRule

FEWEST = 8  # problems behind a choice; a rarer difficulty gets the choice for all problems
TOLERANCE = 1e-12  # so that a difference of exactly one standard error counts as within one


@dataclass(frozen=True)
class Option:
    """One option at one budget, with its accuracy and costs on each problem, each (problems,).

    `accuracy` is in [0, 1]; `tokens` are all its completion tokens, `flops` all those of policy and PRM; NaN where
    unknown.
    """

    budget: int
    method_id: str
    selector: SelectorName
    accuracy: Floats
    tokens: Floats
    flops: Floats

    @property
    def method(self) -> str:
        """The method without its parameters."""
        return method_name(self.method_id)


@dataclass(frozen=True)
class KnownDifficulty:
    """One budget's options, and `pass_at_1` (problems,) from rollouts that score none of them."""

    pass_at_1: Floats
    options: Sequence[Option]
    fixed: Sequence[Option]


@dataclass(frozen=True)
class Observations:
    """The data that a strategy is fitted to, over one set of problems.

    `features` (problems, FEATURES) and `pilot_tokens` (problems,) are of the pilots, `pass_at_1` (problems,) is that of
    the graded rollouts. `options` continue after the pilot, `fixed` options have none; `any_right` is pass@n by budget.
    `known` has the budgets that leave spare rollouts to measure the difficulty.
    """

    features: Floats
    pilot_tokens: Floats
    pass_at_1: Floats
    options: Sequence[Option]
    fixed: Sequence[Option]
    any_right: Mapping[int, Option]
    known: Mapping[int, KnownDifficulty] = field(default_factory=dict)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets of the options, in ascending order."""
        return tuple(sorted({option.budget for option in self.options}))


@dataclass(frozen=True)
class Picked:
    """An option and the problems it was chosen on."""

    option: Option
    members: Integers


@dataclass(frozen=True)
class Rule:
    """A rule fitted to some problems: a predictor of pass@1, and an option for each budget and difficulty.

    `without_pilot` holds one option for all problems, at the budgets where choosing by difficulty is not worth a pilot.
    """

    predictor: Predictor
    picked: Mapping[tuple[int, Difficulty], Picked]
    without_pilot: Mapping[int, Option]

    def after_pilot(self, budget: int, difficulty: Difficulty) -> Option:
        """The option for a problem that has a pilot."""
        return self.picked[budget, difficulty].option

    def best(self, budget: int, difficulty: Difficulty) -> Option:
        """The option for a problem before any pilot."""
        return self.without_pilot.get(budget) or self.after_pilot(budget, difficulty)


class Followed(NamedTuple):
    """The results of a rule on problems it was not fitted to, each (problems,)."""

    accuracy: Floats
    tokens: Floats
    flops: Floats


@dataclass(frozen=True)
class Validation:
    """The held-out results of both folds: each fold is scored by the rule of the other.

    `predicted` (problems,) is the pass@1 by the other fold's predictor. By budget: `strategy` uses the predicted
    difficulties, `known_bins` the known ones, where they are known; `after_pilot` is the strategy where every problem
    has a pilot, as under a total.
    """

    folds: tuple[Integers, Integers]
    predicted: Floats
    strategy: Mapping[int, Followed]
    known_bins: Mapping[int, Followed]
    after_pilot: Mapping[int, Followed]


def folds_of(count: int, seed: int) -> tuple[Integers, Integers]:
    """The numbers below `count` in two random halves, each ascending. Raises ValueError for fewer than 2 * FEWEST."""
    if count < 2 * FEWEST:
        raise ValueError(f"{count} problems are too few for two folds: take {2 * FEWEST} at least")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


def pick(options: Sequence[Option], members: Integers) -> Option:
    """The cheapest of the options within one standard error of the best on the problems `members`.

    The error is that of the paired difference from the best. Ties in cost go to the most accurate option, then to the
    first. The cost is in FLOPs, or in completion tokens where any option's FLOPs are unknown.
    """
    accuracies = np.array([option.accuracy[members] for option in options])
    means = accuracies.mean(axis=1)
    behind = accuracies[means.argmax()] - accuracies
    errors = behind.std(axis=1, ddof=1) / np.sqrt(len(members))
    costs = np.array([option.flops[members].mean() for option in options])
    if np.isnan(costs).any():
        costs = np.array([option.tokens[members].mean() for option in options])
    near: list[int] = np.flatnonzero(behind.mean(axis=1) <= errors + TOLERANCE).tolist()
    return options[min(near, key=lambda number: (costs[number], -means[number]))]


def learn(observations: Observations, bins: DifficultyConfig, members: Integers, by_known: bool = False) -> Rule:
    """Fit a rule to the problems `members`, by their predicted difficulty or, with `by_known`, by their known pass@1.

    Choosing by difficulty competes with the fixed options under the same rule, `pick`.
    """
    predictor = fit_predictor(observations.features[members], observations.pass_at_1[members])
    chances = observations.pass_at_1[members] if by_known else predictor.pass_at_1(observations.features[members])
    difficulties = [bins.of(chance) for chance in chances.tolist()]
    picked: dict[tuple[int, Difficulty], Picked] = {}
    without_pilot: dict[int, Option] = {}
    for budget in observations.budgets:
        options = [option for option in observations.options if option.budget == budget]
        for difficulty in DIFFICULTIES:
            alike = members[np.array(difficulties) == difficulty]
            basis = alike if len(alike) >= FEWEST else members
            picked[budget, difficulty] = Picked(pick(options, basis), basis)
        chosen = [picked[budget, difficulty].option for difficulty in difficulties]
        best = _unless_choosing_pays(observations, budget, members, chosen)
        if best is not None:
            without_pilot[budget] = best
    return Rule(predictor, picked, without_pilot)


def _unless_choosing_pays(
    observations: Observations, budget: int, members: Integers, chosen: Sequence[Option]
) -> Option | None:
    """The fixed option that is preferable to the options `chosen` for the problems; None where there is none."""
    followed = np.full((3, len(observations.pass_at_1)), np.nan)
    followed[:, members] = gathered(dict(zip(members.tolist(), chosen, strict=True)))
    choosing = Option(budget, "by difficulty", "majority", *followed)
    fixed = [option for option in observations.fixed if option.budget == budget]
    best = pick([choosing, *fixed], members)
    return None if best is choosing else best


def cross_validate(observations: Observations, bins: DifficultyConfig, seed: int) -> Validation:
    """Score each fold by the rule fitted to the other. Raises ValueError for too few problems."""
    folds = folds_of(len(observations.pass_at_1), seed)
    predicted = np.full(len(observations.pass_at_1), np.nan)
    by_predicted: list[tuple[Integers, Rule]] = []
    for scored, choosing in turns(folds):
        rule = learn(observations, bins, choosing)
        predicted[scored] = rule.predictor.pass_at_1(observations.features[scored])
        by_predicted.append((scored, rule))
    return Validation(
        folds,
        predicted,
        {budget: _followed(by_predicted, predicted, bins, budget, Rule.best) for budget in observations.budgets},
        {budget: _by_known(observations, known, bins, folds, budget) for budget, known in observations.known.items()},
        {budget: _followed(by_predicted, predicted, bins, budget, Rule.after_pilot) for budget in observations.budgets},
    )


def _by_known(
    observations: Observations,
    known: KnownDifficulty,
    bins: DifficultyConfig,
    folds: tuple[Integers, Integers],
    budget: int,
) -> Followed:
    """The results of choosing by known difficulty, fitted to other problems and measured on other rollouts."""
    told = replace(observations, pass_at_1=known.pass_at_1, options=known.options, fixed=known.fixed)
    rules = [(scored, learn(told, bins, choosing, by_known=True)) for scored, choosing in turns(folds)]
    return _followed(rules, known.pass_at_1, bins, budget, Rule.best)


def follow_paper(
    observations: Observations, validation: Validation, rule: PaperRule, bins: DifficultyConfig, budget: int
) -> Followed | None:
    """The rule of Liu et al. 2025 at a budget: known difficulties, no pilot. None where its methods were not all run.

    The rule names no parameters, and rarely a selector: each fold takes those that were best on the other.
    """
    taken: dict[int, Option] = {}
    for scored, choosing in turns(validation.folds):
        best: dict[Difficulty, Option] = {}
        for difficulty, method in rule.methods.items():
            alike = [one for one in observations.fixed if (one.budget, one.method) == (budget, method)]
            alike = [one for one in alike if rule.selector in (None, one.selector)]
            if not alike:
                return None
            best[difficulty] = max(alike, key=lambda one: float(one.accuracy[choosing].mean()))
        taken |= {problem: best[bins.of(observations.pass_at_1[problem])] for problem in scored.tolist()}
    return gathered(taken)


def turns(folds: tuple[Integers, Integers]) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """The two pairs of folds (scored, choosing)."""
    return folds, (folds[1], folds[0])


def _followed(
    rules: Sequence[tuple[Integers, Rule]],
    chances: Floats,
    bins: DifficultyConfig,
    budget: int,
    decide: Callable[[Rule, int, Difficulty], Option],
) -> Followed:
    taken = {
        problem: decide(rule, budget, bins.of(chances[problem]))
        for scored, rule in rules
        for problem in scored.tolist()
    }
    return gathered(taken)


def gathered(taken: Mapping[int, Option]) -> Followed:
    """Each problem's results under its own option."""
    rows = [(option.accuracy[one], option.tokens[one], option.flops[one]) for one, option in sorted(taken.items())]
    return Followed(*np.array(rows, dtype=np.float64).T)
