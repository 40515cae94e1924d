"""Reasoning on the embedded policy in real vLLM: its first step is read as reasoning, which a blank line closes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from search_runs import one, rows

from overthink.flows.evaluate import evaluate
from overthink.tasks.recipes.recipe import Recipe

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server", "forked_engines")]

MARKS = {"open": "assistant", "close": "\n\n"}  # the end of the prompt, and of a step
BASE: dict[str, Any] = {
    "name": "first-step",
    "problems": {"source": "chains", "count": 12, "shortest": 2},
    "policy": {"engine": "vllm", "model": "zoo/abacus-1m"},
    "sampling": {"temperature": 0.8, "max_tokens": 200},
    "methods": [{"method": "cot"}],
    "budgets": [1],
}


@pytest.fixture(scope="module")
def store(prefect_server: str, forked_engines: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain solutions, the same divided, and solutions whose reasoning is cut and held back, of the same problems."""
    folder = tmp_path_factory.mktemp("reasoning")
    methods = [
        {"method": "cot"},
        {"method": "budget_forcing", "n": 4, "max_tokens": 3},
        {"method": "budget_forcing", "n": 4, "wait": 1, "text": "\n"},
    ]
    asyncio.run(evaluate(Recipe.model_validate(BASE | {"name": "plain"}), folder))
    thinks = {"reasoning": {"marks": MARKS}, "methods": methods, "budgets": [1, 4]}
    asyncio.run(evaluate(Recipe.model_validate(BASE | thinks), folder))
    return folder


def of(store: Path, run: str, method: str) -> list[dict[str, Any]]:
    where = f"run_id LIKE '{run}-%' AND method_id LIKE '{method}%'"
    return rows(store, f"SELECT * FROM rollouts WHERE {where} ORDER BY problem_id, sample_index")


def test_a_divided_solution_is_the_plain_one(store: Path) -> None:
    plain, divided = of(store, "plain", "cot"), of(store, "first-step", "cot")
    assert len(plain) == len(divided) == 12
    for whole, parts in zip(plain, divided, strict=True):
        assert parts["reasoning_text"] + MARKS["close"] + parts["text"] == whole["text"]
        assert parts["completion_tokens"] == whole["completion_tokens"]
        assert parts["logprob_sum"] == pytest.approx(whole["logprob_sum"], abs=0.05)
        assert 0 < parts["reasoning_tokens"] < parts["completion_tokens"]
        assert (parts["step_count"], parts["answer"]) == (whole["step_count"] - 1, whole["answer"])


def test_a_budget_is_cut_to_the_token(store: Path) -> None:
    cut = of(store, "first-step", "budget_forcing-n4-max_tokens3")
    assert {row["reasoning_tokens"] for row in cut} == {3}
    assert {row["stop_reason"] for row in cut} <= {"stop", "length"}
    calls = "SELECT count(*) FROM calls WHERE method_id = 'budget_forcing-n4-max_tokens3'"
    assert one(store, calls) == 2 * len(cut)


def test_an_end_is_held_back_once(store: Path) -> None:
    held = of(store, "first-step", "budget_forcing-n4-wait1")
    assert all(row["reasoning_text"].count("\n") >= 1 for row in held)
    assert any(row["answer"] is not None for row in held)
