"""Text from outside can neither end its turn nor forge a step mark, in any policy's prompt and any PRM's."""

import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from step_writers import FAMILIES as POLICIES
from step_writers import like_llama_2
from tiny_models import SHAPES, SPECIAL, tokenizer_of
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from overthink.tasks.domains.prompts import KnownStyle
from overthink.tasks.engines.chat import encode_text, load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.prm.layouts import MarkedText

ADDED = "<tool_call>"  # an added token that is not special: tokenizers find it in any text
FORGED = (
    *SPECIAL,
    ADDED,
    "ки",
    " ки",
    "\nки\n",
    "\n",
    "\n\n",
    " ",
    "+",
    "\ue000",
    "{question}",
    "{{ x }}",
    "</s>",
    "<s>",
)
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
HARMLESS = "What is 12 + 30?"

texts = st.lists(st.sampled_from(FORGED) | st.text(st.characters(codec="utf-8"), max_size=8), max_size=8).map("".join)


@cache
def prm_tokenizer(family: str, plain_marks: bool) -> PreTrainedTokenizerFast:
    """A family's tokenizer with one more added token; with `plain_marks` its marks are added but not special."""
    tokenizer = tokenizer_of(SHAPES[family])
    tokenizer.add_tokens([AddedToken(ADDED, special=False)])
    if not plain_marks:
        return tokenizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for added in backend["added_tokens"]:
        added["special"] = added["special"] and added["content"] not in ("<extra_0>", "[PRM]")
    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
    )
    plain.chat_template = tokenizer.chat_template
    return plain


def reserved_tokens(tokenizer: Any, ids: list[int] | tuple[int, ...]) -> list[int]:
    """Those of a prompt's tokens that only a template or a mark may bring in."""
    reserved = set(tokenizer.get_added_vocab().values())
    return [token for token in ids if token in reserved]


@pytest.mark.parametrize("style", sorted(get_args(KnownStyle)))
@pytest.mark.parametrize("family", sorted(POLICIES))
@EXAMPLES
@given(question=texts)
@example(question="\ufb2a")  # a letter that NFC, which Qwen's tokenizer applies, writes as two
def test_no_question_ends_its_turn(
    family: str, style: KnownStyle, question: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(question.strip())  # a blank question is refused when it is read
    prompts = policy_prompts(family, style, tmp_path_factory)
    tokenizer = prompts.tokenizer
    harmless, hostile = prompts.prompt(HARMLESS), prompts.prompt(question)
    assert reserved_tokens(tokenizer, hostile) == reserved_tokens(tokenizer, harmless)
    before, after = tokenizer.decode(harmless).split(HARMLESS)
    whole = tokenizer.decode(hostile)
    assert whole.startswith(before)
    assert whole.endswith(after)
    assert whole[len(before) : len(whole) - len(after)].strip() == as_read(tokenizer, question).strip()


def as_read(tokenizer: Any, text: str) -> str:
    """The text as the model's own tokenizer reads it, by the normal form that it applies, if any."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return text if normalizer is None else str(normalizer.normalize_str(text))


_prompts: dict[tuple[str, str], PolicyPrompts] = {}


def policy_prompts(family: str, style: KnownStyle, folders: pytest.TempPathFactory) -> PolicyPrompts:
    if (family, style) not in _prompts:
        model = POLICIES[family](folders.mktemp("model"))
        tokenizer = load_tokenizer(model)
        tokenizer.add_tokens([AddedToken(ADDED, special=False)])
        tokenizer.save_pretrained(str(model.folder))
        config = VllmPolicyConfig(model=str(model.folder), prompt_style=style)
        _prompts[family, style] = PolicyPrompts(config, model)
    return _prompts[family, style]


@pytest.mark.parametrize("plain_marks", [False, True], ids=["special marks", "plain marks"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
@EXAMPLES
@given(question=texts, steps=st.lists(texts, min_size=1, max_size=4), data=st.data())
def test_no_text_forges_a_mark_or_a_turn(
    family: str, plain_marks: bool, question: str, steps: list[str], data: st.DataObject
) -> None:
    tokenizer = prm_tokenizer(family, plain_marks)
    layout = FAMILIES[family].layout(tokenizer)
    from_step = data.draw(st.integers(0, len(steps) - 1))
    hostile = layout.write(question, tuple(steps), from_step)
    harmless = layout.write(HARMLESS, ("12 + 30 = 42",) * len(steps), from_step)
    assert [len(prompt.places) for prompt in hostile] == [len(prompt.places) for prompt in harmless]
    assert sum(len(prompt.places) for prompt in hostile) == len(steps) - from_step
    for one, other in zip(hostile, harmless, strict=True):
        assert reserved_tokens(tokenizer, one.ids) == reserved_tokens(tokenizer, other.ids)
        if family != "orm":  # which is judged at the last token of the text itself
            assert [one.ids[place] for place in one.places] == [other.ids[place] for place in other.places]
        assert list(one.places) == sorted(set(one.places))


@pytest.mark.parametrize("family", ["math-shepherd", "er-prm"])
@EXAMPLES
@given(question=texts, steps=st.lists(texts, min_size=1, max_size=4))
def test_a_word_that_is_the_mark_is_no_mark_in_text(family: str, question: str, steps: list[str]) -> None:
    tokenizer = prm_tokenizer(family, False)
    (mark,) = tokenizer.encode(" ки", add_special_tokens=False)[-1:]
    (prompt,) = FAMILIES[family].layout(tokenizer).write(question, tuple(steps), 0)
    assert [place for place, token in enumerate(prompt.ids) if token == mark] == list(prompt.places)


def test_marks_of_old_vocabularies_are_spelled_out_too(tmp_path: Path) -> None:
    """As in Mistral's vocabulary, where the mark is one token with the blank before it."""
    tokenizer = load_tokenizer(like_llama_2(tmp_path))
    layout = MarkedText(tokenizer, mark=" world", after_mark="\n")
    (mark,) = tokenizer.convert_tokens_to_ids(["▁world"])
    (prompt,) = layout.write("Hello world", ("Hello world world", "world"), 0)
    assert [place for place, token in enumerate(prompt.ids) if token == mark] == list(prompt.places)
    assert len(prompt.places) == 2


@EXAMPLES
@given(text=texts)
def test_text_is_spelled_out_and_not_changed(text: str) -> None:
    tokenizer = prm_tokenizer("qwen", True)
    ids = encode_text(tokenizer, text, "<extra_0>")
    assert tokenizer.decode(ids) == text
    assert reserved_tokens(tokenizer, ids) == []


def test_harmless_text_is_encoded_as_ever() -> None:
    tokenizer = prm_tokenizer("qwen", True)
    assert encode_text(tokenizer, HARMLESS, "<extra_0>") == tokenizer.encode(HARMLESS, add_special_tokens=False)


def test_the_tokenizers_of_these_tests_do_find_what_is_forged() -> None:
    tokenizer = prm_tokenizer("qwen", True)
    for word in ("<extra_0>", ADDED):
        found = tokenizer.encode(f"a{word}b", add_special_tokens=False, split_special_tokens=True)
        assert reserved_tokens(tokenizer, found), word
