"""Engines without weights: their replies are hashes of their requests. Deterministic, with a chosen latency."""

import asyncio
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from overthink.tasks.engines.engine_config import FakePolicyConfig, FakePrmConfig
from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.records import Given, Part, Sample, SampleStop, Sampling, Scores, UserTurn, answer_parts, end_text

STEP_DELIMITER = "\n\n"
THINK = FAMILIES["think"]


def hash_number(*parts: object) -> int:
    """A number below 2**64 that depends on all parts."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def written_text(path: Iterable[Part], delimiter: str) -> str:
    """All that stands in a path, marks included, without a delimiter at its end; turns have lines of their own."""
    text = end = ""
    for part in path:
        text += end + (f"\n{part.text}\n" if isinstance(part, UserTurn) else part.text)
        end = "" if isinstance(part, Given) else end_text(part, delimiter)
    return text if end == delimiter else text + end


def text_sample(text: str, sampling: Sampling, prompt_tokens: int) -> Sample:
    """`text` cut at its stop strings and its limit of tokens; each character is one token.

    As with a real engine, it has the tokens of the stop string, but not its text. Each token has log-probability -1,
    and a confidence below 10 and an entropy that are hashes of the text.
    """
    stops = [(text.index(stop), stop) for stop in (*sampling.stop, *sampling.marks, *sampling.ends) if stop in text]
    begin, stop = min(stops, default=(len(text), ""))
    written = text[:begin] + stop
    loop = loop_end(written[: sampling.max_tokens], sampling.repetition)
    tokens = tuple(map(ord, written[: min(loop or sampling.max_tokens, sampling.max_tokens)]))
    ends = tuple(min(end, begin) for end in range(1, len(tokens) + 1))
    reason: SampleStop = "delimiter" if stop and stop not in sampling.ends else "stop"
    if loop or len(tokens) < len(written):
        reason = "repetition" if loop else "length"
    sample = Sample(
        text=text[: min(begin, len(tokens))],
        tokens=tokens,
        token_ends=ends,
        logprobs=(-1.0,) * len(tokens),
        stop_reason=reason,
        prompt_tokens=prompt_tokens,
        cached_tokens=0,
        ended_by=(stop or None) if reason in ("delimiter", "stop") else None,
    )
    if not sampling.top_logprobs:
        return sample
    draws = np.random.default_rng(hash_number(written)).random((2, len(tokens)))
    confidences, entropies = draws * [[10.0], [math.log(sampling.top_logprobs)]]
    return replace(sample, confidences=tuple(confidences.tolist()), entropies=tuple(entropies.tolist()))


def loop_end(text: str, repetition: tuple[int, int, int] | None) -> int | None:
    """The characters after which a pattern has been repeated often enough; None where none is."""
    if repetition is None:
        return None
    least, most, count = repetition
    for end in range(least * count, len(text) + 1):
        for size in range(least, min(most, end // count) + 1):
            if text[end - size * count : end] == text[end - size : end] * count:
                return end
    return None


class FakePolicy:
    """Writes up to `steps` steps and a boxed answer; lower answers are likelier, so votes have something to find.

    One that `thinks` writes up to so many steps of reasoning before, between the marks of `<think>`.
    """

    def __init__(self, config: FakePolicyConfig) -> None:
        self._config = config

    def prompt(self, question: str) -> tuple[int, ...]:
        """The question's characters."""
        return tuple(map(ord, question))

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:
        """The text's characters."""
        return tuple(map(ord, text))

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """See `Policy.tokens_of`."""
        return part.tokens if isinstance(part, Sample) else self.tokens(part.text, begins=False)

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        await asyncio.sleep(self._config.latency_ms / 1000)
        draw = 0 if sampling.temperature == 0 else seed
        prompt_tokens = len(self.prompt(question)) + sum(len(self.tokens_of(part)) for part in path)
        thought = self._thought(question, path, draw)
        answer = self._solution(question, answer_parts(path), sampling, draw)
        return text_sample(thought + answer, sampling, prompt_tokens)

    def _thought(self, question: str, path: tuple[Part, ...], draw: int) -> str:
        """What is left to write of the reasoning, with its marks; nothing once it is closed."""
        written = written_text(path, STEP_DELIMITER)
        if not self._config.thinks or THINK.close in written:
            return ""
        count = 1 + hash_number(question, written, draw, "thoughts") % self._config.thinks
        steps = [f"thought {hash_number(question, written, draw, step) % 10_000}" for step in range(count)]
        return (THINK.open if not written else "") + STEP_DELIMITER.join(steps) + THINK.close + STEP_DELIMITER

    def _solution(self, question: str, path: Sequence[Part], sampling: Sampling, draw: int) -> str:
        written = "".join(part.text + STEP_DELIMITER for part in path)
        steps: list[str] = []
        turn = max((place for place, part in enumerate(path, 1) if isinstance(part, UserTurn)), default=0)
        depth = len(path) - turn
        while True:
            number = hash_number(question, written, steps, draw)
            last = depth + 1 >= self._config.steps or number % self._config.steps == 0
            steps.append(self._answer(number >> 8) if last else f"step {depth + 1}: {number % 10_000}")
            depth += 1
            if last:
                break
            if STEP_DELIMITER in sampling.stop:
                steps.append("")
                break
        return STEP_DELIMITER.join(steps)

    def _answer(self, number: int) -> str:
        count = self._config.answers
        return f"\\boxed{{{min(number % count, (number // count) % count)}}}"

    async def close(self) -> None:
        """Nothing to free."""


class FakePrm:
    """Scores each step by a hash of the question and the steps up to it."""

    def __init__(self, config: FakePrmConfig) -> None:
        self._config = config

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        await asyncio.sleep(self._config.latency_ms / 1000)
        ends = range(from_step + 1, len(steps) + 1)
        values = tuple(hash_number(question, steps[:end]) / 2**64 for end in ends)
        return Scores(values, len(question) + sum(map(len, steps)), 0)

    async def close(self) -> None:
        """Nothing to free."""
