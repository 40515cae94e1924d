"""Allocates a total of compute to the problems where it raises accuracy most."""

import numpy as np

from overthink.tasks.analysis.selectors import Floats, Integers


def allocate(values: Floats, costs: Floats, total: float) -> Integers:
    """An option for each problem, (problems,), that maximises the sum of values under a total of costs.

    `values` and `costs` are (problems, options). Each problem starts at its cheapest option and climbs the concave hull
    of its options, in the order of gain per cost. The remainder goes to single changes that still fit, by gain per
    cost too. The sum falls short of the optimum by less than the largest step of the hulls.

    Raises ValueError where the cheapest options together cost more than the total, or a number is not finite.
    """
    if not (np.isfinite(values).all() and np.isfinite(costs).all()):
        raise ValueError("a total can be allocated only with known values and costs")
    everyone = np.arange(len(costs))
    chosen: Integers = np.lexsort((-values, costs), axis=1)[:, 0]
    left = total - costs[everyone, chosen].sum()
    if left < 0:
        raise ValueError(f"the cheapest options cost {costs[everyone, chosen].sum():g} in all, more than {total:g}")
    steps = [(*step, problem) for problem in everyone for step in _hull_steps(values[problem], costs[problem])]
    for _, extra, option, problem in sorted(steps, key=lambda step: -step[0]):
        if extra > left:
            break
        left -= extra
        chosen[problem] = option
    return _filled(chosen, values, costs, left)


def _hull_steps(values: Floats, costs: Floats) -> list[tuple[float, float, int]]:
    """(gain per cost, extra cost, option) of each step up one problem's concave hull, by falling gain per cost."""
    option = int(np.lexsort((-values, costs))[0])
    steps: list[tuple[float, float, int]] = []
    while True:
        extra, gain = costs - costs[option], values - values[option]
        rates = np.where(gain > 0, gain / np.where(extra > 0, extra, np.inf), 0.0)
        if not rates.max() > 0:
            return steps
        best = np.flatnonzero(rates == rates.max())
        option = int(best[np.argmax(extra[best])])  # of equal rates the longest step: the others lie on its line
        steps.append((float(rates.max()), float(extra[option]), option))


def _filled(chosen: Integers, values: Floats, costs: Floats, left: float) -> Integers:
    everyone = np.arange(len(costs))
    while True:
        extra = costs - costs[everyone, chosen][:, np.newaxis]
        gain = values - values[everyone, chosen][:, np.newaxis]
        useful = (gain > 0) & (extra <= left)
        if not useful.any():
            return chosen
        rates = np.where(useful, np.inf, 0.0)  # gains without extra cost come first
        np.divide(gain, extra, out=rates, where=useful & (extra > 0))
        problem, option = np.unravel_index(int(rates.argmax()), rates.shape)
        left -= extra[problem, option]
        chosen[problem] = option
