"""What a recipe will take, by hand: tokens, FLOPs and hours, what is shared, and what is not known."""

import math
from pathlib import Path
from typing import Any

import pytest
from plans import BASE, build_model
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.tasks.analysis.planning import (
    ACCELERATORS,
    PARAMETERS,
    Accelerator,
    Assumptions,
    Needs,
    needs,
    tokens_computed,
)
from overthink.tasks.errors import UserError
from overthink.tasks.plan.cost_estimate import CostEstimate, estimates
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.sweep_recipe import SweepRecipe

CARD = Accelerator(peak=1e12, source="nobody")
ASSUMED = Assumptions(tokens_per_rollout=100, prompt_tokens=10, policy_utilisation=0.1, prm_utilisation=0.5)
SIZES = {"some/policy": 1e9, "some/prm": 7e9}


def vllm(model: str) -> dict[str, Any]:
    return {"engine": "vllm", "model": model}


def estimated(**changes: Any) -> list[CostEstimate]:
    base = BASE | {"policy": vllm("some/policy"), "prm": vllm("some/prm")}
    return estimates([Recipe.model_validate(base | changes)], CARD, ASSUMED, SIZES, None)


@pytest.mark.parametrize(("n", "lookahead", "tokens"), [(1, 0, 4 * 110), (8, 0, 4 * 810), (8, 2, 4 * (10 + 2400))])
def test_a_budget_takes_its_prompt_once_and_so_many_solutions(n: int, lookahead: int, tokens: int) -> None:
    assert tokens_computed(4, n, lookahead, ASSUMED) == tokens


def test_flops_and_hours_follow_from_tokens_and_size() -> None:
    found = needs(3600e3, 1800e3, 1e9, 7e9, CARD, ASSUMED)
    # 2 · 1e9 · 3.6e6 = 7.2e15, at 1e11 FLOP/s 72,000 s; 2 · 7e9 · 1.8e6 = 2.52e16, at 5e11 FLOP/s 50,400 s
    assert found == Needs(3600e3, 1800e3, 7.2e15, 2.52e16, pytest.approx(20), pytest.approx(14))
    assert found + found == Needs(7200e3, 3600e3, 1.44e16, 5.04e16, pytest.approx(40), pytest.approx(28))


def test_what_has_no_size_is_unknown_and_what_is_not_asked_is_nothing() -> None:
    unknown = needs(100, 0, math.nan, math.nan, CARD, ASSUMED)
    assert math.isnan(unknown.policy_flops) and math.isnan(unknown.policy_hours)
    assert (unknown.prm_flops, unknown.prm_hours) == (0, 0)


