"""The recipe's `prompt`: how it goes with the styles, the older settings of a policy, and the keys."""

from pathlib import Path
from typing import Any

import pytest
from applied import POLICY, plan_of, recipe_value, written
from chat_shapes import CHAT_SHAPES
from plans import BASE

from overthink.tasks.datasets.sources import load_problems
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import BOXED
from overthink.tasks.engines.engine_config import FakePolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.recipes.recipe import PrmTrainRecipe, Recipe
from overthink.tasks.recipes.sweep_recipe import SweepRecipe
from overthink.tasks.strategy.solve_recipe import solve_recipe


def with_weights(model: ModelFiles) -> str:
    (model.folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return str(model.folder)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return with_weights(CHAT_SHAPES["Qwen2.5"].build(tmp_path))


def policy(model: str, prompt: dict[str, Any], **settings: Any) -> VllmPolicyConfig:
    value = BASE | {"policy": {"engine": "vllm", "model": model, **settings}, "prompt": prompt}
    config = check_recipe(value).policy
    assert isinstance(config, VllmPolicyConfig)
    return config


def asked(config: VllmPolicyConfig, text: str = "What is x?") -> str:
    prompts = PolicyPrompts(config, ModelFiles("tiny", Path(config.model)))
    return str(prompts.tokenizer.decode(prompts.prompt(text)))


def test_the_older_settings_of_a_policy_say_the_same_in_the_same_keys(model: str) -> None:
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"style": "r1"}, {"prompt_style": "r1"}),
        ({"system": "Be brief."}, {"system_prompt": "Be brief."}),
        ({"style": "plain", "system": "Be brief."}, {"prompt_style": "plain", "system_prompt": "Be brief."}),
        ({"system": "Be brief."}, {"prompt_style": "auto", "system_prompt": "Be brief."}),
        ({}, {}),
    ]
    for prompt, settings in pairs:
        new, old = policy(model, prompt), policy(model, {}, **settings)
        assert asked(new) == asked(old)
        assert identify(new) == identify(old) == identify(VllmPolicyConfig(model=model, **settings))


@pytest.mark.parametrize(
    ("prompt", "settings", "told"),
    [
        ({"style": "r1"}, {"prompt_style": "qwen"}, "prompt_style and the recipe's prompt.style say the same thing"),
        ({"system": "a"}, {"system_prompt": "b"}, "leave out system_prompt"),
    ],
)
def test_what_both_say_is_an_error(prompt: dict[str, Any], settings: dict[str, Any], told: str, model: str) -> None:
    with pytest.raises(UserError, match=f"policy: .*{told}"):
        policy(model, prompt, **settings)


def test_the_recipes_user_turn_stands_in_place_of_the_styles(model: str) -> None:
    turn = "<|im_start|>user\nWhat is x?<|im_end|>\n<|im_start|>assistant\n"
    assert asked(policy(model, {"user": "{question}"})).endswith(turn)
    assert asked(policy(model, {"user": "{question}", "style": "r1"})).endswith(turn), "without its instruction"
    assert BOXED in asked(policy(model, {"style": "r1"})).split("<|im_start|>user")[1]
    assert f"system\n{BOXED}<" in asked(policy(model, {"user": "{question}"})), "and the style's system message stays"


def test_a_recipe_that_was_written_out_reads_back_with_its_prompt(model: str) -> None:
    value = BASE | {
        "policy": {"engine": "vllm", "model": model, "prompt_style": "r1"},
        "prompt": {"system": "Be brief."},
    }
    recipe = check_recipe(value)
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe
    assert again.policy.prompt == recipe.policy.prompt
    assert (again.policy.prompt.style, again.policy.prompt.system) == ("r1", "Be brief.")


def test_every_run_of_a_sweep_and_of_a_training_is_asked_alike() -> None:
    prompt = {"user": "{question}!"}
    common = {"name": "all", "prompt": prompt, "policy": {"engine": "fake"}}
    problems = {"source": "chains", "count": 2}
    training = {"base": {"model": "zoo/abacus-1m"}}
    train = PrmTrainRecipe.model_validate({**common, "problems": problems, "training": training})
    assert train.rolling_out().policy.prompt.user == "{question}!"
    del common["policy"]
    sweep = SweepRecipe.model_validate(
        {
            **common,
            "problems": [problems],
            "policies": [{"engine": "fake"}, {"engine": "fake", "steps": 2}],
            "methods": [{"method": "best_of_n"}],
            "budgets": [2],
        }
    )
    assert [recipe.policy.prompt.user for recipe in sweep.recipes()] == ["{question}!", "{question}!"]


def test_a_strategy_is_applied_with_the_prompt_it_was_fitted_with(tmp_path: Path) -> None:
    prompt = PromptConfig(user="{question}!")
    address = identify(FakePolicyConfig(**POLICY).asked_by(MATH.name, prompt)).address
    path = written(tmp_path, prompt=prompt, policy_id=address)
    limit = {"n": 16, "total_tokens": None, "total_flops": None}
    recipe = solve_recipe(path, {"source": "questions", "questions": ["1+1?"]}, limit, "solve")
    problem_set = load_problems(recipe.problems, template=recipe.prompt.template)
    assert [problem.asked for problem in plan_evaluation(recipe, problem_set).problems.all] == ["1+1?!"]
    with pytest.raises(UserError, match=r"was fitted with prompt.user = {question}!, and here it is None"):
        plan_of(recipe_value(path, {"n": 16}))
