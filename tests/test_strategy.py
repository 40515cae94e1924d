"""A strategy and its file: what it says of a problem, and what it says of a file that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from strategies import choice, fixed_choice, strategy, strategy_value

from overthink.tasks.errors import UserError
from overthink.tasks.recipes.strategy_file import read_strategy, write_strategy


def pilots(*last_scores: float) -> np.ndarray[Any, Any]:
    """(problems, FEATURES), all 0 but the first."""
    return np.array([[score, 0, 0, 0, 0, 0] for score in last_scores])


def test_a_pilot_tells_the_pass_at_1_and_that_the_choice() -> None:
    made = strategy()
    easy, hard = made.predicted(pilots(0.9, 0.1)).tolist()
    assert (easy, hard) == (pytest.approx(1 / (1 + np.exp(-4))), pytest.approx(1 / (1 + np.exp(4))))
    assert made.choice(16, easy).method.method_id == "best_of_n-n16"
    assert made.choice(16, hard).method.method_id == "beam_search-n12-m4"
    assert made.choice(4, easy).selector == "majority"


def test_a_budget_without_a_choice_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="trial has no choice for a budget of 8: take one of 4, 16"):
        strategy().choice(8, 0.5)


def test_what_the_budgets_promise_and_take_scales_with_the_pilot() -> None:
    found = strategy().prospects(pilots(0.9, 0.1), np.array([50.0, 200.0]))
    assert found.budgets.tolist() == [4, 16]
    assert found.accuracy == pytest.approx(np.array([[0.5, 1 / (1 + np.exp(-4))], [0.5, 1 / (1 + np.exp(4))]]))
    # 16 samples cost the easy one four times its pilot; the search brings the hard one to seven times its own.
    assert found.tokens.tolist() == [[50.0, 200.0], [200.0, 1400.0]]
    assert found.flops[1].tolist() == [4e6 * 2, 16e6 * 2]
    assert found.flops[0, 0] == 4e6 / 2 and np.isnan(found.flops[0, 1]), "unknown is not 0"


def test_what_is_written_is_read_again_and_says_so_in_words(tmp_path: Path) -> None:
    made = strategy()
    write_strategy(made, tmp_path / "strategy.yaml")
    assert read_strategy(tmp_path / "strategy.yaml") == made
    text = (tmp_path / "strategy.yaml").read_text(encoding="utf-8")
    assert "difficulty: hard" in text and "method: beam_search" in text


def test_a_strategy_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write .*name a file in an existing folder"):
        write_strategy(strategy(), tmp_path / "nowhere" / "strategy.yaml")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"extra": 1}, "extra: unknown key"),
    "another version": ({"version": 2}, "version: 2 is not 1: write 1"),
    "no selector of that name": (
        {"choices": [choice(4, "easy", selector="best")]},
        "choices.0.selector: 'best' is unknown: name one of majority",
    ),
    "no choice for a difficulty": (
        {"choices": strategy_value()["choices"][:5]},
        "choices: each budget has one for each of easy, medium, hard",
    ),
    "two for one": (
        {"choices": [*strategy_value()["choices"], choice(4, "easy")]},
        "choices: each budget has one for each of easy, medium, hard",
    ),
    "an n that is no whole budget": (
        {"choices": [choice(4, name, method={"method": "best_of_n", "n": 3}) for name in ("easy", "medium", "hard")]},
        "best_of_n-n3 cannot be that of budget 4: its n is 4, the pilot's included",
    ),
    "a search that leaves out the pilot": (
        {"choices": [choice(16, name, method={"method": "dvts", "n": 16}) for name in ("easy", "medium", "hard")]},
        "dvts-n16-m4 cannot be that of budget 16: its n is 12, beside a pilot of 4",
    ),
    "less than the pilot": (
        {"choices": [choice(2, name) for name in ("easy", "medium", "hard")]},
        "budget 2 is less than the pilot of 4",
    ),
    "a whole budget that is none": (
        {"without_pilot": [fixed_choice(16, method={"method": "dvts", "n": 12})]},
        "without_pilot: dvts-n12-m4 cannot be that of budget 16: its n is the budget, one of 4, 16",
    ),
    "no expectation": ({"expectations": []}, "expectations: there is one for each of the budgets 4, 16"),
    "a name that no method_id can hold": ({"name": "it's"}, 'name: "it\'s" is no such name: write it with letters'),
    "bins upside down": ({"difficulty": {"easy": 0.1, "hard": 0.5}}, "difficulty: hard = 0.5 must be below easy = 0.1"),
    "other features": ({"predictor": {"bias": 0, "weights": {"luck": 1}}}, "predictor: weights are of last_score"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_by_file_and_key(name: str, tmp_path: Path) -> None:
    changes, message = WRONG[name]
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(strategy_value(**changes)), encoding="utf-8")
    with pytest.raises(UserError) as told:
        read_strategy(path)
    assert str(told.value).startswith(f"{path}: ")
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "name a file that `overthink fit` wrote"),
        ("a: [", "cannot be read as YAML"),
        ("- 1", "a strategy is a mapping of keys to values, as `overthink fit` writes it"),
    ],
)
def test_a_file_that_is_no_strategy_is_told(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "strategy.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as told:
        read_strategy(path)
    assert str(path) in str(told.value)
