"""Collects from finished runs the pilots of their problems and the results of each option."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from overthink.storage.manifest import Extent
from overthink.tasks.analysis.difficulty import features_of
from overthink.tasks.analysis.estimators import estimates, estimates_after
from overthink.tasks.analysis.selectors import BY_DEFAULT, Booleans, Candidates, Floats, SelectorName
from overthink.tasks.domains.domain import Judge
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import AnyMethod, BestOfN
from overthink.tasks.stages.graded import in_batches, join_all
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Observations, Option
from overthink.tasks.strategy.known_difficulty import SplitRollouts, known_difficulty, split_rollouts
from overthink.tasks.strategy.pilots import PilotOutcomes, PilotSource, pilot_sources, read_pilots
from overthink.tasks.strategy.run_reader import RunReader


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


@dataclass(frozen=True)
class ProblemFigures:
    """What is kept of one problem: its pilot's features and tokens, pass@1, and its split rollouts by budget."""

    features: Floats
    tokens: float
    pass_at_1: float
    split: Mapping[int, SplitRollouts | None]


class Collector:
    """Collects the results of runs of one policy and PRM with the same sampling, grading, pilot and seed.

    The rollouts of some problems are in memory at a time.
    """

    def __init__(self, readers: Sequence[RunReader]) -> None:
        """Raises UserError where the runs hold no pilots, or share no budget."""
        self._readers = readers
        self._names = ", ".join(reader.run.run_id for reader in readers)
        recipe = readers[0].recipe
        self._pilot, self._seed = recipe.difficulty.pilot, recipe.seed
        self._grader = recipe.grader
        self._sources = self._pilot_sources()
        self._budgets = self._common_budgets()
        listed = [reader.recipe.chosen_selectors() for reader in readers]
        self._selectors = [one for one in BY_DEFAULT if one == "oracle" or all(one in row for row in listed)]
        self._samples = {budget: BestOfN(method="best_of_n", n=budget) for budget in self._budgets}
        self._others = [
            (reader, method)
            for reader in readers
            for method in reader.recipe.fixed_methods
            if _may_follow_a_pilot(method)
        ]
        self._options, self._fixed = self._no_results()

    def collect(self) -> Findings:
        """All findings of the runs."""
        for reader in self._readers:
            reader.add_up([self._pilot, *self._budgets])
        most = max(source.method.n for source in self._sources.values())
        figures: dict[str, ProblemFigures] = {}
        with self._grader.judge() as judge:
            for some in in_batches(Extent(tuple(self._sources), 0, most)):
                pilots = read_pilots(self._sources, some.units, self._pilot, judge)
                figures |= {key: self._figures(pilot) for key, pilot in pilots.items()}
                for method in self._samples.values():
                    self._collect_samples(method, pilots)
                for reader, other in self._others:
                    self._collect_others(reader, other, pilots, judge)
        return self._findings(figures)

    def _findings(self, figures: Mapping[str, ProblemFigures]) -> Findings:
        unknown = _unknown(self._options, self._fixed)
        known = {key: found for key, found in figures.items() if key not in unknown}
        options, fixed = _columns(self._options, known), _columns(self._fixed, known)
        complete = {option.method_id for option in (*options, *fixed)}
        tried = {method_id for (_, method_id, _), found in (*self._options.items(), *self._fixed.items()) if found}
        observations = Observations(
            features=np.array([found.features for found in known.values()]),
            pilot_tokens=np.array([found.tokens for found in known.values()], dtype=np.float64),
            pass_at_1=np.array([found.pass_at_1 for found in known.values()]),
            options=[option for option in options if option.selector != "oracle"],
            fixed=[option for option in fixed if option.selector != "oracle"],
            any_right={one.budget: one for one in fixed if (one.method, one.selector) == ("best_of_n", "oracle")},
        )
        observations = replace(observations, known=self._known(observations, list(known.values())))
        chances = [self._sources[key].reader.chances[key] for key in known]
        chance = None if None in chances else float(np.mean(chances))
        methods: dict[str, AnyMethod] = {method.method_id: method for method in self._samples.values()}
        methods |= {method.method_id: method for _, method in self._others}
        return Findings(observations, methods, tuple(sorted(tried - complete)), len(unknown), chance)

    def _figures(self, pilot: PilotOutcomes) -> ProblemFigures:
        pool, scored = pilot.pool, [one for one in self._selectors if one != "oracle"]
        return ProblemFigures(
            features_of(pool.first(self._pilot), pilot.tokens),
            sum(pilot.tokens),
            _mean(pool.correct[~pool.unknown]),
            {budget: split_rollouts(pool, self._pilot, budget, scored, self._seed) for budget in self._budgets},
        )

    def _known(self, observations: Observations, problems: Sequence[ProblemFigures]) -> dict[int, KnownDifficulty]:
        """The known difficulties at each budget that leaves spare rollouts to measure them."""
        options = observations.options, observations.fixed
        found = {one: known_difficulty(one, [each.split[one] for each in problems], *options) for one in self._budgets}
        return {budget: known for budget, known in found.items() if known is not None}

    def _pilot_sources(self) -> dict[str, PilotSource]:
        found = pilot_sources(self._readers)
        if not found:
            raise UserError(
                f"{self._names} hold no best_of_n, whose first rollouts are the pilots: add "
                "{method: best_of_n, n: …} to a recipe, its n the largest budget, and run it"
            )
        return found

    def _common_budgets(self) -> list[int]:
        """The budgets of recipes with a best_of_n, from the pilot's size to the number of every problem's rollouts."""
        most = min(source.method.n for source in self._sources.values())
        listed = {budget for source in self._sources.values() for budget in source.reader.recipe.budgets}
        budgets = sorted(budget for budget in listed if self._pilot <= budget <= most)
        if not budgets:
            raise UserError(
                f"{self._names} have no budget in common between the pilot of {self._pilot} and the {most} rollouts of "
                f"best_of_n; their budgets are {', '.join(map(str, sorted(listed)))}: raise n, or list one in between"
            )
        return budgets

    def _no_results(self) -> tuple[Table, Table]:
        """The options after a pilot and the fixed ones, in the order in which equally good ones are preferred."""
        options: Table = {}
        fixed: Table = {}
        for method in self._samples.values():
            for selector in self._selectors:
                options[method.n, method.method_id, selector] = {}
                fixed[method.n, method.method_id, selector] = {}
        for _, other in self._others:
            for selector in self._selectors:
                if other.n in self._budgets:
                    fixed[other.n, other.method_id, selector] = {}
                if other.n + self._pilot in self._budgets:
                    options[other.n + self._pilot, other.method_id, selector] = {}
        return options, fixed

    def _collect_samples(self, method: BestOfN, pilots: Mapping[str, PilotOutcomes]) -> None:
        """Add best-of-N, which continues its own pilot: its accuracy after the pilot is its accuracy."""
        for problem_key, pilot in pilots.items():
            spent = pilot.source.spent(problem_key, method.n)
            found = estimates_after(self._selectors, pilot.pool, self._pilot, method.n, self._seed)
            for selector, estimate in found.items():
                option = method.n, method.method_id, selector
                self._options[option][problem_key] = OptionResult(estimate.accuracy, spent.tokens, spent.flops)
                self._fixed[option][problem_key] = OptionResult(
                    estimate.accuracy, spent.tokens, spent.flops_for(selector)
                )

    def _collect_others(
        self, reader: RunReader, method: AnyMethod, pilots: Mapping[str, PilotOutcomes], judge: Judge
    ) -> None:
        """Add searches: with the whole budget as fixed options, with the budget minus the pilot as options after it."""
        graded = reader.graded(method, [key for key in pilots if key in reader.problem_ids])
        searched = join_all(graded, judge)
        both_joined = join_all({key: [*pilots[key].graded[: self._pilot], *graded[key]] for key in graded}, judge)
        for problem_key in graded:
            spent = reader.spent(method, problem_key)
            if method.n in self._budgets:
                for selector, accuracy in self._of_all(searched[problem_key].all):
                    flops = spent.flops if method.is_search else spent.flops_for(selector)
                    self._fixed[method.n, method.method_id, selector][problem_key] = OptionResult(
                        accuracy, spent.tokens, flops
                    )
            budget = method.n + self._pilot
            if budget in self._budgets:
                both = spent.and_then(pilots[problem_key].source.spent(problem_key, self._pilot))
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


def _columns(table: Table, problems: Mapping[str, object]) -> list[Option]:
    """The options that were run on every problem, each with its numbers in the order of the problems."""
    return [
        Option(*option, *np.array([by_problem[key] for key in problems], dtype=np.float64).T)
        for option, by_problem in table.items()
        if by_problem.keys() >= problems.keys()
    ]


def _mean(verdicts: Booleans) -> float:
    """The share of right ones; NaN where there are none."""
    return float(verdicts.mean()) if len(verdicts) else float("nan")
