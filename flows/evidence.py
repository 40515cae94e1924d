"""What finished runs know together of their problems: the pilots, and what each way of going on was worth."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from flows.methods import AnyMethod, BestOfN
from flows.run_reader import RunReader
from tasks.analysis.difficulty import features_of
from tasks.analysis.estimators import estimates, estimates_after
from tasks.analysis.fitting import Evidence, Option
from tasks.analysis.selectors import SELECTORS, Candidates, Floats, Selector, candidates
from tasks.errors import UserError
from tasks.problems.equality import Compare, EqualityJudge, group_answers
from tasks.selecting import Graded


@dataclass(frozen=True)
class Pilot:
    """One problem's best-of-N, whose first rollouts are its pilot; `tokens` are the pilot's completion tokens."""

    reader: RunReader
    method: BestOfN
    graded: Graded
    tokens: Sequence[int]


class Worth(NamedTuple):
    """What one way was worth to one problem, and cost."""

    accuracy: float
    tokens: float
    flops: float


Way = tuple[int, str, Selector]  # budget, method_id
Table = dict[Way, dict[str, Worth]]  # by problem key


@dataclass(frozen=True)
class Findings:
    """The evidence of some runs, the methods in it by their ids, and those left out, as some problems lack them."""

    evidence: Evidence
    methods: Mapping[str, AnyMethod]
    left_out: tuple[str, ...]


class Collector:
    """Gathers what runs of one policy and PRM know, runs that are alike in sampling, grading, pilot and seed."""

    def __init__(self, readers: Sequence[RunReader]) -> None:
        """Raises UserError where the runs hold no pilots, or no budget to decide about."""
        self._readers = readers
        self._names = ", ".join(reader.run.run_id for reader in readers)
        recipe = readers[0].recipe
        self._pilot, self._seed = recipe.difficulty.pilot, recipe.seed
        self._time_limit = recipe.grading.time_limit_seconds
        self._pilots = self._read_pilots()
        self._budgets = self._common_budgets()
        listed = [reader.recipe.chosen_selectors() for reader in readers]
        self._selectors = [one for one in SELECTORS if one == "oracle" or all(one in row for row in listed)]
        self._options: Table = defaultdict(dict)
        self._fixed: Table = defaultdict(dict)

    def collect(self) -> Findings:
        """All there is to know."""
        methods: dict[str, AnyMethod] = {}
        for budget in self._budgets:
            method = BestOfN(method="best_of_n", n=budget)
            methods[method.method_id] = method
            self._collect_samples(method)
        with EqualityJudge(self._time_limit) as judge:
            for reader in self._readers:
                for other in (method for method in reader.recipe.fixed_methods if not method.independent):
                    methods[other.method_id] = other
                    self._collect_others(reader, other, judge.compare)
        options, fixed = _columns(self._options, self._pilots), _columns(self._fixed, self._pilots)
        known = {option.method_id for option in (*options, *fixed)}
        lacking = {method_id for _, method_id, _ in (*self._options, *self._fixed)} - known
        evidence = Evidence(
            features=np.array([self._features(pilot) for pilot in self._pilots.values()]),
            pilot_tokens=np.array([sum(pilot.tokens) for pilot in self._pilots.values()], dtype=np.float64),
            pass_at_1=np.array([pilot.graded.all.correct.mean() for pilot in self._pilots.values()]),
            options=[option for option in options if option.selector != "oracle"],
            fixed=[option for option in fixed if option.selector != "oracle"],
            any_right={one.budget: one for one in fixed if (one.method, one.selector) == ("best_of_n", "oracle")},
        )
        return Findings(evidence, methods, tuple(sorted(lacking)))

    def _read_pilots(self) -> dict[str, Pilot]:
        """By problem key, in its order; where several runs have sampled a problem, the largest best-of-N."""
        found: dict[str, Pilot] = {}
        for reader in self._readers:
            for method in (method for method in reader.recipe.fixed_methods if isinstance(method, BestOfN)):
                tokens = reader.completion_tokens(method, self._pilot)
                for problem_key, graded in reader.graded(method).items():
                    if problem_key not in found or found[problem_key].method.n < method.n:
                        found[problem_key] = Pilot(reader, method, graded, tokens[problem_key])
        if not found:
            raise UserError(
                f"{self._names} hold no best_of_n, whose first rollouts are the pilots: add "
                "{method: best_of_n, n: …} to a recipe, its n the largest budget, and run it"
            )
        return dict(sorted(found.items()))

    def _common_budgets(self) -> list[int]:
        """The budgets of the recipes with a best_of_n that a pilot is part of and every problem's rollouts reach."""
        most = min(pilot.method.n for pilot in self._pilots.values())
        listed = {budget for pilot in self._pilots.values() for budget in pilot.reader.recipe.budgets}
        budgets = sorted(budget for budget in listed if self._pilot <= budget <= most)
        if not budgets:
            raise UserError(
                f"{self._names} have no budget in common between the pilot of {self._pilot} and the {most} rollouts of "
                f"best_of_n; their budgets are {', '.join(map(str, sorted(listed)))}: raise n, or list one in between"
            )
        return budgets

    def _features(self, pilot: Pilot) -> Floats:
        return features_of(pilot.graded.all.first(self._pilot), pilot.tokens)

    def _collect_samples(self, method: BestOfN) -> None:
        """Best-of-N is its own continuation: what it was worth after the pilot is what it was worth at all."""
        for problem_key, pilot in self._pilots.items():
            spent = pilot.reader.spent(pilot.method, problem_key, method.n)
            found = estimates_after(self._selectors, pilot.graded.all, self._pilot, method.n, self._seed)
            for selector, accuracy in found.items():
                way = method.n, method.method_id, selector
                self._options[way][problem_key] = Worth(accuracy, spent.tokens, spent.flops)
                self._fixed[way][problem_key] = Worth(accuracy, spent.tokens, spent.flops_for(selector))

    def _collect_others(self, reader: RunReader, method: AnyMethod, compare: Compare) -> None:
        """A search with the whole budget is a fixed way, one with the budget less the pilot goes on from it."""
        graded = reader.graded(method)
        for problem_key, pilot in self._pilots.items():
            if problem_key not in graded:
                continue
            search = graded[problem_key]
            spent = reader.spent(method, problem_key)
            if method.n in self._budgets:
                for selector, accuracy in self._of_all(search.all):
                    flops = spent.flops if method.is_search else spent.flops_for(selector)
                    self._fixed[method.n, method.method_id, selector][problem_key] = Worth(
                        accuracy, spent.tokens, flops
                    )
            budget = method.n + self._pilot
            if budget in self._budgets:
                both = spent.and_then(pilot.reader.spent(pilot.method, problem_key, self._pilot))
                for selector, accuracy in self._of_all(together(pilot.graded, self._pilot, search, compare)):
                    way = budget, method.method_id, selector
                    self._options[way][problem_key] = Worth(accuracy, both.tokens, both.flops)

    def _of_all(self, rollouts: Candidates) -> Iterator[tuple[Selector, float]]:
        """The accuracy of each selector on all rollouts; of none nothing is right."""
        found = estimates(self._selectors, rollouts, [rollouts.count], self._seed) if rollouts.count else {}
        for selector in self._selectors:
            yield selector, found[selector, rollouts.count].accuracy if found else 0.0


def together(samples: Graded, pilot: int, search: Graded, compare: Compare) -> Candidates:
    """The first `pilot` samples of a problem and the rollouts of a search, one group for what is equal in both."""
    first = samples.all.first(pilot)
    known = list(dict.fromkeys(key for key in samples.answers[:pilot] if key is not None))
    keys = [*samples.answers[:pilot], *group_answers(list(search.answers), known, compare)]
    both = candidates(keys, [*first.correct, *search.all.correct], None)
    scores = {name: np.concatenate([first.scores[name], search.all.scores[name]]) for name in first.scores}
    return replace(both, scores=scores)


def _columns(table: Table, pilots: Mapping[str, Pilot]) -> list[Option]:
    """The ways that every problem has gone, each with its numbers in the order of the problems."""
    return [
        Option(*way, *np.array([by_problem[key] for key in pilots], dtype=np.float64).T)
        for way, by_problem in table.items()
        if by_problem.keys() == pilots.keys()
    ]
