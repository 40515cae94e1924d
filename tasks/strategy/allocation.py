"""A total of compute shared out among problems, where it helps most."""

import numpy as np

from overthink.tasks.analysis.selectors import Floats, Integers


def allocate(values: Floats, costs: Floats, total: float) -> Integers:
    """An option for each problem, (problems,), so that the values add up to as much as the total of the costs allows.

    `values` and `costs` are (problems, options). Each problem starts at its cheapest option and climbs the concave hull
    of its options; the steps that gain most for their cost come first. What is left then goes to whatever single change
    still fits and gains most for its cost. The sum is short of the best by less than the largest of the hulls' steps.

    Raises ValueError where the cheapest options together cost more than the total, or a number is not finite.
    """
    if not (np.isfinite(values).all() and np.isfinite(costs).all()):
        raise ValueError("a total is shared out by values and costs that are known")
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
    """(gain for its cost, extra cost, option) of each step up one problem's concave hull; gains for cost fall."""
    option = int(np.lexsort((-values, costs))[0])
    steps: list[tuple[float, float, int]] = []
    while True:
        extra, gain = costs - costs[option], values - values[option]
        rates = np.where(gain > 0, gain / np.where(extra > 0, extra, np.inf), 0.0)
        if not rates.max() > 0:
            return steps
        best = np.flatnonzero(rates == rates.max())
        option = int(best[np.argmax(extra[best])])  # of equal rates the longest step: those between lie on it
        steps.append((float(rates.max()), float(extra[option]), option))


def _filled(chosen: Integers, values: Floats, costs: Floats, left: float) -> Integers:
    everyone = np.arange(len(costs))
    while True:
        extra = costs - costs[everyone, chosen][:, np.newaxis]
        gain = values - values[everyone, chosen][:, np.newaxis]
        useful = (gain > 0) & (extra <= left)
        if not useful.any():
            return chosen
        rates = np.where(useful, np.inf, 0.0)  # what costs no more comes first
        np.divide(gain, extra, out=rates, where=useful & (extra > 0))
        problem, option = np.unravel_index(int(rates.argmax()), rates.shape)
        left -= extra[problem, option]
        chosen[problem] = option
