"""The pilots of the problems of some runs: the first rollouts of each problem's best-of-N."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overthink.tasks.analysis.selectors import Candidates
from overthink.tasks.domains.domain import Judge
from overthink.tasks.recipes.methods import BestOfN
from overthink.tasks.stages.graded import Graded, join_all
from overthink.tasks.strategy.run_reader import RunReader, Spent


@dataclass(frozen=True)
class PilotSource:
    """The best-of-N of one run, whose first rollouts are the pilots of some problems."""

    reader: RunReader
    method: BestOfN

    def spent(self, problem_key: str, samples: int) -> Spent:
        """The cost of a problem's first samples."""
        return self.reader.spent(self.method, problem_key, samples)


@dataclass(frozen=True)
class PilotOutcomes:
    """One problem's best-of-N with equal answers grouped; `tokens` are the pilot's completion tokens."""

    source: PilotSource
    graded: Graded
    pool: Candidates
    tokens: Sequence[int]


def pilot_sources(readers: Sequence[RunReader]) -> dict[str, PilotSource]:
    """Where the pilot of each problem is, by problem key, sorted; of several runs, in the largest best-of-N."""
    found: dict[str, PilotSource] = {}
    for reader in readers:
        for method in (method for method in reader.recipe.fixed_methods if isinstance(method, BestOfN)):
            for key in reader.problem_ids:
                if key not in found or found[key].method.n < method.n:
                    found[key] = PilotSource(reader, method)
    return dict(sorted(found.items()))


def read_pilots(
    sources: Mapping[str, PilotSource], units: Sequence[str], size: int, judge: Judge
) -> dict[str, PilotOutcomes]:
    """The best-of-N of some problems, with pilots of `size` rollouts, in the order of `units`."""
    alike: dict[tuple[int, str], list[str]] = defaultdict(list)
    for unit in units:
        alike[id(sources[unit].reader), sources[unit].method.method_id].append(unit)
    graded: dict[str, Graded] = {}
    tokens: dict[str, Sequence[int]] = {}
    for some in alike.values():
        source = sources[some[0]]
        graded |= source.reader.graded(source.method, some)
        tokens |= source.reader.completion_tokens(source.method, size, some)
    pools = join_all({unit: graded[unit] for unit in units}, judge)
    return {unit: PilotOutcomes(sources[unit], graded[unit], pools[unit].all, tokens[unit]) for unit in units}
