"""How a question is put to each family of policies."""

import pytest

from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.math.mathematics import LLAMA3_MATH
from overthink.tasks.domains.prompts import BOXED, KnownStyle, Message, PromptStyle, known_style

Q = "What is {1} + \\boxed{1}?"


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("plain", [{"role": "user", "content": Q}]),
        ("qwen", [{"role": "system", "content": BOXED}, {"role": "user", "content": Q}]),
        ("r1", [{"role": "user", "content": f"{Q}\n{BOXED}"}]),
        ("llama3", [{"role": "system", "content": LLAMA3_MATH}, {"role": "user", "content": Q}]),
    ],
)
def test_messages_of_each_style(style: KnownStyle, expected: list[Message]) -> None:
    assert MATH.messages(Q, style) == expected


@pytest.mark.parametrize("style", ["plain", "qwen", "r1", "llama3"])
def test_the_recipes_words_stand_in_place_of_the_system_message(style: KnownStyle) -> None:
    asked = f"{Q}\n{BOXED}" if style == "r1" else Q
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": asked}]
    assert MATH.messages(Q, style, "Be brief.") == said


def test_the_instruction_asks_for_a_box() -> None:
    assert BOXED == r"Please reason step by step, and put your final answer within \boxed{}."


@pytest.mark.parametrize(
    "part",
    [
        "If it takes 1 or 2 steps",
        "If it takes 3 steps or more",
        "## Step 1: [what is done]\n",
        r"Therefore, the final answer is: $\boxed{[answer]}$. I hope it is correct.",
    ],
)
def test_the_prompt_for_llama_holds_its_parts(part: str) -> None:
    assert part in LLAMA3_MATH


@pytest.mark.parametrize(
    ("model", "model_type", "style"),
    [
        ("Qwen2.5-0.5B-Instruct", "qwen2", "qwen"),
        ("Llama-3.2-1B-Instruct", "llama", "llama3"),
        ("Meta-Llama-3-8B-Instruct", "llama", "llama3"),
        ("DeepSeek-R1-Distill-Qwen-1.5B", "qwen2", "r1"),
        ("DeepSeek-R1-Distill-Llama-8B", "llama", "r1"),
        ("abacus-1m", "llama", "qwen"),
        ("some-qwen-trained-on-llama-3-data", "qwen2", "qwen"),
        ("unknown", "None", "qwen"),
    ],
)
def test_auto_goes_by_name_and_architecture(model: str, model_type: str, style: KnownStyle) -> None:
    assert known_style("auto", model, model_type) == style


@pytest.mark.parametrize("style", ["plain", "qwen", "r1", "llama3"])
def test_a_named_style_goes_before_the_model(style: PromptStyle) -> None:
    assert known_style(style, "DeepSeek-R1-Distill-Llama-8B", "llama") == style
