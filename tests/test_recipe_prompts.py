"""The recipe's `prompt`: how it goes with the styles, the older settings of a policy, and the keys."""

import json
from pathlib import Path
from typing import Any

import pytest
from applied import POLICY, plan_of, recipe_value, written
from chat_shapes import CHAT_SHAPES, QWEN25
from plans import BASE

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import BOXED
from overthink.tasks.engines.engine_config import FakePolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.policy_thinking import thinking_of
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.recipes.reasoning_config import ReasoningConfig
from overthink.tasks.recipes.recipe import Recipe
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
    problem_set = load_problems(recipe.problems, asking=recipe.asking)
    assert [problem.asked for problem in plan_evaluation(recipe, problem_set).problems.all] == ["1+1?!"]
    with pytest.raises(UserError, match=r"was fitted with prompt.user = {question}!, and here it is None"):
        plan_of(recipe_value(path, {"n": 16}))


@pytest.mark.parametrize(
    ("prefill", "opened"),
    [
        ("Okay", False),
        ("<think>\n", True),
        ("<think>\nOkay, let me see.\n\n", True),
        ("<think>\nOkay.\n</think>\n\nThe answer", None),
        ("<think></think><think>\nOnce more", True),
    ],
)
def test_what_is_prefilled_opens_or_closes_the_reasoning(prefill: str, opened: bool | None, tmp_path: Path) -> None:
    model = with_weights(CHAT_SHAPES["Qwen3"].build(tmp_path))
    thinking = thinking_of(ReasoningConfig(), identify(policy(model, {"prefill": prefill})))
    assert (None if thinking is None else thinking.opened) == opened


SHOTS = [{"user": "1+1?", "assistant": "\\boxed{2}"}]


def shots_file(folder: Path, *lines: Any) -> str:
    path = folder / "shots.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


def test_all_that_is_asked_is_in_the_key_and_nothing_else(model: str) -> None:
    said: list[dict[str, Any]] = [
        {},
        {"system": "Be brief."},
        {"style": "plain"},
        {"user": "{question}!"},
        {"few_shot": SHOTS},
        {"few_shot": SHOTS * 2},
        {"chat_template_kwargs": {"add": True}},
        {"chat_template_kwargs": {"add": 1.5}},
        {"prefill": "Okay"},
        {"prefill": "Okay "},
    ]
    (Path(model) / "chat_template.jinja").write_text(f"{QWEN25}{{# add #}}")
    found = [identify(policy(model, prompt)).address for prompt in said]
    assert len(set(found)) == len(said)
    unused = {"few_shot": [], "chat_template_kwargs": {}, "prefill": None, "user": None, "system": None}
    assert identify(policy(model, unused)).address == found[0] == identify(VllmPolicyConfig(model=model)).address
    assert not {"prefill", "chat_template_kwargs"} & identify(policy(model, unused)).determinants.keys()


def test_examples_are_read_from_a_file_and_the_recipe_holds_them(model: str, tmp_path: Path) -> None:
    path = shots_file(tmp_path, {"user": " 1+1? ", "assistant": "\\boxed{2}"}, "", *SHOTS)
    named, spelled = policy(model, {"few_shot": path}), policy(model, {"few_shot": SHOTS * 2})
    assert named.prompt == spelled.prompt
    assert identify(named) == identify(spelled), "it is their text that counts"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "row 2: not JSON"),
        ({"question": "1", "answer": "2"}, "row 2: an example has the fields user and assistant, not question, answer"),
        ({"user": "1", "assistant": " "}, "row 2: field 'assistant' is empty"),
        ({"user": "1", "assistant": ["2"]}, "row 2: field 'assistant' is a list"),
    ],
)
def test_a_bad_example_is_told_with_its_row(line: Any, told: str, tmp_path: Path) -> None:
    path = shots_file(tmp_path, *SHOTS, line)
    with pytest.raises(UserError) as error:
        check_recipe(BASE | {"prompt": {"few_shot": path}})
    assert str(error.value).startswith(f"{path}, {told}")


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ({"few_shot": "nowhere.jsonl"}, "nowhere.jsonl: cannot be read .*check `prompt.few_shot`"),
        ({"few_shot": [{"user": "1"}]}, "prompt.few_shot.0.assistant: is missing: add it"),
        (
            {"chat_template_kwargs": {"messages": []}},
            "chat_template_kwargs: messages is set by Overthink: leave it out",
        ),
        ({"prefill": ""}, "prompt.prefill: it is empty: give at least 1"),
        ({"think": True}, "prompt.think: unknown key"),
        ({"style": "chatml"}, "prompt.style: 'chatml' is unknown"),
    ],
)
def test_what_is_no_prompt_is_told_with_its_key(prompt: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        check_recipe(BASE | {"prompt": prompt})


def test_an_empty_file_of_examples_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no example in it; leave out `prompt.few_shot`"):
        check_recipe(BASE | {"prompt": {"few_shot": shots_file(tmp_path)}})


def test_a_chat_endpoint_opens_the_answer_itself() -> None:
    served = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    with pytest.raises(UserError, match="policy: prompt.prefill begins the assistant's turn.*name its `tokenizer`"):
        check_recipe(BASE | {"policy": served, "prompt": {"prefill": "Okay"}})
    with_tokenizer = served | {"tokenizer": "zoo/abacus-1m"}
    assert (
        check_recipe(BASE | {"policy": with_tokenizer, "prompt": {"prefill": "Okay"}}).policy.prompt.prefill == "Okay"
    )
