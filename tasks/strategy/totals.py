"""The gain from allocating a total of tokens over problems instead of giving each the same budget; held out."""

from dataclasses import dataclass

import numpy as np

from overthink.tasks.analysis.difficulty import Difficulty, DifficultyConfig, fit_predictor
from overthink.tasks.analysis.selectors import Floats, Integers
from overthink.tasks.strategy.allocation import allocate
from overthink.tasks.strategy.fit_strategy import (
    Followed,
    Observations,
    Option,
    Rule,
    Validation,
    gathered,
    learn,
    turns,
)


@dataclass(frozen=True)
class Shared:
    """The total tokens of a uniform budget, allocated in two other ways.

    `uniform` is the best fixed option at that budget, chosen in hindsight. `shared` uses the pilots' predictions;
    `foreseen` by each problem's actual accuracy and tokens at each budget, which bounds every allocation of the same
    choices.
    """

    budget: int
    uniform: Option
    shared: Followed
    foreseen: Followed


@dataclass(frozen=True)
class _Fold:
    """The scored problems of a fold, with the rule that the other fold's problems fitted."""

    observations: Observations
    bins: DifficultyConfig
    rule: Rule
    scored: Integers
    choosing: Integers

    def difficulties(self, problems: Integers) -> list[Difficulty]:
        chances = self.rule.predictor.pass_at_1(self.observations.features[problems])
        return [self.bins.of(chance) for chance in chances.tolist()]

    def real(self) -> tuple[Floats, Floats]:
        """Actual accuracies and tokens at each budget, both (problems, budgets)."""
        difficulties = self.difficulties(self.scored)
        options = [[self.rule.after_pilot(budget, one) for budget in self.observations.budgets] for one in difficulties]
        pairs = list(zip(options, self.scored.tolist(), strict=True))
        return (
            np.array([[option.accuracy[problem] for option in row] for row, problem in pairs]),
            np.array([[option.tokens[problem] for option in row] for row, problem in pairs]),
        )

    def promised(self) -> tuple[Floats, Floats]:
        """Predicted accuracies and tokens at each budget, both (problems, budgets), as in a strategy's `prospects`."""
        known = self.difficulties(self.choosing)
        pilots = self.observations.pilot_tokens
        values, costs = [], []
        for budget in self.observations.budgets:
            followed = [
                self.rule.after_pilot(budget, difficulty).accuracy[problem]
                for difficulty, problem in zip(known, self.choosing.tolist(), strict=True)
            ]
            predictor = fit_predictor(self.observations.features[self.choosing], np.array(followed))
            values.append(predictor.pass_at_1(self.observations.features[self.scored]))
            picked = [self.rule.picked[budget, difficulty] for difficulty in self.difficulties(self.scored)]
            shares = [one.option.tokens[one.members].mean() / pilots[one.members].mean() for one in picked]
            costs.append(np.array(shares) * pilots[self.scored])
        return np.column_stack(values), np.column_stack(costs)

    def taken(self, numbers: Integers) -> dict[int, Option]:
        """Each problem's option, by the index of its budget."""
        budgets = [self.observations.budgets[number] for number in numbers.tolist()]
        options = map(self.rule.after_pilot, budgets, self.difficulties(self.scored))
        return dict(zip(self.scored.tolist(), options, strict=True))


def share_out(observations: Observations, validation: Validation, bins: DifficultyConfig) -> list[Shared]:
    """The accuracy from allocating each budget's total tokens, except the smallest budget's, which cannot be divided.

    A budget is left out where its total does not pay for the pilots and the cheapest options.
    """
    folds = [
        _Fold(observations, bins, learn(observations, bins, choosing), scored, choosing)
        for scored, choosing in turns(validation.folds)
    ]
    found = [_shared(observations, folds, budget) for budget in observations.budgets[1:]]
    return [one for one in found if one is not None]


def _shared(observations: Observations, folds: list[_Fold], budget: int) -> Shared | None:
    fixed = [option for option in observations.fixed if option.budget == budget]
    uniform = max(fixed, key=lambda option: float(option.accuracy.mean()))
    shared: dict[int, Option] = {}
    foreseen: dict[int, Option] = {}
    for fold in folds:
        total = float(uniform.tokens[fold.scored].sum())
        for taken, (values, costs) in ((shared, fold.promised()), (foreseen, fold.real())):
            if costs.min(axis=1).sum() > total:
                return None
            taken.update(fold.taken(allocate(values, costs, total)))
    return Shared(budget, uniform, gathered(shared), gathered(foreseen))
