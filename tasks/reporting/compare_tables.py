"""Two runs side by side, as terminal tables."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from overthink.tasks.reporting.compare_runs import Cost, Difference, Flip, RunComparison
from overthink.tasks.reporting.costs import LINES
from overthink.tasks.reporting.results import told_chance
from overthink.tasks.terminal_text import printable

MOST_FLIPS = 20
EXCERPT = 60


def difference_table(differences: Sequence[Difference], title: str, confidence: float = 0.95) -> Table:
    """Accuracies in percent of both runs, their difference with its interval, and the choices that flipped."""
    percent = f"{100 * confidence:.4g} %"
    table = Table(title=title, caption=f"accuracy in %; differences with their {percent} interval over problems")
    for header in ("method", "selector"):
        table.add_column(header, no_wrap=True)
    unsure = any(one.unknown_before or one.unknown_after for one in differences)
    numbers = ("n", "problems", "before", "after", "difference", "now wrong", "now right")
    for header in (*numbers, *(["unknown before", "after"] if unsure else [])):
        table.add_column(header, justify="right", no_wrap=True)
    for one in _without_repeats(differences):
        accuracies = (f"{100 * value:.1f}" for value in (one.before, one.after))
        selector = "greedy" if one.method_id == "cot" else one.selector
        counts = [str(one.lost), str(one.won)]
        if unsure:
            counts += [f"{100 * share:.1f}" for share in (one.unknown_before, one.unknown_after)]
        table.add_row(
            one.method_id, selector, str(one.n), str(one.problems), *accuracies, difference_text(one), *counts
        )
    return table


def difference_text(one: Difference) -> str:
    """A difference in percentage points with its interval."""
    if one.ci_low is None or one.ci_high is None:
        return f"{100 * one.difference:+.1f}"
    return f"{100 * one.difference:+.1f} ({100 * one.ci_low:+.1f} to {100 * one.ci_high:+.1f})"


def regraded_text(run_ids: Sequence[str]) -> str:
    """A line on the runs that were graded again, so that one grader judges both runs."""
    return f"graded again by today's grader, because the graders of the two differ: {', '.join(run_ids)}"


def flip_table(flips: Sequence[Flip]) -> Table:
    """The first flips: first the problems that are wrong now, then those that are right now."""
    table = Table("problem", "method", "question", "before", "after", "now", title="problems that flipped")
    for flip in sorted(flips, key=lambda flip: flip.now_right)[:MOST_FLIPS]:
        question = " ".join(flip.question.split())
        question = question if len(question) <= EXCERPT else question[: EXCERPT - 1] + "…"
        answers = (Text(printable(answer or "")) for answer in (flip.answer_before, flip.answer_after))
        problem = (Text(printable(flip.problem_id)), flip.method_id, Text(printable(question)))
        table.add_row(*problem, *answers, "right" if flip.now_right else "wrong")
    return table


def cost_difference_table(costs: Sequence[Cost]) -> Table:
    """The total costs of both runs, and the difference."""
    table = Table("", title="cost in all, over all problems of each run")
    for header in ("before", "after", "difference"):
        table.add_column(header, justify="right")
    for cost in costs:
        label, shape = LINES[cost.measure]
        values = ((cost.before, shape), (cost.after, shape), (cost.difference, f"+{shape}"))
        table.add_row(label, *("unknown" if value is None else format(value, form) for value, form in values))
    return table


def problems_line(compared: RunComparison) -> str:
    """A line on the problems over which two runs are compared."""
    left_out = [
        f"{count} only in {run_id}"
        for run_id, count in ((compared.before, compared.only_before), (compared.after, compared.only_after))
        if count
    ]
    both = f"{compared.problems_in_both} problems in both" + "".join(f", {text}" for text in left_out)
    return both + told_chance(compared.chance)


def _without_repeats(differences: Sequence[Difference]) -> list[Difference]:
    """Keep one line for cot: every selector chooses its only rollout."""
    seen: set[str] = set()
    kept = []
    for one in differences:
        if one.method_id != "cot" or one.method_id not in seen:
            kept.append(one)
        seen.add(one.method_id)
    return kept
