"""Solutions of policies that think first: the reasoning up to its end or its budget, then the answer.

Budgets of thought: `max_tokens` cuts the reasoning and closes it; `wait` and `min_tokens` hold its end back and put a
text in its place (budget forcing, Muennighoff et al. 2025). All of it is cut and continued by tokens, so that every
engine writes the same path, and a killed run resumes between two parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.reasoning_marks import FAMILIES, ReasoningMarks, divide_by_any
from overthink.tasks.records import (
    Given,
    Part,
    Rollout,
    Sample,
    Sampling,
    StopReason,
    finished_by,
    reasoning_parts,
    whole_rollout,
)

MOST_HELD_BACK = 100  # times; a policy that only ever closes its reasoning reaches no minimum


@dataclass(frozen=True)
class Thinking:
    """How a policy reasons, and how many tokens it may or must spend on it.

    The prompt has `opened` the reasoning, or the policy may. Reasoning that reaches `max_tokens` is closed, behind
    `ending`. Its end is held back `wait` times, and until it has `min_tokens`; `text` stands in its place. With
    `search`, searches draw the reasoning in steps that `delimiter` ends, and score these.
    """

    marks: ReasoningMarks
    opened: bool
    max_tokens: int | None = None
    min_tokens: int = 0
    wait: int = 0
    text: str = "Wait"
    ending: str = ""
    search: bool = False
    delimiter: str = "\n\n"

    @property
    def closing(self) -> tuple[Given, ...]:
        """What is put where the budget cuts the reasoning."""
        said = (Given(self.ending, is_reasoning=True),) if self.ending else ()
        return (*said, Given(self.marks.close, is_reasoning=True, is_mark=True))


@dataclass(frozen=True)
class Thought:
    """A path up to its answer.

    `answer` is what was already written of the answer, by a policy that did not think. `stop` says why the path ends
    within the reasoning, None where an answer follows.
    """

    before: tuple[Part, ...]
    answer: Sample | None = None
    stop: StopReason | None = None


def solutions(sampling: Sampling, thinking: Thinking | None, indices: Sequence[int]) -> Search[list[Rollout]]:
    """Independent whole solutions of these numbers."""
    if thinking is not None:
        return list((yield [solution(sampling, thinking, index) for index in indices]))
    samples = expect_samples((yield [Generate((), index, sampling) for index in indices]))
    return [whole_rollout(*numbered) for numbered in zip(indices, samples, strict=True)]


def solution(sampling: Sampling, thinking: Thinking, index: int) -> Search[Rollout]:
    """One whole solution: `sampling.max_tokens` bounds reasoning and answer together."""
    thought = yield from think(sampling, sampling.max_tokens, thinking, index)
    if thought.stop is not None:
        return Rollout(index, thought.before, thought.stop)
    path: tuple[Part, ...] = thought.before if thought.answer is None else (*thought.before, thought.answer)
    if thought.answer is None or thought.answer.stop_reason == "delimiter":  # at a mark, which is text here
        left = sampling.max_tokens - tokens_in(path)
        if left < 1:
            return Rollout(index, path, "length")
        path = (*path, *expect_samples((yield [Generate(path, index, replace(sampling, max_tokens=left))])))
    last = path[-1]
    assert isinstance(last, Sample), "a path ends with what the policy wrote"
    return Rollout(index, path, finished_by(last))


def think(piece: Sampling, limit: int, thinking: Thinking, index: int) -> Search[Thought]:
    """A path up to the end of its reasoning, of at most `limit` tokens; `piece` draws the beginning of an answer."""
    begun = yield from begin(piece, thinking, index)
    if begun.answer is not None or begun.stop is not None or answers_next(begun.before, thinking.marks):
        return begun
    return (yield from _reason(begun.before, replace(piece, max_tokens=limit), thinking, index))


def ended_by(path: tuple[Part, ...], mark: str | None) -> bool:
    """Whether a path's last part was ended by a mark."""
    return bool(path) and mark is not None and isinstance(path[-1], Sample) and path[-1].ended_by == mark


def answers_next(begun: tuple[Part, ...], marks: ReasoningMarks) -> bool:
    """Whether an answer follows what a policy began with: a mark of it, or one that closes what was never opened."""
    return ended_by(begun, marks.direct) or ended_by(begun, marks.close)