def test_each_method_of_a_recipe_is_estimated() -> None:
    methods = [{"method": "cot"}, {"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 8, "lookahead": 1}]
    found = estimated(methods=methods)
    assert [(row.method_id, row.needs.policy_tokens, row.needs.prm_tokens) for row in found] == [
        ("cot", 440, 440),
        ("best_of_n-n8", 3240, 3240),
        ("beam_search-n8-m4-lookahead1", 6440, 6440),
    ]
    assert {(row.policy, row.prm, row.problem_set) for row in found} == {("policy", "prm", "chains")}
    assert found[1].needs.policy_flops == 2e9 * 3240
    assert found[1].needs.prm_flops == 14e9 * 3240


def test_without_a_prm_it_takes_nothing() -> None:
    (row,) = estimated(prm=None)
    assert (row.needs.prm_tokens, row.needs.prm_flops) == (0, 0)


def test_what_the_runs_of_a_sweep_share_counts_once() -> None:
    sweep = SweepRecipe.model_validate(
        {
            "name": "grid",
            "problems": [{"source": "chains", "count": 4}],
            "policies": [vllm("some/policy")],
            "prms": [vllm("some/prm"), vllm("other/prm")],
            "methods": [{"method": "best_of_n"}, {"method": "dvts"}],
            "budgets": [8],
        }
    )
    found = estimates(sweep.recipes(), CARD, ASSUMED, SIZES | {"other/prm": 1e9}, None)
    assert [(row.prm, row.method_id, row.needs.policy_tokens, row.needs.prm_tokens) for row in found] == [
        ("prm", "best_of_n-n8", 3240, 3240),
        ("prm", "dvts-n4-m4", 1640, 1640),
        ("prm", "dvts-n8-m4", 3240, 3240),
        ("prm", "best_of_n-n8", 0, 3240),
        ("prm", "dvts-n4-m4", 1640, 1640),
        ("prm", "dvts-n8-m4", 3240, 3240),
    ]


HUB = {"source": "hub", "dataset": "some/problems", "revision": "main"}


@pytest.mark.parametrize(
    ("source", "said", "count"),
    [
        ({"dataset": "HuggingFaceH4/MATH-500"}, None, 500),
        ({"dataset": "HuggingFaceH4/MATH-500", "limit": 20}, None, 20),
        ({"limit": 7}, None, 7),
        ({}, 9, 9),
    ],
)
def test_the_size_of_a_set_on_the_hub_is_known_limited_or_said(
    source: dict[str, Any], said: int | None, count: int
) -> None:
    changes = {"problems": HUB | source, "policy": vllm("some/policy"), "prm": None}
    (row,) = estimates([Recipe.model_validate(BASE | changes)], CARD, ASSUMED, SIZES, said)
    assert row.needs.policy_tokens == count * 810


def run_estimate(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["estimate", *words])
    return result.exit_code, result.output


def test_a_solution_has_no_more_tokens_than_the_recipe_allows() -> None:
    (whole,) = estimated(prm=None)
    (short,) = estimated(prm=None, sampling={"max_tokens": 10})
    assert short.needs.policy_tokens < whole.needs.policy_tokens / 2


def test_the_command_prints_needs_and_every_assumption() -> None:
    code, told = run_estimate("math500", "--gpu", "a100", "--tokens-per-rollout", "500", "--policy-utilisation", "0.2")
    assert code == 0
    # 500 problems: 200 tokens of prompt and 500 a solution; cot and best-of-64 together
    tokens = 500 * (200 + 500) + 500 * (200 + 64 * 500)
    (line,) = [line for line in told.splitlines() if line.startswith("│ all") and "│" in line][:1]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    policy, prm = 2 * 0.49e9 * tokens, 2 * 7.61e9 * tokens
    hours = policy / (312e12 * 0.2) / 3600 + prm / (312e12 * 0.4) / 3600
    assert cells[3:] == [*(f"{amount:.2g}" for amount in (tokens, tokens, policy, prm, hours))]
    for assumption in (
        "500 tokens a solution, sampling.max_tokens at most, 200 a prompt",
        "312.0 TFLOP/s",
        "policy reaches 20%, the PRM 40%",
    ):
        assert assumption in told


def test_a_local_model_is_counted_and_a_fake_has_no_size(tmp_path: Path) -> None:
    model = build_model(tmp_path / "tiny")  # 3 · 4 + 5 weights
    (row,) = estimated(policy=vllm(str(model)), prm=None)
    assert row.needs.policy_flops == 2 * 17 * 3240
    (row,) = estimated(policy={"engine": "fake"}, prm=None)
    assert math.isnan(row.needs.policy_flops)
    code, told = run_estimate("smoke")
    assert (code, "unknown" in told) == (0, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["math500", "--gpu", "abacus"], "the peak of 'abacus' is unknown: name one of a10, a100"),
        (["math500", "--set", "policy.model=some/model"], "the size of some/model is unknown: give it, as in"),
        (["math500", "--size", "seven"], "--size takes MODEL=PARAMETERS"),
        (["math500", "--size", "some/model=-1"], "--size takes MODEL=PARAMETERS"),
        (["math500", "--set", "problems.dataset=some/set"], "how many problems some/set has is unknown"),
        (["nonsense"], "there is no recipe 'nonsense'"),
        (["prm-eval"], "names solutions, so it is one of `overthink prm-eval`"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words: list[str], message: str) -> None:
    code, told = run_estimate(*words)
    assert code == 2
    assert message in told


def test_a_size_and_a_number_of_problems_can_be_said() -> None:
    changes = ["--set", "policy.model=some/model", "--set", "problems.dataset=some/set"]
    code, told = run_estimate("math500", *changes, "--size", "some/model=1e9", "--problems", "10")
    assert code == 0, told


def test_every_card_and_model_of_the_tables_is_positive_and_has_a_source() -> None:
    assert all(card.peak > 1e13 and "data sheet" in card.source for card in ACCELERATORS.values())
    assert all(size > 1e8 for size in PARAMETERS.values())


def test_a_model_of_unknown_size_on_the_hub_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "overthink.tasks.plan.cost_estimate.locate_model", lambda config: pytest.fail("it was looked for")
    )
    with pytest.raises(UserError, match="--size nobody/nothing=7e9"):
        estimated(policy=vllm("nobody/nothing"))
