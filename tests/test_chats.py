"""Prompts are the template's own tokens for every family's tokenizer, and what a template cannot do is told at once."""

import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from chat_shapes import CHAT_SHAPES, IM, PHI4, QWEN25, ChatShape
from plans import BASE

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.domains.math.mathematics import LLAMA3_MATH
from overthink.tasks.domains.prompts import BOXED, Message
from overthink.tasks.engines.chat import encode_rounds, load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.prm.layouts import AnsweredLayout, Asked, MarkedChat, Turns
from overthink.tasks.engines.registry import identify
from overthink.tasks.engines.templates import TEMPLATE_DATE
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.recipe import Recipe

QUESTIONS = [
    "What is 1+1?",
    "$x^2$ is (a).",
    "12 and ½ ≤ 3",
    "(a) Find  the value",
    "Find\n\nit.\n- x",
    "\\frac{1}{2}",
    "Évaluez",
    "  blank around \n",
]


def prompts_of(shape: ChatShape, folder: Path, **settings: Any) -> PolicyPrompts:
    model = shape.build(folder)
    return PolicyPrompts(VllmPolicyConfig(model=str(model.folder), **settings), model)


def templates_own(tokenizer: Any, chat: list[Message], opens: bool = True) -> list[int]:
    ids = tokenizer.apply_chat_template(
        chat, add_generation_prompt=opens, tokenize=True, return_dict=False, date_string=TEMPLATE_DATE
    )
    return list(ids)


def asked(shape: str, question: str) -> list[Message]:
    """The chat that each family is asked with, by hand."""
    text = question.strip()
    match shape:
        case "Llama-3.1":
            return [{"role": "system", "content": LLAMA3_MATH}, {"role": "user", "content": text}]
        case "R1-Distill":
            return [{"role": "user", "content": f"{question}\n{BOXED}".strip()}]
        case "Gemma" | "Mistral, legacy" | "Mistral, first" | "drops the system":
            return [{"role": "user", "content": f"{BOXED}\n\n{question}".strip()}]
    return [{"role": "system", "content": BOXED}, {"role": "user", "content": text}]


@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_a_prompt_has_the_templates_own_tokens(shape: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path)
    for question in QUESTIONS:
        assert list(prompts.prompt(question)) == templates_own(prompts.tokenizer, asked(shape, question)), question


@pytest.mark.parametrize(
    ("shape", "opening"),
    [
        ("Qwen2.5", "<|im_end|>\n<|im_start|>assistant\n"),
        ("R1-Distill", "<｜Assistant｜><think>\n"),
        ("Mistral, legacy", " [/INST]"),
    ],
)
def test_what_stands_behind_the_question_is_known(shape: str, opening: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path)
    behind_question = opening if shape != "R1-Distill" else f"\n{BOXED}{opening}"
    assert prompts.opening == opening
    assert prompts.tokenizer.decode(prompts.prompt("What is x?")).endswith(f"What is x?{behind_question}")


@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_only_prompts_that_have_changed_have_another_version(shape: str, tmp_path: Path) -> None:
    model = CHAT_SHAPES[shape].build(tmp_path)
    (model.folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    determinants = identify(VllmPolicyConfig(model=str(model.folder))).determinants
    version = CHAT_SHAPES[shape].version
    assert determinants.get("prompt_tokens") == (None if version == 1 else version)
    assert "system_prompt" not in determinants


@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_steps_that_are_gone_on_from_are_the_tokens_of_the_whole(shape: str, tmp_path: Path) -> None:
    """As the policy would have written them: one text, however it is cut."""
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path)
    steps = ["Find the value.\n\n", "What is 12?\n\n", "$x$ is 42.\n\n"]
    apart = [token for number, step in enumerate(steps) for token in prompts.tokens(step, begins=number == 0)]
    assert prompts.tokenizer.decode(apart).strip() == "".join(steps).strip()
    if CHAT_SHAPES[shape].encoding != "bytes":
        assert apart == prompts.tokenizer.encode("".join(steps), add_special_tokens=False)


