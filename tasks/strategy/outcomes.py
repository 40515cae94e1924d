"""Collects from finished runs the pilots of their problems and the results of each option."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from overthink.tasks.analysis.difficulty import features_of
from overthink.tasks.analysis.estimators import estimates, estimates_after
from overthink.tasks.analysis.selectors import BY_DEFAULT, Candidates, SelectorName
from overthink.tasks.domains.domain import Judge
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import AnyMethod, BestOfN
from overthink.tasks.stages.graded import Graded, Pool, join_all
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Observations, Option
from overthink.tasks.strategy.known_difficulty import known_difficulty
from overthink.tasks.strategy.run_reader import RunReader


@dataclass(frozen=True)
class PilotOutcomes:
    """One problem's best-of-N, whose first rollouts are its pilot; `tokens` are the pilot's completion tokens."""

    reader: RunReader
    method: BestOfN
    graded: Graded
    tokens: Sequence[int]


class OptionResult(NamedTuple):
    """The accuracy of one option on one problem, and its cost; `accuracy` is None where no verdict is known."""

    accuracy: float | None
    tokens: float
    flops: float


OptionKey = tuple[int, str, SelectorName]  # budget, method_id
Table = dict[OptionKey, dict[str, OptionResult]]  # by problem key


@dataclass(frozen=True)
class Findings:
    """The observations of some runs, their methods by id, and the methods left out because some problems lack them.

    `unknown` counts the problems left out because all verdicts of some option on them are unknown. `chance` is the mean
    probability that a guess is right; None where that says nothing.
    """

    observations: Observations
    methods: Mapping[str, AnyMethod]
    left_out: tuple[str, ...]
    unknown: int
    chance: float | None


class Collector:
    """Collects the results of runs of one policy and PRM with the same sampling, grading, pilot and seed."""

    def __init__(self, readers: Sequence[RunReader]) -> None:
        """Raises UserError where the runs hold no pilots, or share no budget."""
        self._readers = readers
        self._names = ", ".join(reader.run.run_id for reader in readers)
        recipe = readers[0].recipe
        self._pilot, self._seed = recipe.difficulty.pilot, recipe.seed
        self._grader = recipe.grader
        self._pilots = self._read_pilots()
        self._budgets = self._common_budgets()
        listed = [reader.recipe.chosen_selectors() for reader in readers]
        self._selectors = [one for one in BY_DEFAULT if one == "oracle" or all(one in row for row in listed)]
        self._options: Table = defaultdict(dict)
        self._fixed: Table = defaultdict(dict)

    def collect(self) -> Findings:
        """All findings of the runs."""
        methods: dict[str, AnyMethod] = {}
        with self._grader.judge() as judge:
            pools = join_all({key: pilot.graded for key, pilot in self._pilots.items()}, judge)
            for budget in self._budgets:
                method = BestOfN(method="best_of_n", n=budget)
                methods[method.method_id] = method
                self._collect_samples(method, pools)
            for reader in self._readers:
                for other in filter(_may_follow_a_pilot, reader.recipe.fixed_methods):
                    methods[other.method_id] = other
                    self._collect_others(reader, other, judge)
        unknown = _unknown(self._options, self._fixed)
        pilots = {key: pilot for key, pilot in self._pilots.items() if key not in unknown}
        options, fixed = _columns(self._options, pilots), _columns(self._fixed, pilots)
        known = {option.method_id for option in (*options, *fixed)}
        lacking = {method_id for _, method_id, _ in (*self._options, *self._fixed)} - known
        observations = Observations(
            features=np.array([features_of(pools[key].all.first(self._pilot), pilots[key].tokens) for key in pilots]),
            pilot_tokens=np.array([sum(pilot.tokens) for pilot in pilots.values()], dtype=np.float64),
            pass_at_1=np.array([pools[key].all.correct[~pools[key].all.unknown].mean() for key in pilots]),
            options=[option for option in options if option.selector != "oracle"],
            fixed=[option for option in fixed if option.selector != "oracle"],
            any_right={one.budget: one for one in fixed if (one.method, one.selector) == ("best_of_n", "oracle")},
        )
        observations = replace(observations, known=self._known(observations, [pools[key].all for key in pilots]))
        chances = [pilot.reader.chances[key] for key, pilot in pilots.items()]
        chance = None if None in chances else float(np.mean(chances))
        return Findings(observations, methods, tuple(sorted(lacking)), len(unknown), chance)

    def _known(self, observations: Observations, pools: Sequence[Candidates]) -> dict[int, KnownDifficulty]:
        """The known difficulties at each budget that leaves spare rollouts to measure them."""
        options = observations.options, observations.fixed
        found = {one: known_difficulty(one, pools, self._pilot, *options, self._seed) for one in self._budgets}
        return {budget: known for budget, known in found.items() if known is not None}

    def _read_pilots(self) -> dict[str, PilotOutcomes]:
        """The pilots by problem key, sorted; where several runs sampled a problem, from the largest best-of-N."""
        found: dict[str, PilotOutcomes] = {}
        for reader in self._readers:
            for method in (method for method in reader.recipe.fixed_methods if isinstance(method, BestOfN)):
                tokens = reader.completion_tokens(method, self._pilot)
                for problem_key, graded in reader.graded(method).items():
                    if problem_key not in found or found[problem_key].method.n < method.n:
                        found[problem_key] = PilotOutcomes(reader, method, graded, tokens[problem_key])
        if not found:
            raise UserError(
                f"{self._names} hold no best_of_n, whose first rollouts are the pilots: add "
                "{method: best_of_n, n: …} to a recipe, its n the largest budget, and run it"
            )
        return dict(sorted(found.items()))

    def _common_budgets(self) -> list[int]:
        """The budgets of recipes with a best_of_n, from the pilot's size to the number of every problem's rollouts."""
        most = min(pilot.method.n for pilot in self._pilots.values())
        listed = {budget for pilot in self._pilots.values() for budget in pilot.reader.recipe.budgets}
        budgets = sorted(budget for budget in listed if self._pilot <= budget <= most)
        if not budgets:
            raise UserError(
                f"{self._names} have no budget in common between the pilot of {self._pilot} and the {most} rollouts of "
                f"best_of_n; their budgets are {', '.join(map(str, sorted(listed)))}: raise n, or list one in between"
            )
        return budgets

    def _collect_samples(self, method: BestOfN, pools: Mapping[str, Pool]) -> None:
        """Add best-of-N, which continues its own pilot: its accuracy after the pilot is its accuracy."""
        for problem_key, pilot in self._pilots.items():
            spent = pilot.reader.spent(pilot.method, problem_key, method.n)
            found = estimates_after(self._selectors, pools[problem_key].all, self._pilot, method.n, self._seed)
            for selector, estimate in found.items():
                option = method.n, method.method_id, selector
                self._options[option][problem_key] = OptionResult(estimate.accuracy, spent.tokens, spent.flops)
                self._fixed[option][problem_key] = OptionResult(
                    estimate.accuracy, spent.tokens, spent.flops_for(selector)
                )

    def _collect_others(self, reader: RunReader, method: AnyMethod, judge: Judge) -> None:
        """Add searches: with the whole budget as fixed options, with the budget minus the pilot as options after it."""
        graded = {key: found for key, found in reader.graded(method).items() if key in self._pilots}
        pilots = {key: self._pilots[key].graded[: self._pilot] for key in graded}
        searched = join_all(graded, judge)
        both_joined = join_all({key: [*pilots[key], *graded[key]] for key in graded}, judge)
        for problem_key in graded:
            pilot = self._pilots[problem_key]
            spent = reader.spent(method, problem_key)
            if method.n in self._budgets:
                for selector, accuracy in self._of_all(searched[problem_key].all):
                    flops = spent.flops if method.is_search else spent.flops_for(selector)
                    self._fixed[method.n, method.method_id, selector][problem_key] = OptionResult(
                        accuracy, spent.tokens, flops
                    )
            budget = method.n + self._pilot
            if budget in self._budgets:
                both = spent.and_then(pilot.reader.spent(pilot.method, problem_key, self._pilot))
                for selector, accuracy in self._of_all(both_joined[problem_key].all):
                    option = budget, method.method_id, selector
                    self._options[option][problem_key] = OptionResult(accuracy, both.tokens, both.flops)

    def _of_all(self, rollouts: Candidates) -> Iterator[tuple[SelectorName, float | None]]:
        """The accuracy of each selector on all rollouts; 0 where there are none."""
        found = estimates(self._selectors, rollouts, [rollouts.count], self._seed) if rollouts.count else {}
        for selector in self._selectors:
            yield selector, found[selector, rollouts.count].accuracy if found else 0.0


def _may_follow_a_pilot(method: AnyMethod) -> bool:
    """Whether a strategy may choose it: what the PRM guides, and what draws whole solutions."""
    return not method.independent and (method.is_guided or not method.is_search)


def _unknown(*tables: Table) -> set[str]:
    """The problems on which some option has no known verdict, so that its accuracy there is unknown."""
    results = (by_problem.items() for table in tables for by_problem in table.values())
    return {key for items in results for key, result in items if result.accuracy is None}


def _columns(table: Table, pilots: Mapping[str, PilotOutcomes]) -> list[Option]:
    """The options that were run on every problem, each with its numbers in the order of the problems."""
    return [
        Option(*option, *np.array([by_problem[key] for key in pilots], dtype=np.float64).T)
        for option, by_problem in table.items()
        if by_problem.keys() >= pilots.keys()
    ]
