"""How the steps of a search are drawn: the reasoning ahead of a first step, or its own steps where it is searched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.methods.thinking import Thinking, answers_next, begin, think, tokens_in
from overthink.tasks.methods.tree import Node
from overthink.tasks.records import Part, Sample, Sampling, StopReason

NOTHING = Sample("", (), (), (), "stop", None)


@dataclass(frozen=True)
class DrawnStep:
    """A step, and the reasoning `before` it; see `Node`. `stop` says why a path ended within its reasoning."""

    sample: Sample
    before: tuple[Part, ...] = ()
    thinks: bool = False
    stop: StopReason | None = None


def draw_steps(growth: Growth, parent: Node | None, numbers: Sequence[int]) -> Search[list[DrawnStep]]:
    """One step after `parent` for each number."""
    thinking, path = growth.thinking, () if parent is None else parent.path
    if thinking is not None and (parent is None or parent.sample.is_reasoning):
        return list((yield [_draw(growth, thinking, parent, number) for number in numbers]))
    sampling = _within(growth, path)
    samples = expect_samples((yield [Generate(path, number, sampling) for number in numbers]))
    return [DrawnStep(sample) for sample in samples]


def _draw(growth: Growth, thinking: Thinking, parent: Node | None, number: int) -> Search[DrawnStep]:
    """A step of the reasoning, or the first of the answer behind it."""
    if parent is not None and parent.thinks:
        return (yield from _reasoning_step(growth, thinking, parent.path, (), number))
    if parent is not None:
        return (yield from _answer_step(growth, parent.path, (), number))
    if thinking.search:
        thought = yield from begin(growth.sampling, thinking, number)
    else:
        thought = yield from think(growth.sampling, growth.reasoning_tokens, thinking, number)
    if thought.stop is not None:
        return DrawnStep(NOTHING, thought.before, stop=thought.stop)
    if thought.answer is not None:
        return DrawnStep(thought.answer, thought.before)
    if thinking.search and not answers_next(thought.before, thinking.marks):
        return (yield from _reasoning_step(growth, thinking, thought.before, thought.before, number))
    return (yield from _answer_step(growth, thought.before, thought.before, number))


def _answer_step(growth: Growth, path: tuple[Part, ...], before: tuple[Part, ...], number: int) -> Search[DrawnStep]:
    """The first step behind the mark that closes the reasoning, which many models write a blank line after."""
    (sample,) = expect_samples((yield [Generate(path, number, _within(growth, path))]))
    if sample.stop_reason == "delimiter" and not sample.text.strip():
        path, before = (*path, sample), (*before, sample)
        (sample,) = expect_samples((yield [Generate(path, number, _within(growth, path))]))
    return DrawnStep(sample, before)


def _reasoning_step(
    growth: Growth, thinking: Thinking, path: tuple[Part, ...], before: tuple[Part, ...], number: int
) -> Search[DrawnStep]:
    sampling = replace(_within(growth, path), stop=(thinking.delimiter,), marks=(thinking.marks.close,))
    (sample,) = expect_samples((yield [Generate(path, number, sampling)]))
    stop: StopReason | None = "reasoning" if sample.stop_reason == "stop" else None
    return DrawnStep(replace(sample, is_reasoning=True), before, sample.ended_by != thinking.marks.close, stop)


def _within(growth: Growth, path: tuple[Part, ...]) -> Sampling:
    if growth.path_tokens is None:
        return growth.sampling
    left = max(1, growth.path_tokens - tokens_in(path))
    return replace(growth.sampling, max_tokens=min(growth.sampling.max_tokens, left))
