"""How hard a problem is for a policy: from graded rollouts, or predicted from a few ungraded ones.

Difficulty is absolute, by the policy's own pass@1 (Liu et al. 2025). With the references it is known (oracle);
without them it is predicted from a pilot of a few rollouts: their PRM scores, their agreement and their lengths.
"""

from collections.abc import Sequence
from typing import Literal, Self, get_args

import numpy as np
import scipy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from overthink.tasks.analysis.selectors import Candidates, Floats, Integers

Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
FEATURES = ("last_score", "best_last_score", "min_score", "agreement", "unanswered", "log_tokens")
RIDGE = 1.0  # ridge penalty on standardised weights: keeps the fit finite where a feature separates the problems


class DifficultyConfig(BaseModel):
    """The bins of pass@1 (defaults: Liu et al. 2025), and the number of rollouts that predict it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    easy: float = Field(default=0.5, gt=0, le=1, description="pass@1 from which on a problem is easy")
    hard: float = Field(default=0.1, gt=0, lt=1, description="pass@1 below which a problem is hard")
    pilot: int = Field(default=4, ge=1, description="rollouts that predict the difficulty where answers are unknown")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hard >= self.easy:
            raise ValueError(f"hard = {self.hard:g} must be below easy = {self.easy:g}")
        return self

    def of(self, pass_at_1: float) -> Difficulty:
        """The bin of a pass@1 in [0, 1], known or predicted."""
        if pass_at_1 >= self.easy:
            return "easy"
        return "hard" if pass_at_1 < self.hard else "medium"


def quantiles(pass_at_1: Floats, count: int = 5) -> Integers:
    """(problems,) the quantile of each problem, 0 the hardest; equal problems share one (Snell et al. 2024)."""
    shares = scipy.stats.rankdata(pass_at_1, method="average") / (len(pass_at_1) + 1)
    numbers: Integers = np.minimum((shares * count).astype(np.int64), count - 1)
    return numbers


def confusion(known: Sequence[Difficulty], predicted: Sequence[Difficulty]) -> Integers:
    """Confusion matrix of known difficulties (rows) and predicted ones (columns), both in the order of DIFFICULTIES."""
    counts: Integers = np.zeros((len(DIFFICULTIES), len(DIFFICULTIES)), dtype=np.int64)
    for pair in zip(known, predicted, strict=True):
        row, column = map(DIFFICULTIES.index, pair)
        counts[row, column] += 1
    return counts


def features_of(pilot: Candidates, tokens: Sequence[int]) -> Floats:
    """(FEATURES,) the features of a problem's pilot; `tokens` are the completion tokens of each of its rollouts.

    Raises ValueError for a pilot that is empty, or has no step scores.
    """
    if not pilot.count or not pilot.scores:
        raise ValueError("difficulty is predicted from one scored rollout at least")
    # A rollout without steps has no score; for predicting difficulty it counts as a score of 0.
    last, lowest = (np.nan_to_num(pilot.scores[name], nan=0.0) for name in ("last", "min"))
    answered = pilot.groups[pilot.groups >= 0]
    agreement = np.bincount(answered).max() / pilot.count if len(answered) else 0.0
    unanswered = float((pilot.groups < 0).mean())
    log_tokens = float(np.log1p(np.asarray(tokens, dtype=np.float64)).mean())
    return np.array([last.mean(), last.max(), lowest.mean(), agreement, unanswered, log_tokens])


class Predictor(BaseModel):
    """Predicts a problem's pass@1 from its pilot: a logistic regression on `FEATURES`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias: float
    weights: dict[str, float]

    @model_validator(mode="after")
    def _of_our_features(self) -> Self:
        if set(self.weights) != set(FEATURES):
            raise ValueError(f"weights are of {', '.join(FEATURES)}")
        return self

    def pass_at_1(self, features: Floats) -> Floats:
        """The predicted pass@1, in (0, 1), (problems,), from features (problems, FEATURES)."""
        expected: Floats = scipy.special.expit(
            self.bias + features @ np.array([self.weights[name] for name in FEATURES])
        )
        return expected


def fit_predictor(features: Floats, share: Floats) -> Predictor:
    """Fit a predictor by maximum likelihood to the shares of right rollouts, (problems,); problems weigh equally.

    Raises ValueError where there are no problems.
    """
    if not len(features):
        raise ValueError("a predictor is fitted to one problem at least")
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    inputs = (features - centre) / spread

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = parameters[0] + inputs @ parameters[1:]
        errors = scipy.special.expit(logits) - share
        value = -(scipy.special.log_expit(logits) * share + scipy.special.log_expit(-logits) * (1 - share)).sum()
        gradient = np.concatenate([[errors.sum()], inputs.T @ errors + RIDGE * parameters[1:]])
        return float(value + RIDGE / 2 * (parameters[1:] ** 2).sum()), gradient

    found = scipy.optimize.minimize(loss, np.zeros(1 + len(FEATURES)), jac=True, method="L-BFGS-B").x
    weights = found[1:] / spread
    named = {name: rounded(weight) for name, weight in zip(FEATURES, weights.tolist(), strict=True)}
    return Predictor(bias=rounded(found[0] - weights @ centre), weights=named)


def rounded(value: float) -> float:
    """Round to six significant digits, so that a strategy's file is readable and the same on every machine."""
    return float(f"{value:.6g}")
