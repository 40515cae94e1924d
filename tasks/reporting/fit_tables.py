"""A fitted strategy and its evaluation, as terminal tables."""

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from overthink.tasks.analysis.difficulty import DIFFICULTIES, confusion, quantiles
from overthink.tasks.analysis.estimators import SUBSETS
from overthink.tasks.analysis.intervals import PairedDifference, mean_interval, paired_difference
from overthink.tasks.analysis.prm_quality import calibration_curve, calibration_error
from overthink.tasks.recipes.strategy_file import Choice
from overthink.tasks.reporting.results import told_chance
from overthink.tasks.strategy.baselines import ANY_RIGHT, STRATEGY
from overthink.tasks.strategy.fit_runs import Fit

QUANTILES = 5


def fit_tables(fit: Fit) -> Iterator[Table]:
    """The strategy's choices, its baselines, and the quality of its difficulty predictions."""
    yield choices_table(fit)
    yield baselines_table(fit)
    if fit.shared:
        yield sharing_table(fit)
    yield calibration_table(fit)
    yield difficulty_table(fit)


def choices_table(fit: Fit) -> Table:
    """The strategy's choices; accuracies are held out."""
    table = Table(
        title=f"strategy {fit.strategy.name}: {fit.policy} with {fit.prm}",
        caption=f"after a pilot of {fit.strategy.difficulty.pilot}; accuracy in % with its 95 % interval, held out"
        f"{told_chance(fit.strategy.chance)}",
    )
    for header in ("budget", "difficulty", "method", "selector"):
        table.add_column(header, overflow="fold")
    for header in ("problems", "accuracy", "tokens", "FLOPs"):
        table.add_column(header, justify="right", no_wrap=True)
    for choice in sorted((*fit.strategy.choices, *fit.strategy.without_pilot), key=lambda choice: choice.budget):
        interval = None if choice.ci_low is None or choice.ci_high is None else (choice.ci_low, choice.ci_high)
        accuracy = "" if choice.accuracy is None else _percent(choice.accuracy, interval)
        difficulty = choice.difficulty if isinstance(choice, Choice) else "all, no pilot"
        options = (str(choice.budget), difficulty, choice.method.method_id, choice.selector)
        table.add_row(*options, str(choice.problems), accuracy, _count(choice.policy_tokens), _flops(choice.flops))
    return table


def baselines_table(fit: Fit) -> Table:
    """Every option at every budget."""
    table = Table(
        title=f"held out: {len(fit.observations.pass_at_1)} problems, two folds",
        caption="ahead: accuracy of the strategy minus that of the option, in points, on the same problems, with its "
        "95 % interval; known difficulty: from rollouts of best-of-N that are not scored, so it has no row where all "
        f"are; best-of-N below its N: by {SUBSETS} random subsets a problem where there are more; tokens: completion "
        f"tokens a problem; FLOPs: of policy and PRM a problem{told_chance(fit.strategy.chance)}",
    )
    for header in ("budget", "option", "selector"):
        table.add_column(header, overflow="fold")
    for header in ("accuracy", "strategy ahead by", "tokens", "FLOPs"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in fit.baselines:
        if one.name == STRATEGY:
            table.add_section()
        lead = "" if one.name == STRATEGY else _lead(one.lead)
        costs = _count(one.tokens), _flops(one.flops)
        selector = "any right" if one.name == ANY_RIGHT else one.selector or ""
        table.add_row(str(one.budget), one.name, selector, _percent(one.accuracy, one.interval), lead, *costs)
    return table


def sharing_table(fit: Fit) -> Table:
    """The accuracy of an allocated total against the same budget for every problem."""
    table = Table(
        title="a total of tokens shared out, held out",
        caption="each total is what the best fixed option takes at that budget; foreseen: shared out by each "
        "problem's actual accuracy and tokens at each budget, which bounds what any prediction could do; "
        f"ahead: of the fixed option, in points{told_chance(fit.strategy.chance)}",
    )
    for header in ("budget", "best fixed option", "selector"):
        table.add_column(header, overflow="fold")
    for header in ("accuracy", "shared out", "ahead by", "tokens", "foreseen"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in fit.shared:
        lead = paired_difference(one.shared.accuracy, one.uniform.accuracy)
        accuracies = [
            _percent(float(option.accuracy.mean()), mean_interval(option.accuracy))
            for option in (one.uniform, one.shared, one.foreseen)
        ]
        tokens = f"{one.shared.tokens.mean():,.0f} of {one.uniform.tokens.mean():,.0f}"
        options = str(one.budget), one.uniform.method_id, one.uniform.selector
        table.add_row(*options, *accuracies[:2], _lead(lead), tokens, accuracies[2])
    return table


def calibration_table(fit: Fit) -> Table:
    """The pass@1 that pilots predict against the known pass@1."""
    curve = calibration_curve(fit.validation.predicted, fit.observations.pass_at_1)
    error = calibration_error(curve)
    table = Table(
        title="pass@1 predicted from the pilot, held out",
        caption="" if error is None else f"expected calibration error {error:.3f}",
    )
    for header in ("predicted", "problems", "mean predicted", "mean known"):
        table.add_column(header, justify="right", no_wrap=True)
    for part in curve:
        shares = f"{part.mean_score:.3f}", f"{part.share_right:.3f}"
        table.add_row(f"{part.low:.1f}–{part.high:.1f}", str(part.count), *shares)
    return table


def difficulty_table(fit: Fit) -> Table:
    """Known bins and quantiles of pass@1 against the bins that pilots predict."""
    bins, known = fit.strategy.difficulty, fit.observations.pass_at_1
    predicted = np.array([bins.of(chance) for chance in fit.validation.predicted.tolist()])
    absolute = np.array([bins.of(chance) for chance in known.tolist()])
    table = Table(
        title="difficulty, known and predicted",
        caption=f"easy: pass@1 from {bins.easy:g} on; hard: below {bins.hard:g}; quantile 1 is the hardest fifth"
        f"{told_chance(fit.strategy.chance)}",
    )
    for header in ("known", "problems", "mean pass@1", *(f"predicted {name}" for name in DIFFICULTIES)):
        table.add_column(header, justify="right" if header != "known" else "left", no_wrap=True)
    for name, counts in zip(DIFFICULTIES, confusion(absolute.tolist(), predicted.tolist()).tolist(), strict=True):
        members = absolute == name
        mean = f"{known[members].mean():.3f}" if members.any() else ""
        table.add_row(name, str(members.sum()), mean, *map(str, counts))
    table.add_section()
    places = quantiles(known, QUANTILES)
    for place in range(QUANTILES):
        members = places == place
        mean = f"{known[members].mean():.3f}" if members.any() else ""
        counts = [int((predicted[members] == name).sum()) for name in DIFFICULTIES]
        table.add_row(f"quantile {place + 1}", str(members.sum()), mean, *map(str, counts))
    return table


def _percent(accuracy: float, interval: tuple[float, float] | None) -> str:
    bounds = "" if interval is None else f" ({100 * interval[0]:.0f}–{100 * interval[1]:.0f})"
    return f"{100 * accuracy:.1f}{bounds}"


def _lead(lead: PairedDifference) -> str:
    bounds = "" if lead.interval is None else f" ({100 * lead.interval[0]:+.1f} to {100 * lead.interval[1]:+.1f})"
    return f"{100 * lead.accuracy:+.1f}{bounds}"


def _count(tokens: float | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,.0f}"


def _flops(flops: float | None) -> str:
    return "unknown" if flops is None else f"{flops:.3g}"
