"""The nouns that methods, engines and stages share."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal

from overthink.tasks.critiques import Critique

StopReason = Literal["stop", "length", "depth", "dead_end", "reasoning", "repetition", "confidence"]
SampleStop = Literal["stop", "length", "delimiter", "repetition"]


@dataclass(frozen=True)
class Problem:
    """A question, and its reference answer where one is known.

    `problem_key` is the content address of its id and question, and of what else the recipe's template puts to the
    policy. `fields` are all columns of its row, as JSON has them. `user_turn` is the template filled in, None where the
    recipe has none. `chance` is the probability that a guess is right, None where that says nothing.
    """

    problem_key: str
    problem_id: str
    question: str
    reference: str | None
    domain: str | None = None
    level: str | None = None
    subject: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    user_turn: str | None = None
    chance: float | None = None

    @property
    def asked(self) -> str:
        """The text that is put to the policy; verifiers read the question."""
        return self.question if self.user_turn is None else self.user_turn


@dataclass(frozen=True)
class Sampling:
    """How the policy draws tokens. `max_tokens` bounds one call.

    `stop` strings end it and are not part of its text. So do `marks`, marks of reasoning: where the vocabulary has
    tokens for one, only these tokens are it, and the same characters from other tokens are text.

    `top_logprobs` is of how many of the likeliest tokens at each place the confidence and entropy are kept; 0 for none.

    `top_k`, `min_p` and the penalties are as in vLLM, and by default have no effect. `ends` are strings that end the
    solution: they end a call as `stop` strings do, but nothing goes on behind them. `repetition` ends it in a loop: the
    least and the most tokens of a pattern, and how often in a row it is one. `only` are the ids that a token may have,
    none for all; its log-probability is that among all.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    top_logprobs: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    ends: tuple[str, ...] = ()
    repetition: tuple[int, int, int] | None = None
    only: tuple[int, ...] = ()

    @property
    def greedy(self) -> "Sampling":
        """The likeliest token at each place, after the penalties."""
        return replace(self, temperature=0.0, top_p=1.0, top_k=0, min_p=0.0)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a call's key holds: what determines the text, and of fields added later those not at their defaults."""
        return _identity_of(self)


@lru_cache(maxsize=64)  # each call asks for it, and a search has few
def _identity_of(sampling: Sampling) -> Mapping[str, Any]:
    first = ("temperature", "top_p", "max_tokens", "stop")
    later = {each.name: each.default for each in fields(sampling) if each.name not in first}
    later["top_logprobs"] = sampling.top_logprobs  # what is kept of a call does not change its text
    return {name: value for name, value in vars(sampling).items() if name in first or value != later[name]}


@dataclass(frozen=True)
class Sample:
    """What a policy wrote in one call.

    `tokens`, `token_ends` and `logprobs` run in parallel: each token's id, the character of `text` where it ends, and
    its natural-log probability. `stop_reason` is `length` where `max_tokens` cut it, `delimiter` where a stop string
    ended it, and else `stop`, the end of the sequence.

    An endpoint that shows no tokens leaves the three empty, and `shown` is False: how many there were is then
    `counted`, where it counts them.

    `ended_by` is the stop string or mark that ended it, None where nothing did or it is not known. `is_reasoning`: it
    lies inside the marks of reasoning. `confidences` and `entropies` run parallel to `tokens` where the engine kept
    them: the mean negative log-probability of the 20 likeliest tokens at that place, and the entropy of these 20 in
    nats; `certainties` are the self-certainty over the whole vocabulary.
    """

    text: str
    tokens: tuple[int, ...]
    token_ends: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop_reason: SampleStop
    prompt_tokens: int | None
    cached_tokens: int | None = None
    shown: bool = True
    counted: int | None = None
    ended_by: str | None = None
    is_reasoning: bool = False
    confidences: tuple[float, ...] | None = None
    entropies: tuple[float, ...] | None = None
    certainties: tuple[float, ...] | None = None

    @property
    def completion_tokens(self) -> int | None:
        """How many tokens were written; None where unknown."""
        return len(self.tokens) if self.shown else self.counted

    def first(self, count: int) -> "Sample":
        """Its first `count` tokens, which nothing ended."""
        return replace(
            self,
            text=self.text[: self.token_ends[count - 1] if count else 0],
            tokens=self.tokens[:count],
            token_ends=self.token_ends[:count],
            logprobs=self.logprobs[:count],
            stop_reason="stop",
            ended_by=None,
            confidences=None if self.confidences is None else self.confidences[:count],
            entropies=None if self.entropies is None else self.entropies[:count],
            certainties=None if self.certainties is None else self.certainties[:count],
        )

    @property
    def logprob_sum(self) -> float | None:
        """The natural-log probability of all that was written, at temperature 1 without top_p; None where unknown."""
        return sum(self.logprobs) if self.shown else None


@dataclass(frozen=True)
class Given:
    """Text in the assistant's turn that the policy did not write: a forced mark, or "Wait".

    It is in the rollout's text and in what the policy reads, and in no log-probability and no count of written tokens.
    A mark of reasoning is in no text.
    """

    text: str
    is_reasoning: bool = False
    is_mark: bool = False


