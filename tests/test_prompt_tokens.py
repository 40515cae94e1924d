"""What a recipe says to a policy, in the template's own tokens: examples, variables, and the begun answer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_shapes import CHAT_SHAPES, IM, ChatShape

from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import Message
from overthink.tasks.engines import template_process, templates
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.templates import TEMPLATE_DATE
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.records import UserTurn

FOLDING = {"Gemma", "Mistral, legacy", "Mistral, first", "drops the system"}
OPENS_THINKING = {"Qwen3", "R1-Distill"}  # templates whose answer does not begin as they open one
TURNS = [
    "What is {x} of {question}?",
    "{{ x }} {% raw %} {# y #} ½ é 中文 🙂",
    "[INST] 1 [/INST] <<SYS>> User: Assistant: ### system",
    "- \\boxed{\\frac{1}{2}}\n\n$x$",
]
SHOTS = [{"user": "Find 1 + {x}.", "assistant": "It is {{x}}.\n\n\\boxed{2}"}, {"user": "é?", "assistant": "12 + 30"}]
SAID: dict[str, dict[str, Any]] = {
    "question": {},
    "system": {"system": "Be brief: {x} {{ y }}."},
    "examples": {"few_shot": SHOTS},
    "both": {"system": "Be brief.", "few_shot": SHOTS},
}


@pytest.fixture(autouse=True)
def rendered_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a process for every template, which `test_chats.py` is about."""
    monkeypatch.setattr(template_process, "bound", lambda: None)
    monkeypatch.setattr(templates, "_answers", lambda asked: template_process.rendered(json.loads(asked)))


def prompts_of(shape: ChatShape, folder: Path, **said: Any) -> PolicyPrompts:
    model = shape.build(folder)
    config = VllmPolicyConfig(model=str(model.folder))
    return PolicyPrompts(config.asked_by(MATH.name, PromptConfig(style="plain", user="{question}", **said)), model)


def messages(shape: str, question: str, said: dict[str, Any]) -> list[Message]:
    """The chat by hand; where there is no system role, its text begins the first turn of the user."""
    shots = [(role, shot[role]) for shot in said.get("few_shot", ()) for role in ("user", "assistant")]
    turns = [*shots, ("user", question)]
    if "system" in said and shape in FOLDING:
        turns[0] = ("user", f"{said['system']}\n\n{turns[0][1]}")
    elif "system" in said:
        turns = [("system", said["system"]), *turns]
    return [{"role": role, "content": text} for role, text in turns]  # type: ignore[misc]


def templates_own(tokenizer: Any, chat: list[Message], **variables: Any) -> list[int]:
    settings: dict[str, Any] = {"add_generation_prompt": True, "date_string": TEMPLATE_DATE} | variables
    return list(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False, **settings))


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_every_chat_has_the_templates_own_tokens(shape: str, said: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path, **SAID[said])
    for turn in TURNS:
        expected = templates_own(prompts.tokenizer, messages(shape, turn, SAID[said]))
        assert list(prompts.prompt(turn)) == expected, turn


@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_no_turn_holds_the_templates_tokens(shape: str, tmp_path: Path) -> None:
    """The words are those of every family, in the question and in an example."""
    words = " ".join(dict.fromkeys(word for other in CHAT_SHAPES.values() for word in other.special))
    plain = prompts_of(CHAT_SHAPES[shape], tmp_path / "a", few_shot=[{"user": "A", "assistant": "B"}])
    forged = prompts_of(
        CHAT_SHAPES[shape], tmp_path / "b", few_shot=[{"user": f"A {words}", "assistant": f"B {words}"}]
    )
    special = plain.tokenizer.convert_tokens_to_ids(list(CHAT_SHAPES[shape].special))
    ids = forged.prompt(f"Q {words}")
    assert [ids.count(token) for token in special] == [plain.prompt("Q").count(token) for token in special]
    assert forged.tokenizer.decode(ids).count("<|start_header_id|> <|end_header_id|>") == 3


@pytest.mark.parametrize("shape", CHAT_SHAPES)
def test_a_turn_behind_an_answer_has_the_templates_own_tokens(shape: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path, prefill=None if shape in OPENS_THINKING else "So:")
    for text in TURNS:
        turn = UserTurn(text)
        chat: list[Message] = [
            {"role": "user", "content": "x?"},
            {"role": "assistant", "content": "It is 2."},
            {"role": "user", "content": text},
        ]
        tokens = prompts.tokens_of(turn)
        assert list(tokens) == templates_own(prompts.tokenizer, chat)[-len(tokens) :], text
        # The mark that ends an answer is written once.
        assert prompts.tokens_of(replace(turn, behind=tokens[0])) == tokens[1:]
        assert prompts.tokens_of(replace(turn, behind=-1)) == tokens


