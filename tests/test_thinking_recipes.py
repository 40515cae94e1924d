"""The recipes of thinking models: as their cards ask, on one GPU, and planned to the end with a model of their shape.

Such a model has a tokenizer and a chat template as its family has them, and weights of a few numbers.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from thinking_shapes import KNOWN
from transformers import AutoConfig, AutoModelForCausalLM

from overthink.storage.store import Store
from overthink.tasks.analysis.planning import ACCELERATORS, PARAMETERS, Assumptions
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.policy_prompts import PolicyPrompts, files_of_prompts
from overthink.tasks.plan.cost_estimate import estimates
from overthink.tasks.plan.dry_run import dry_run
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.policy_thinking import thinking_of
from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.recipes.loading import find_recipe, read_runs
from overthink.tasks.recipes.recipe import Recipe

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
# What the models' cards ask for: temperature, top_p and top_k, with 0 for all tokens; and what a model can read.
CARDS: Mapping[str, tuple[float, float, int, int]] = {
    "Qwen/Qwen3-4B": (0.6, 0.95, 20, 40_960),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": (0.6, 0.95, 0, 131_072),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": (0.6, 0.95, 0, 131_072),
    "openai/gpt-oss-20b": (1.0, 1.0, 0, 131_072),
}
# Each recipe with the shape of its model, the family of its marks, and whether its prompt opens the reasoning.
SHAPES = {
    "qwen3": ("Qwen3, opened by the policy", "think", False),
    "paper-r1-distill": ("R1, opened by the template", "think", True),
    "gpt-oss": ("gpt-oss, channels", "harmony", False),
}
EFFORT = "{{ '<|start|>system<|message|>Reasoning: ' + reasoning_effort + '<|end|>' }}"  # as gpt-oss's template begins
RUNS = [(name, number) for name in SHAPES for number in range(len(read_runs(find_recipe(name))))]


def local(name: str, folder: Path) -> Recipe:
    """A recipe with a model of its shape on this disk, on generated problems."""
    shape = KNOWN[SHAPES[name][0]]
    if name == "gpt-oss":
        shape = replace(shape, template=EFFORT + shape.template)
    place = Path(shape.build(folder).folder)
    model_type = {"paper-r1-distill": "qwen2"}.get(name, shape.model_type)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    sizes |= {"num_key_value_heads": 1, "num_local_experts": 2, "num_experts_per_tok": 1, "vocab_size": 400}
    config = AutoConfig.for_model(model_type, max_position_embeddings=131_072, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(place)
    problems = "problems={source: chains, count: 2}"
    if name.startswith("paper"):
        whole = read_runs(find_recipe(name), [f"problems=[{problems.partition('=')[2]}]"])[0]
        policy = whole.policy.model_copy(update={"model": str(place)})
        return whole.model_copy(update={"policy": policy})
    return read_runs(find_recipe(name), [problems, f"policy.model={place}"])[0]


@pytest.mark.parametrize(("name", "number"), RUNS)
def test_a_policy_is_drawn_from_as_its_card_asks(name: str, number: int) -> None:
    recipe = read_runs(find_recipe(name))[number]
    policy = recipe.policy
    assert isinstance(policy, VllmPolicyConfig)
    temperature, top_p, top_k, reads = CARDS[policy.model]
    drawn = recipe.sampling.drawing()
    assert (drawn.temperature, drawn.top_p, drawn.max_tokens) == (temperature, top_p, 32_768)
    assert (drawn.top_k, drawn.min_p) == (top_k, 0)
    assert "cot" not in {method.method for method in recipe.methods}, "never greedy"
    assert policy.max_model_len is not None
    assert 32_768 + 2048 < policy.max_model_len <= reads, "there is room for the longest problems"
    assert policy.placement.devices in ((), (0,)), "one GPU"
    assert recipe.prompt.system is None


@pytest.mark.parametrize("name", SHAPES)
def test_a_recipe_is_planned_and_checked_to_the_end(name: str, tmp_path: Path) -> None:
    recipe = local(name, tmp_path)
    plan = plan_evaluation(recipe, load_problems(recipe.problems))
    told = asyncio.run(dry_run(plan, recipe, Store(tmp_path / "store")))
    assert any("longest prompt" in line and "does not fit" not in line for line in told), told
    assert plan.policy is not None
    thinking = thinking_of(recipe.reasoning, plan.policy)
    assert thinking is not None
    _, family, opened = SHAPES[name]
    assert (thinking.marks, thinking.opened) == (FAMILIES[family], opened)


@pytest.mark.parametrize("name", SHAPES)
def test_the_question_and_the_instruction_are_the_users(name: str, tmp_path: Path) -> None:
    recipe = local(name, tmp_path)
    policy: Any = recipe.policy
    model = files_of_prompts(policy)
    assert model is not None
    prompts = PolicyPrompts(policy, model)
    text = prompts.tokenizer.decode(prompts.prompt("What is x?"))
    assert f"What is x?\n{BOXED}" in text
    assert text.count(BOXED) == 1
    assert ("Reasoning: high" in text) == ("system" in text) == (name == "gpt-oss")


def test_the_template_is_told_what_the_cards_say() -> None:
    (qwen3,) = read_runs(find_recipe("qwen3"))
    (gpt_oss,) = read_runs(find_recipe("gpt-oss"))
    assert qwen3.prompt.chat_template_kwargs == {"enable_thinking": True}
    assert gpt_oss.prompt.chat_template_kwargs == {"reasoning_effort": "high"}


def test_what_the_recipes_cost_can_be_estimated() -> None:
    for name in SHAPES:
        rows = estimates(read_runs(find_recipe(name)), ACCELERATORS["h100"], Assumptions(8000), {}, None)
        assert all(row.needs.policy_hours > 0 for row in rows)
    assert set(CARDS) <= set(PARAMETERS)