@dataclass(frozen=True)
class UserTurn(Given):
    """A message of the user's behind an answer of the policy, whose next answer it asks for.

    `behind` is the token that ended the answer, where it is known: the mark that ends a turn stands there once.
    """

    behind: int | None = None


Part = Sample | Given


@dataclass(frozen=True)
class Scores:
    """A PRM's numbers in [0, 1], one for each step asked for, with the tokens it read, and its critiques if any."""

    values: tuple[float, ...]
    input_tokens: int
    cached_tokens: int | None = None
    critiques: tuple[Critique, ...] = ()


@dataclass(frozen=True)
class Unscored:
    """Steps that do not fit into a PRM's context, or whose `critiques` came to no verdict: unknown, not low."""

    reason: str
    critiques: tuple[Critique, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of a rollout: its text without the delimiter, and the tokens spent on it, delimiter included.

    The numbers are None where the policy shows no tokens.
    """

    text: str
    completion_tokens: int | None
    logprob_sum: float | None


@dataclass(frozen=True)
class Rollout:
    """One finished solution: its parts, in order (one sample for best-of-N, one a step for searches, and given text).

    `scores` holds the PRM's number in [0, 1] for each step where the search asked for them on the way.
    """

    sample_index: int
    path: tuple[Part, ...]
    stop_reason: StopReason
    scores: tuple[float, ...] | None = None
    critiques: tuple[Critique, ...] = ()


def finished_by(last: Sample) -> StopReason:
    """Why a solution ended whose last sample this is."""
    return last.stop_reason if last.stop_reason in ("length", "repetition") else "stop"


def whole_rollout(sample_index: int, sample: Sample) -> Rollout:
    """A solution written in one call."""
    return Rollout(sample_index, (sample,), finished_by(sample))


def answer_parts(path: Iterable[Part]) -> list[Part]:
    """The parts behind the reasoning."""
    return [part for part in path if not part.is_reasoning]


def reasoning_parts(path: Iterable[Part]) -> list[Part]:
    """The parts within the reasoning."""
    return [part for part in path if part.is_reasoning]


def path_text(parts: Iterable[Part], delimiter: str) -> str:
    """The text of a path, with the delimiters and marks between its parts, and none behind the last."""
    text = end = ""
    for part in parts:
        if isinstance(part, Given) and part.is_mark:
            continue
        text += end + part.text
        end = "" if isinstance(part, Given) else end_text(part, delimiter)
    return text


def end_text(sample: Sample, delimiter: str) -> str:
    """The delimiter or mark that ended a sample, which its text does not hold; empty where none did."""
    return (sample.ended_by or delimiter) if sample.stop_reason == "delimiter" else ""


def steps_of(path: Iterable[Part], delimiter: str) -> list[Step]:
    """The steps of a path: its text cut at each delimiter, wherever one part ends and the next begins.

    Given text belongs to the step that it interrupts, and counts no token.
    """
    return split_steps(_joined(list(path), delimiter), delimiter)


def _joined(parts: Sequence[Part], delimiter: str) -> Sample:
    """The parts as one sample; a delimiter's characters belong to the token that completed it."""
    ends: list[int] = []
    logprobs: list[float] = []
    text = end = ""
    for part in parts:
        if isinstance(part, Given) and part.is_mark:
            continue
        text += end
        if end and ends:
            ends[-1] = len(text)
        if isinstance(part, Sample):
            ends += [len(text) + each for each in part.token_ends]
            logprobs += part.logprobs
        text, end = text + part.text, "" if isinstance(part, Given) else end_text(part, delimiter)
    shown = all(part.shown for part in parts if isinstance(part, Sample))
    return Sample(text, (), tuple(ends), tuple(logprobs), "stop", None, shown=shown)


def split_steps(sample: Sample, delimiter: str) -> list[Step]:
    """Cut a sample at each delimiter; blank pieces are no steps, their tokens count for the step before.

    A token belongs to the step in which it begins, so the steps' tokens and log-probabilities add up to the sample's.
    """
    bounds = _step_bounds(sample.text, delimiter)
    tokens, sums = [0] * len(bounds), [[] for _ in bounds]  # type: list[int], list[list[float]]
    step, begin = 0, 0
    for end, logprob in zip(sample.token_ends, sample.logprobs, strict=True):
        while step + 1 < len(bounds) and begin >= bounds[step + 1][0]:
            step += 1
        if bounds:
            tokens[step] += 1
            sums[step].append(logprob)
        begin = end
    pieces = [sample.text[first:last].strip() for first, last in bounds]
    if not sample.shown:
        return [Step(text, None, None) for text in pieces]
    return [Step(text, count, math.fsum(logs)) for text, count, logs in zip(pieces, tokens, sums, strict=True)]


def _step_bounds(text: str, delimiter: str) -> list[tuple[int, int]]:
    """The (first, last) characters of each piece of `text` that is not blank."""
    bounds, begin = [], 0
    for piece in text.split(delimiter):
        if piece.strip():
            bounds.append((begin, begin + len(piece)))
        begin += len(piece) + len(delimiter)
    return bounds