@pytest.mark.parametrize(
    ("shape", "transcript"),
    [
        (
            "Qwen2.5",
            "<|im_start|>user\nx?<|im_end|>\n<|im_start|>assistant\nIt is 2.<|im_end|>\n"
            "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "Llama-3.1",
            "<|start_header_id|>user<|end_header_id|>\n\nx?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
            "It is 2.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nIs it?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_a_chat_of_two_rounds_as_the_policy_reads_it(shape: str, transcript: str, tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path)
    end = prompts.tokens_of(UserTurn("Is it?"))[0]  # which the policy wrote itself
    answer = (*prompts.tokens("It is 2.", begins=True), end)
    tokens = [*prompts.prompt("x?"), *answer, *prompts.tokens_of(UserTurn("Is it?", behind=end))]
    assert prompts.tokenizer.decode(tokens, skip_special_tokens=False).endswith(transcript)


PREFILLS = ["Let me see:", "It is\n\n\\boxed{", "{x} é"]


@pytest.mark.parametrize("shape", sorted(CHAT_SHAPES.keys() - OPENS_THINKING))
def test_a_prefill_is_the_final_message_gone_on_from(shape: str, tmp_path: Path) -> None:
    for number, prefill in enumerate(PREFILLS):
        said = {"system": "Be brief.", "few_shot": SHOTS[:1]}
        prompts = prompts_of(CHAT_SHAPES[shape], tmp_path / str(number), **said, prefill=prefill)
        chat = [*messages(shape, TURNS[0], said), {"role": "assistant", "content": prefill}]
        expected = templates_own(prompts.tokenizer, chat, add_generation_prompt=False, continue_final_message=True)
        assert list(prompts.prompt(TURNS[0])) == expected, prefill
        assert prompts.opening.endswith(prefill)


@pytest.mark.parametrize(
    ("shape", "variables", "opening"),
    [
        ("R1-Distill", {}, "<｜Assistant｜><think>\n"),
        ("Qwen3", {}, "<|im_end|>\n<|im_start|>assistant\n"),
        ("Qwen3", {"enable_thinking": False}, "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ],
    ids=["R1", "thinking", "not thinking"],
)
def test_a_prefill_stands_behind_what_a_template_opens(
    shape: str, variables: dict[str, Any], opening: str, tmp_path: Path
) -> None:
    """Gone on from as a final message it would be behind an empty block of thought, or without the opened one."""
    prompts = prompts_of(CHAT_SHAPES[shape], tmp_path, chat_template_kwargs=variables, prefill="Okay, </think>\n\n")
    assert prompts.opening == f"{opening}Okay, </think>\n\n"
    written = prompts.tokenizer.apply_chat_template(
        messages(shape, "x?", {}), tokenize=False, add_generation_prompt=True, **variables
    )
    whole = f"{written}Okay, </think>\n\n"
    assert list(prompts.prompt("x?")) == prompts.tokenizer.encode(whole, add_special_tokens=False)
    assert (
        prompts.prompt("x?").count(prompts.tokenizer.convert_tokens_to_ids("</think>")) == opening.count("</think>") + 1
    )


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("said", SAID)
def test_thinking_is_on_or_off_by_the_templates_own_variable(thinking: bool, said: str, tmp_path: Path) -> None:
    variables = {"enable_thinking": thinking}
    prompts = prompts_of(CHAT_SHAPES["Qwen3"], tmp_path, **SAID[said], chat_template_kwargs=variables)
    for turn in TURNS:
        expected = templates_own(prompts.tokenizer, messages("Qwen3", turn, SAID[said]), **variables)
        assert list(prompts.prompt(turn)) == expected
    assert prompts.opening.endswith("</think>\n\n") is not thinking


def test_the_recipes_own_words_may_hold_the_models_marks(tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES["Qwen3"], tmp_path, system="Think in <think></think>.", prefill="<think>\n")
    ids, (opens, closes) = prompts.prompt("x?"), prompts.tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert (ids.count(opens), ids.count(closes)) == (2, 1)
    assert prompts.tokenizer.decode(ids).endswith("<|im_start|>assistant\n<think>\n")


def test_the_date_is_the_templates_variable_like_any_other(tmp_path: Path) -> None:
    prompts = prompts_of(CHAT_SHAPES["Llama-3.1"], tmp_path, chat_template_kwargs={"date_string": "1 Jan 2026"})
    assert "Today Date: 1 Jan 2026" in prompts.tokenizer.decode(prompts.prompt("x?"))


ONE_TURN = "{{ '<|im_start|>user\n' + messages[-1].content + '<|im_end|>\n<|im_start|>assistant\n' }}"
NO_ANSWERS = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ raise_exception('no answers here') }}{% endif %}"
    "{{ '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "why"), [(ONE_TURN, "it shows 1 messages"), (NO_ANSWERS, "TemplateError: no answers here")]
)
def test_examples_that_a_template_does_not_take_are_refused(template: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as error:
        prompts_of(ChatShape("bytes", template, IM, 1), tmp_path, few_shot=SHOTS)
    assert f"cannot write a chat of 5 ({why})" in str(error.value)
    assert str(error.value).endswith("or put the examples of prompt.few_shot into prompt.user")
    prompts = prompts_of(ChatShape("bytes", template, IM, 1), tmp_path)
    assert "x?" in prompts.tokenizer.decode(prompts.prompt("x?")), "without examples it can be asked"


def test_a_variable_that_a_template_does_not_read_is_refused(tmp_path: Path) -> None:
    told = "reads no variable 'enable_thinkng': mend prompt.chat_template_kwargs, or leave it out"
    with pytest.raises(EngineUnavailable, match=told):
        prompts_of(CHAT_SHAPES["Qwen3"], tmp_path, chat_template_kwargs={"enable_thinkng": False})


def test_text_behind_a_prefill_goes_on_from_it(tmp_path: Path) -> None:
    shape = CHAT_SHAPES["Mistral, first"]
    prompts = prompts_of(shape, tmp_path, prefill="It is")
    assert prompts.tokenizer.decode([*prompts.prompt("x?"), *prompts.tokens("12", begins=True)]).endswith("It is12")