def reasoning_body(path: tuple[Part, ...], marks: ReasoningMarks) -> list[Part]:
    """The parts of the reasoning, without the mark that the policy opened it with."""
    parts = reasoning_parts(path)
    has_head = ended_by(tuple(parts[:1]), marks.open) or ended_by(tuple(parts[:1]), marks.direct)
    return parts[1:] if has_head and not parts[0].text.strip() else parts


def tokens_in(path: tuple[Part, ...]) -> int:
    """The tokens that the policy wrote in a path."""
    return sum(len(part.tokens) for part in path if isinstance(part, Sample))


def begin(piece: Sampling, thinking: Thinking, index: int) -> Search[Thought]:
    """A path up to the beginning of its reasoning, or to the first piece of an answer without any."""
    if thinking.opened:
        return Thought(())
    wanted = (thinking.marks.open, thinking.marks.direct, thinking.marks.close)
    marks = tuple(mark for mark in wanted if mark is not None)
    (sample,) = expect_samples((yield [Generate((), index, replace(piece, marks=marks))]))
    if not sample.shown:
        return _divided(sample, thinking.marks)
    # Some policies think although neither they nor the prompt opened it: what the closing mark ends is reasoning.
    if sample.ended_by == thinking.marks.close or (sample.ended_by in marks and not sample.text.strip()):
        return Thought((replace(sample, is_reasoning=True),))
    return Thought((), sample)


def _divided(sample: Sample, marks: ReasoningMarks) -> Thought:
    """A whole reply without tokens: its reasoning is text whose tokens are counted with the answer's.

    What an endpoint gave apart stands between the marks of `think`, whatever the model's own are.
    """
    found = divide_by_any(sample.text, (marks, FAMILIES["think"]))
    before = () if found.reasoning is None else (Given(found.reasoning, is_reasoning=True),)
    answer = replace(sample, text=found.answer)
    return Thought((*before, answer), stop="reasoning") if found.unfinished else Thought(before, answer)


def _reason(before: tuple[Part, ...], sampling: Sampling, thinking: Thinking, index: int) -> Search[Thought]:
    path, held_back, depth, marks = before, 0, 1, thinking.marks
    within = (marks.close, marks.open) if marks.nests else (marks.close,)
    while True:
        spent = tokens_in(path[len(before) :])
        room = sampling.max_tokens - tokens_in(path)
        is_budget = thinking.max_tokens is not None and thinking.max_tokens - spent < room
        if is_budget:
            room = (thinking.max_tokens or 0) - spent
        if room < 1:
            return _cut(path, thinking, is_budget)
        asked = replace(sampling, max_tokens=room, stop=(), marks=within)
        (written,) = expect_samples((yield [Generate(path, index, asked)]))
        sample = replace(written, is_reasoning=True)
        if sample.ended_by not in within:  # a stop string ends the solution, wherever it stands
            path = (*path, sample)
            is_cut = sample.stop_reason == "length"
            return _cut(path, thinking, is_budget) if is_cut else _unended(path, sample, thinking)
        depth += 1 if sample.ended_by == marks.open else -1
        is_early = held_back < thinking.wait or spent + len(sample.tokens) < thinking.min_tokens
        if depth < 1 and is_early and held_back < MOST_HELD_BACK:
            path = (*path, *without_end(sample), Given(thinking.text, is_reasoning=True))
            held_back, depth = held_back + 1, 1
        else:
            path = (*path, sample)
            if depth < 1:
                return Thought(path)


def _cut(path: tuple[Part, ...], thinking: Thinking, is_budget: bool) -> Thought:
    """Reasoning that reached its budget is closed; what reached the limit of the whole solution ends there."""
    return Thought((*path, *thinking.closing)) if is_budget else Thought(path, stop="reasoning")


def _unended(path: tuple[Part, ...], last: Sample, thinking: Thinking) -> Thought:
    """Reasoning that ended without its mark; where a mark within it closed it too, what follows is the answer."""
    before = path[:-1]
    if last.stop_reason == "stop" and ended_by(before, thinking.marks.close):
        return Thought(before, replace(last, is_reasoning=False))
    return Thought(path, stop="repetition" if last.stop_reason == "repetition" else "reasoning")


def without_end(sample: Sample) -> tuple[Part, ...]:
    """A sample without the tokens of the mark that ended it; characters that shared a token with it are given back."""
    count = sum(begin < len(sample.text) for begin in (0, *sample.token_ends[:-1]))
    if count < len(sample.tokens) or not count:
        return (sample.first(count),)
    kept = sample.first(count - 1)
    return (kept, Given(sample.text[len(kept.text) :], is_reasoning=True))