@pytest.mark.parametrize("shape", ["Llama-2, legacy", "Mistral, first", "Phi-3, first", "Gemma", "DeepSeek", "Qwen2.5"])
def test_rounds_have_the_templates_own_tokens_and_begin_alike(shape: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(CHAT_SHAPES[shape].build(tmp_path))
    texts = ["What is x? Find it.", "+", "The answer is 12", "+", "(a) 42", "+"]
    chat: list[Message] = [
        {"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(texts)
    ]
    ids, starts = encode_rounds(tokenizer, texts)
    assert ids == templates_own(tokenizer, chat, opens=False)
    assert encode_rounds(tokenizer, texts[:2])[0] == ids[: len(encode_rounds(tokenizer, texts[:2])[0])]
    for start, text in zip(starts, texts, strict=True):
        ahead = tokenizer.decode(ids[start:]).strip()
        assert ahead.startswith(text)
        assert not tokenizer.decode(ids[start + 1 :]).strip().startswith(text)


@pytest.mark.parametrize("shape", ["Mistral, legacy", "Gemma", "Llama-2, always"])
def test_prms_are_asked_in_the_templates_own_tokens(shape: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(CHAT_SHAPES[shape].build(tmp_path))
    question, steps = "What is 12 + 30?", ("Find it.", "The answer is 42.")
    (_, answered) = AnsweredLayout(tokenizer).write(question, steps, 0)
    said: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": "\n\n".join(steps)}]
    assert list(answered.ids) == templates_own(tokenizer, said, opens=False)
    (_, judged) = Asked(tokenizer).write(question, steps, 0)
    assert list(judged.ids) == templates_own(tokenizer, Asked._asking(question, steps))
    assert judged.places == (len(judged.ids) - 1,)
    (turned,) = Turns(tokenizer, "+").write(question, steps, 0)
    assert [tokenizer.decode(turned.ids[place + 1]).strip() for place in turned.places] == ["+", "+"]


def test_a_prm_without_a_system_role_is_told_the_task_by_the_user(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(CHAT_SHAPES["Gemma"].build(tmp_path))
    layout = MarkedChat(tokenizer, "<eos>")
    (prompt,) = layout.write("What is x?", (), 0)
    assert list(prompt.ids) == templates_own(tokenizer, asked("Gemma", "What is x?"))
    assert layout.version == 2


def test_text_that_holds_a_templates_token_is_spelled_out_wherever_a_template_is_encoded_whole(tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES["Mistral, legacy"], tmp_path)
    ids = prompts.prompt("What is <s> and </s>?")
    assert [ids.count(token) for token in prompts.tokenizer.convert_tokens_to_ids(["<s>", "</s>"])] == [1, 0]
    assert "What is <s> and </s>?" in prompts.tokenizer.decode(ids)


@pytest.mark.parametrize("style", ["qwen", "llama3", "plain", "r1"])
def test_a_recipes_own_system_prompt_goes_before_the_styles(style: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES["Qwen2.5"], tmp_path, prompt_style=style, system_prompt="Be brief.")
    text = prompts.tokenizer.decode(prompts.prompt("What is x?"))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is x?")
    assert (BOXED in text) == (style == "r1"), "which is no system message but part of the question"


def with_weights(model: ModelFiles) -> str:
    (model.folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return str(model.folder)


def test_a_system_prompt_changes_the_key_and_its_absence_does_not(tmp_path: Path) -> None:
    folder = with_weights(CHAT_SHAPES["Qwen2.5"].build(tmp_path))
    without, styled = identify(VllmPolicyConfig(model=folder)), VllmPolicyConfig(model=folder, system_prompt=BOXED)
    assert identify(styled) == without, "it is the text that counts"
    assert identify(VllmPolicyConfig(model=folder, system_prompt="Be brief.")) != without


def planned(folder: str) -> None:
    recipe = Recipe.model_validate(BASE | {"policy": {"engine": "vllm", "model": folder}})
    plan_evaluation(recipe, load_problems(recipe.problems))


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "has no chat template, as models have that were never taught to chat: name the instruct model, or put"),
        ("{{ raise_exception('not today') }}", r"cannot write a chat of 1 \(TemplateError: not today\): mend its"),
        ("{% for %}", r"cannot write a chat of 1 \(TemplateSyntaxError: .*\): mend its chat_template"),
        ("{{ messages[0].content[:0] }}", r"cannot write a chat of 1 \(it shows 0 messages\)"),
        ("{{ messages[-1].content * 2 }}", r"cannot write a chat of 1 \(it shows 2 messages\)"),
    ],
    ids=["a base model", "refuses", "no template", "drops the question", "asks twice"],
)
def test_what_a_template_cannot_do_is_told_when_the_run_is_planned(
    template: str | None, told: str, tmp_path: Path
) -> None:
    folder = with_weights(ChatShape("bytes", template, IM, 1).build(tmp_path))
    with pytest.raises(EngineUnavailable, match=told):
        planned(folder)


BOMBS = {
    "3 GB": "{{ 'x' * 3000000000 }}",
    "3 GB in parts": "{% set ns = namespace(s='x') %}{% for _ in range(32) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "100 MB of output": "{{ 'x' * 100000000 }}",
    "an endless loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_template_that_fills_the_machine_is_stopped_with_one_message(bomb: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = ChatShape("bytes", BOMBS[bomb] + PHI4, (*IM, "<|im_sep|>"), 1).build(tmp_path)
    folder, begun = with_weights(model), time.monotonic()
    with pytest.raises(EngineUnavailable, match=f"the chat template of {folder} was stopped: .*mend its chat_template"):
        planned(folder)
    assert time.monotonic() - begun < 110
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes of this process"


def test_a_tokenizer_that_is_torn_is_told(tmp_path: Path) -> None:
    folder = with_weights(ChatShape("bytes", QWEN25, IM, 1).build(tmp_path))
    (Path(folder) / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(EngineUnavailable, match="holds no usable tokenizer .*fetch its tokenizer files again"):
        planned(folder)
