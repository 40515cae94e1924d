"""Reasoning by the tokens of the model families: what is read as answer, steps and PRM input, and what never is.

The real prompts and policy of the vLLM adapter stand before an engine that writes what a case says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from step_writers import Writer
from thinking_shapes import KNOWN

from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.engines.chat import encode_given, encode_text
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.registry import ChatForm, EngineIdentity
from overthink.tasks.engines.vllm.vllm_policy import VllmPolicy
from overthink.tasks.errors import UserError
from overthink.tasks.methods.candidates import expand
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Generate, Score, Search
from overthink.tasks.methods.thinking import Thinking, reasoning_body, solutions
from overthink.tasks.plan.policy_thinking import thinking_of
from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.recipes.reasoning_config import ReasoningConfig
from overthink.tasks.records import Rollout, Sampling, Scores, answer_parts, path_text, steps_of

pytestmark = pytest.mark.usefixtures("without_vllm")

QUESTION = "What is x?"
SAMPLING = Sampling(temperature=0.8, top_p=1.0, max_tokens=300)
OPEN, CLOSE = "OPEN", "CLOSE"  # in a case: the family's marks as their tokens
SPELLED = "SPELLED"  # the closing mark in characters


@dataclass(frozen=True)
class Case:
    """What the policy writes behind its opening mark, and what is to be found."""

    writes: tuple[str, ...]
    answer: str | None
    steps: Sequence[str]
    stop: str = "stop"
    budget: dict[str, Any] = field(default_factory=dict)


CASES = {
    "whole": Case(
        ("Try 7: \\boxed{7}? no.", CLOSE, "\n\nIt is x.\n\nThe answer is **8**."),
        "8",
        ["It is x.", "The answer is **8**."],
    ),
    "answered in one line": Case(("a\n\nb\n\nc", CLOSE, "\\boxed{8}"), "8", ["\\boxed{8}"]),
    "unfinished": Case(("Try 7: \\boxed{7}? no, it",), None, [], "reasoning"),
    "unfinished at the limit": Case(("7 \\boxed{7} " * 60,), None, [], "reasoning"),
    "nested": Case(("a", OPEN, "b \\boxed{7}", CLOSE, "c \\boxed{6}", CLOSE, "\\boxed{8}"), "8", ["\\boxed{8}"]),
    "mark spelled out in the reasoning": Case(
        ("The tag ", SPELLED, " closes, \\boxed{7}.", CLOSE, "So \\boxed{8}."), "8", ["So \\boxed{8}."]
    ),
    "nothing but reasoning": Case(("a \\boxed{7}", CLOSE), None, []),
    "empty": Case((CLOSE, "\n\n\\boxed{8}"), "8", ["\\boxed{8}"]),
    "cut by its budget": Case(("x" * 200,), None, [], "stop", {"max_tokens": 10}),
}


def build(shape: str, folder: Any) -> PolicyPrompts:
    model = KNOWN[shape].build(folder)
    return PolicyPrompts(VllmPolicyConfig(model=str(model.folder)), model)


def identity(prompts: PolicyPrompts) -> EngineIdentity:
    chat = ChatForm(str(prompts.tokenizer.get_chat_template()), prompts.opening)
    return EngineIdentity("tiny", None, {}, chat=chat)


def thinking(prompts: PolicyPrompts, **settings: Any) -> Thinking | None:
    return thinking_of(ReasoningConfig(**settings), identity(prompts))


def tokens(prompts: PolicyPrompts, case: Case, marks: Any, opened: bool) -> list[int]:
    tokenizer = prompts.tokenizer
    found: list[int] = [] if opened else encode_given(tokenizer, marks.open)
    for piece in case.writes:
        if piece in (OPEN, CLOSE):
            found += encode_given(tokenizer, marks.open if piece == OPEN else marks.close)
        else:
            found += encode_text(tokenizer, marks.close if piece == SPELLED else piece)
    return [*found, tokenizer.eos_token_id]


class Continuing(Writer):
    """Writes the rest of one text, wherever it is asked to go on; behind a forced mark the end of the sequence."""

    def __init__(self, prompts: PolicyPrompts, text: list[int]) -> None:
        begin = len(prompts.prompt(QUESTION))

        def rest(prompt: list[int], _: Any) -> list[int]:
            written = prompt[begin:]
            return text[len(written) :] if text[: len(written)] == written else [prompts.tokenizer.eos_token_id]

        super().__init__(prompts.tokenizer, rest)


async def play(search: Search[Any], policy: VllmPolicy, scored: list[tuple[str, ...]] | None = None) -> Any:
    """A search over the policy, its requests answered one by one; steps to be scored are noted, and get 0.5."""

    async def answer(one: Any) -> Any:
        if isinstance(one, Generate):
            return await policy.generate(QUESTION, one.path, one.sampling, 7)
        if isinstance(one, Score):
            assert scored is not None
            scored.append(one.steps)
            return Scores((0.5,) * (len(one.steps) - one.from_step), 9)
        return await play(one, policy, scored)

    replies: list[Any] | None = None
    while True:
        try:
            batch = next(search) if replies is None else search.send(replies)
        except StopIteration as end:
            return end.value
        replies = [await answer(one) for one in batch]


def solve(prompts: PolicyPrompts, text: list[int], how: Thinking | None) -> tuple[Rollout, Writer]:
    writer = Continuing(prompts, text)
    policy = VllmPolicy(cast(Any, writer), prompts, 4096)
    (rollout,) = asyncio.run(play(solutions(SAMPLING, how, range(1)), policy))
    return rollout, writer


THINKS = [shape for shape in KNOWN if "empty block" not in shape]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", THINKS)
def test_the_answer_the_steps_and_the_prm_input_follow_the_reasoning(shape: str, case: str, tmp_path: Any) -> None:
    prompts, asked = build(shape, tmp_path), CASES[case]
    if SPELLED in asked.writes and "without tokens" in shape:
        pytest.skip("where no token is a mark, its characters are")
    how = thinking(prompts, **asked.budget)
    assert how is not None
    if OPEN in asked.writes and not how.marks.nests:
        pytest.skip("channels follow one another")
    text = tokens(prompts, asked, how.marks, how.opened)
    rollout, writer = solve(prompts, text, how)
    answer = path_text(answer_parts(rollout.path), "\n\n")
    assert MATH.extract(answer) == asked.answer
    assert [step.text for step in steps_of(answer_parts(rollout.path), "\n\n")] == asked.steps
    assert rollout.stop_reason == asked.stop
    thoughts = path_text(reasoning_body(rollout.path, how.marks), "\n\n")
    assert how.marks.open not in thoughts or OPEN in asked.writes
    begin = len(prompts.prompt(QUESTION))
    if not asked.budget:  # every token in its place, whatever was cut where
        last = writer.asked[-1]
        assert (last.prompt + last.tokens)[begin:] == text[: len((last.prompt + last.tokens)[begin:])]


@pytest.mark.parametrize("shape", THINKS)
def test_a_cut_reasoning_is_closed_by_the_marks_own_tokens(shape: str, tmp_path: Any) -> None:
    prompts = build(shape, tmp_path)
    how = thinking(prompts, max_tokens=10)
    assert how is not None
    text = tokens(prompts, Case(("x" * 200,), None, []), how.marks, how.opened)
    _, writer = solve(prompts, text, how)
    close = encode_given(prompts.tokenizer, how.marks.close)
    assert writer.asked[-1].prompt[-len(close) :] == close
    head = 0 if how.opened else len(encode_given(prompts.tokenizer, how.marks.open))
    assert len(writer.asked[-1].prompt) == len(prompts.prompt(QUESTION)) + head + 10 + len(close)


@pytest.mark.parametrize(
    "shape", [shape for shape in THINKS if shape not in ("R1, opened by the template", "EXAONE, another word")]
)
def test_a_policy_that_answers_at_once_is_read_as_it_stands(shape: str, tmp_path: Any) -> None:
    prompts = build(shape, tmp_path)
    how = thinking(prompts)
    assert how is not None
    direct = encode_given(prompts.tokenizer, how.marks.direct) if how.marks.direct else []
    text = [*direct, *encode_text(prompts.tokenizer, "First.\n\n\\boxed{8}"), prompts.tokenizer.eos_token_id]
    rollout, _ = solve(prompts, text, how)
    assert path_text(answer_parts(rollout.path), "\n\n") == "First.\n\n\\boxed{8}"
    assert path_text(reasoning_body(rollout.path, how.marks), "\n\n") == ""


def test_blocks_of_channels_follow_one_another(tmp_path: Any) -> None:
    prompts = build("gpt-oss, channels", tmp_path)
    how = thinking(prompts)
    assert how is not None
    between = encode_given(prompts.tokenizer, "<|end|><|start|>assistant" + how.marks.open)
    first, rest = (encode_text(prompts.tokenizer, text) for text in ("a \\boxed{6}", "b \\boxed{7}"))
    close = encode_given(prompts.tokenizer, how.marks.close)
    text = [*encode_given(prompts.tokenizer, how.marks.open), *first, *between, *rest, *close]
    text += [*encode_text(prompts.tokenizer, "\\boxed{8}"), prompts.tokenizer.eos_token_id]
    rollout, _ = solve(prompts, text, how)
    assert path_text(answer_parts(rollout.path), "\n\n") == "\\boxed{8}"


@pytest.mark.parametrize(("max_tokens", "limit"), [(3, None), (100, 3)])
def test_the_room_may_end_at_a_token_that_only_ends_a_mark(max_tokens: int, limit: int | None, tmp_path: Any) -> None:
    prompts = build("gpt-oss, channels", tmp_path)
    marks = FAMILIES["harmony"]
    message = encode_given(prompts.tokenizer, "<|message|>")
    written = [*encode_text(prompts.tokenizer, "ab")[:2], *message]
    assert len(written) == 3
    writer = Writer(prompts.tokenizer, lambda *_: [*written, *message])
    asked = replace(SAMPLING, max_tokens=max_tokens, marks=(marks.close,))
    room = None if limit is None else len(prompts.prompt(QUESTION)) + limit
    sample = asyncio.run(VllmPolicy(cast(Any, writer), prompts, room).generate(QUESTION, (), asked, 7))
    assert (list(sample.tokens), sample.stop_reason, sample.ended_by) == (written, "length", None)
    assert len(writer.asked) == 1, "a prompt that fills the context is refused by the engine"


def test_a_prompt_that_closes_the_reasoning_leaves_none(tmp_path: Any) -> None:
    prompts = build("Qwen3, an empty block in the prompt", tmp_path)
    assert thinking(prompts) is None
    with pytest.raises(UserError, match="its prompt closes the reasoning"):
        thinking(prompts, max_tokens=5)


def test_the_marks_are_found_by_the_template(tmp_path: Any) -> None:
    found = {}
    for number, shape in enumerate(THINKS):
        how = thinking(build(shape, tmp_path / str(number)))
        assert how is not None
        found[shape] = (how.marks, how.opened)
    assert found["R1, opened by the template"] == (FAMILIES["think"], True)
    assert found["Qwen3, opened by the policy"] == (FAMILIES["think"], False)
    assert found["gpt-oss, channels"] == (FAMILIES["harmony"], False)
    assert found["Magistral, brackets"] == (FAMILIES["magistral"], False)
    assert found["EXAONE, another word"] == (FAMILIES["exaone"], True)


def test_a_search_draws_its_first_step_behind_the_reasoning(tmp_path: Any) -> None:
    prompts = build("R1, opened by the template", tmp_path)
    how = thinking(prompts)
    assert how is not None
    case = CASES["whole"]
    writer = Continuing(prompts, tokens(prompts, case, how.marks, how.opened))
    policy = VllmPolicy(cast(Any, writer), prompts, 4096)
    growth = Growth(replace(SAMPLING, stop=("\n\n",)), 5, MATH.is_final, thinking=how, reasoning_tokens=200)
    scored: list[tuple[str, ...]] = []

    (node,) = asyncio.run(play(expand(growth, None, range(1), []), policy, scored))
    (second,) = asyncio.run(play(expand(growth, node, range(1), []), policy, scored))
    assert scored == [("It is x.",), ("It is x.", "The answer is **8**.")]
    assert path_text(answer_parts(second.path), "\n\n").strip() == "It is x.\n\nThe answer is **8**."
    assert second.stop == "stop"


def test_every_family_can_be_named() -> None:
    for name, marks in FAMILIES.items():
        found = thinking_of(ReasoningConfig(marks=cast(Any, name)), EngineIdentity("tiny", None, {}))
        assert found is not None
        assert (found.marks, found.opened) == (marks, False)
