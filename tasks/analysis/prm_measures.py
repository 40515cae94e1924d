"""The figures of a PRM over one source of scored solutions, as rows of the table `prm_metrics`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from overthink.tasks.analysis.aggregation import AGGREGATIONS, Aggregation
from overthink.tasks.analysis.estimators import estimates
from overthink.tasks.analysis.prm_quality import (
    Booleans,
    FirstError,
    Floats,
    auc,
    best_threshold,
    calibration_curve,
    calibration_error,
    detect_errors,
    is_misled_by_max,
    length_bias,
)
from overthink.tasks.analysis.selectors import (
    BEST_BY,
    MAJORITY,
    ORACLE,
    Candidates,
    values_of,
)

Measure = Literal[
    "threshold",
    "share_scored",
    "f1",
    "accuracy_on_wrong",
    "accuracy_on_right",
    "f1_at_threshold",
    "auc",
    "mean_score",
    "share_right",
    "calibration_error",
    "length_bias_right",
    "length_bias_wrong",
    "misled_by_max",
    "accuracy_of_max",
    "accuracy_of_majority",
    "accuracy_of_oracle",
]
THRESHOLDS = 50  # of the curve of F1, evenly over [0, 1]


@dataclass(frozen=True)
class Figure:
    """One number about a PRM; `value` is None where unknown, `count` is the number of observations behind it.

    `aggregation` is None for figures of single steps or without scores. `point` is a threshold, the lower end of a
    bin of scores, or a number of rollouts n.
    """

    measure: Measure
    value: float | None
    count: int
    aggregation: Aggregation | None = None
    point: float | None = None


def lacking_kind(choosing: Sequence[bool], judged: Sequence[bool]) -> str | None:
    """Why F1 is undefined, or None where it is defined; an entry says whether a solution has a wrong step."""
    for side, wrong in (("that choose the threshold", choosing), ("that are judged by it", judged)):
        if all(wrong) or not any(wrong):
            return (
                f"F1 needs solutions with a wrong step and solutions without one; of the {len(wrong)} {side}, "
                f"{sum(wrong)} have a wrong step"
            )
    return None


def first_error_figures(choosing: Sequence[FirstError], judged: Sequence[FirstError]) -> Iterator[Figure]:
    """F1 of finding the first wrong step (ProcessBench), its threshold chosen on solutions other than those judged.

    Raises ValueError where `lacking_kind` returns a reason.
    """
    threshold = best_threshold(choosing)
    yield Figure("threshold", threshold, len(choosing))
    found = detect_errors(judged, threshold)
    wrong = sum(solution.wrong is not None for solution in judged)
    yield Figure("f1", found.f1, len(judged), point=threshold)
    yield Figure("accuracy_on_wrong", found.on_wrong, wrong, point=threshold)
    yield Figure("accuracy_on_right", found.on_right, len(judged) - wrong, point=threshold)
    for place in np.linspace(0, 1, THRESHOLDS + 1).tolist():
        yield Figure("f1_at_threshold", detect_errors(judged, place).f1, len(judged), point=place)


def ranking_figures(scores: Floats, right: Booleans, aggregation: Aggregation | None) -> Iterator[Figure]:
    """Whether right ones score higher, and whether scores are probabilities; one score a step or a solution."""
    yield Figure("auc", auc(scores, right), len(scores), aggregation)
    curve = calibration_curve(scores, right)
    yield Figure("calibration_error", calibration_error(curve), len(scores), aggregation)
    for part in curve:
        yield Figure("mean_score", part.mean_score, part.count, aggregation, part.low)
        yield Figure("share_right", part.share_right, part.count, aggregation, part.low)


def length_figures(scores: Floats, tokens: Floats, right: Booleans, aggregation: Aggregation) -> Iterator[Figure]:
    """Rank correlation of score and tokens, among right and among wrong rollouts."""
    bias = length_bias(scores, tokens, right)
    yield Figure("length_bias_right", bias[True], int(right.sum()), aggregation)
    yield Figure("length_bias_wrong", bias[False], int((~right).sum()), aggregation)


def selection_figures(problems: Iterable[Candidates], budgets: Sequence[int], seed: int) -> Iterator[Figure]:
    """How often the best-scored answer is wrong although a right one exists, and accuracy at every budget.

    The accuracies are those of the best-scored of n, the majority and the oracle: where the first falls with n, high
    scores come from wrong solutions that mislead the PRM. Answers whose verdict is unknown are left out. Each problem
    is read once, and only numbers of it are kept.
    """
    misled: dict[Aggregation, list[bool]] = {aggregation: [] for aggregation in AGGREGATIONS}
    accuracies: dict[tuple[str, int], list[float]] = defaultdict(list)
    for problem in problems:
        for aggregation in AGGREGATIONS:
            found = is_misled_by_max(*_with_a_say(problem, aggregation))
            misled[aggregation] += [] if found is None else [found]
        for n in budgets:
            for selector, accuracy in _accuracies(problem, n, seed):
                accuracies[selector, n].append(accuracy)
    for aggregation, of_it in misled.items():
        yield Figure("misled_by_max", sum(of_it) / len(of_it) if of_it else None, len(of_it), aggregation)
    for n in budgets:
        for aggregation in AGGREGATIONS:
            yield _mean("accuracy_of_max", accuracies[BEST_BY[aggregation].name, n], n, aggregation)
        yield _mean("accuracy_of_majority", accuracies[MAJORITY.name, n], n)
        yield _mean("accuracy_of_oracle", accuracies[ORACLE.name, n], n)


def _with_a_say(problem: Candidates, aggregation: Aggregation) -> tuple[Floats, Booleans]:
    values = values_of(BEST_BY[aggregation].name, problem)
    eligible = ~np.isnan(values) & ~problem.unknown
    return values[eligible], problem.correct[eligible]


def _accuracies(problem: Candidates, n: int, seed: int) -> Iterator[tuple[str, float]]:
    """The accuracy of each selector on n rollouts of a problem, where it is known."""
    size = min(n, problem.count)  # a search may return fewer rollouts than its budget, which count as a whole
    selectors = [selector.name for selector in (*BEST_BY.values(), MAJORITY, ORACLE)]
    for (selector, _), estimate in estimates(selectors, problem, [size], seed).items():
        if estimate.accuracy is not None:
            yield selector, estimate.accuracy


def _mean(measure: Measure, known: Sequence[float], n: int, aggregation: Aggregation | None = None) -> Figure:
    return Figure(measure, float(np.mean(known)) if known else None, len(known), aggregation, n)


def doubling_budgets(n: int) -> list[int]:
    """1, 2, 4 … below n, and n."""
    return [2**power for power in range(n.bit_length()) if 2**power < n] + [n]
