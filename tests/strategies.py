"""A strategy on fakes, to be changed and validated."""

from typing import Any

from overthink.tasks.analysis.difficulty import FEATURES
from overthink.tasks.recipes.strategy_file import Strategy

Row = dict[str, Any]
FLAT: Row = {"bias": 0.0, "weights": dict.fromkeys(FEATURES, 0.0)}
BY_LAST_SCORE: Row = {"bias": -5.0, "weights": dict.fromkeys(FEATURES, 0.0) | {"last_score": 10.0}}


def choice(budget: int, difficulty: str, **changes: Any) -> Row:
    figures = {"problems": 10, "accuracy": 0.5, "ci_low": 0.3, "ci_high": 0.7}
    costs = {"pilot_tokens": 100.0, "policy_tokens": 100.0 * budget / 4, "flops": 1e6 * budget}
    settings = {"budget": budget, "difficulty": difficulty, "selector": "prm_min_vote"}
    return {"method": {"method": "best_of_n", "n": budget}, **settings, **figures, **costs, **changes}


def fixed_choice(budget: int, **changes: Any) -> Row:
    """What all problems get at a budget that has no pilot."""
    kept = {key: value for key, value in choice(budget, "easy").items() if key not in ("difficulty", "pilot_tokens")}
    return {**kept, "method": {"method": "beam_search", "n": budget}, **changes}


def strategy_value(**changes: Any) -> Row:
    """By the mean last score: hard below 0.28, easy from 0.5 on; with a budget of 16 the hard ones are searched for."""
    search = {"method": {"method": "beam_search", "n": 12}, "policy_tokens": 700.0}
    return {
        "name": "trial",
        "policy": {"engine": "fake"},
        "policy_id": "fake@1",
        "prm": {"engine": "fake"},
        "prm_id": "fake@2",
        "sampling": {"max_tokens": 256},
        "grading": {},
        "seed": 0,
        "difficulty": {},
        "predictor": BY_LAST_SCORE,
        "fitted_from": ["run-1"],
        "choices": [
            choice(4, "easy", selector="majority"),
            choice(4, "medium"),
            choice(4, "hard"),
            choice(16, "easy", flops=None),
            choice(16, "medium"),
            choice(16, "hard", **search),
        ],
        "expectations": [{"budget": 4, "accuracy": FLAT}, {"budget": 16, "accuracy": BY_LAST_SCORE}],
        **changes,
    }


def strategy(**changes: Any) -> Strategy:
    return Strategy.model_validate(strategy_value(**changes))
