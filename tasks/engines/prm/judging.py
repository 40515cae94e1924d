"""How a verifier comes to its scores: critiques of a step, each ended by a verdict, as a search that asks no engine.

The score of a critique is P(right) / (P(right) + P(wrong)) where its verdict stands; where an engine shows no
probabilities it is 1 or 0, the verdict itself. That of a step is the mean over its critiques that came to a verdict,
and unknown where none did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, isnan

from overthink.tasks.critiques import Critique
from overthink.tasks.engines.prm.critic_families import CriticFamily
from overthink.tasks.engines.prm.verdicts import mean, step_verdicts
from overthink.tasks.methods.requests import Ask, Score, Search, expect_samples
from overthink.tasks.methods.verdict_forms import SaidVerdict
from overthink.tasks.records import Given, Part, Sample, Sampling, Scores, Unscored, path_text

ENDED_BY_ITSELF = ("stop", "delimiter")
VERDICT_TOKENS = 20  # of a verdict that is asked for, with what closes it
ONE_TOKEN = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)
LARGEST_EXPONENT = 700.0  # whose exponential is a float


@dataclass(frozen=True)
class Judging:
    """How a verifier of a family judges: `critiques` of each step, each in so many `rounds` of thinking it over."""

    family: CriticFamily
    sampling: Sampling
    critiques: int
    rounds: int

    def scores(self, question: str, asked: Score) -> Search[Scores | Unscored]:
        """The scores of `asked.steps[asked.from_step:]`, with their critiques; Unscored where one is unknown."""
        last = len(asked.steps) - 1
        places = [last] if self.family.whole else range(asked.from_step, last + 1)
        each = [self._critique(question, asked, place, number) for place in places for number in range(self.critiques)]
        written: tuple[Critique, ...] = tuple((yield each))
        values = [self._value(written, place, last) for place in range(asked.from_step, last + 1)]
        if None in values:
            step = asked.from_step + values.index(None) + 1
            return Unscored(f"no critique of step {step} came to a verdict", written)
        return Scores(tuple(value for value in values if value is not None), 0, 0, written)

    def _value(self, written: Sequence[Critique], place: int, last: int) -> float | None:
        if not self.family.whole or place == last:
            return mean([critique.score for critique in written if critique.step_index == place])
        return mean([_of_step(critique, place, last) for critique in written])

    def _critique(self, question: str, asked: Score, place: int, number: int) -> Search[Critique]:
        opening = self.family.opening_of(place)
        path: tuple[Part, ...] = (Given(opening),) if opening else ()
        ask = Ask(self.family.turns(question, asked.steps, place), path, self.sampling, asked.sample_index, number)
        path = yield from self._in_rounds(ask)
        said = self._verdict(path)
        score = None if said is None else (yield from _probability(ask, path, said, self.family.verdict.other(said)))
        counts = [part.completion_tokens for part in path if isinstance(part, Sample)]
        return Critique(
            step_index=place,
            number=number,
            text=path_text(path, ""),
            verdict=None if said is None else said.is_right,
            score=score,
            completion_tokens=None if None in counts else sum(count for count in counts if count is not None),
            stop_reason=_last(path).stop_reason,
        )

    def _verdict(self, path: tuple[Part, ...]) -> SaidVerdict | None:
        """What the last round says; where a verdict is asked for, what the reply says, and nothing before it."""
        if self.family.analysis_end is not None and path[-2:-1] != (Given(self.family.verdict_lead),):
            return None
        is_whole = _last(path).stop_reason in ENDED_BY_ITSELF
        return self.family.verdict.read(path_text(path, ""), is_whole, _begin_of_last(path))

    def _in_rounds(self, ask: Ask) -> Search[tuple[Part, ...]]:
        """What is written in all rounds; one that a limit cuts off is the last."""
        path = yield from self._round(ask)
        for _ in range(1, self.rounds):
            if _last(path).stop_reason not in ENDED_BY_ITSELF:
                break
            path = (*_without_verdict(path, self._verdict(path)), Given(self.family.again))
            path = yield from self._round(replace(ask, path=path))
        return path

    def _round(self, ask: Ask) -> Search[tuple[Part, ...]]:
        end = self.family.analysis_end
        sampling = ask.sampling if end is None else replace(ask.sampling, stop=(end,))
        (sample,) = expect_samples((yield [replace(ask, sampling=sampling)]))
        path = (*ask.path, sample)
        if end is None or sample.ended_by != end:
            return path
        path = (*path, Given(self.family.verdict_lead))
        sampling = replace(ask.sampling, max_tokens=VERDICT_TOKENS)
        (sample,) = expect_samples((yield [replace(ask, path=path, sampling=sampling)]))
        return (*path, sample)


def _of_step(critique: Critique, place: int, last: int) -> float | None:
    """1 or 0 as a critique of the whole says of one of its steps; in a solution that it calls right all steps are."""
    said = step_verdicts(critique.text, last)[place]
    if said is None:
        return 1.0 if critique.verdict else None
    return float(said)


def _probability(ask: Ask, path: tuple[Part, ...], said: SaidVerdict, other: str) -> Search[float | None]:
    """P(right) / (P(right) + P(wrong)) of the tokens with which the two words begin, where the verdict stands.

    The verdict's own is known; the other one is written in its place, by force. None where both are 0.
    """
    verdict, last = float(said.is_right), _last(path)
    place = said.begin - _begin_of_last(path)
    if not last.shown:
        return verdict
    kept = last.first(_tokens_before(last, place))
    gap, count = last.text[len(kept.text) : place], len(kept.tokens)
    forced = replace(ask, path=(*path[:-1], kept), sampling=ONE_TOKEN, forced=gap + other)
    (sample,) = expect_samples((yield [forced]))
    if sample.tokens in ((), last.tokens[count : count + 1]):  # no room is left, or both words begin alike
        return verdict
    odds = sample.logprobs[0] - last.logprobs[count]
    if isnan(odds):
        return None
    of_verdict = 1 / (1 + exp(min(odds, LARGEST_EXPONENT)))
    return of_verdict if said.is_right else 1 - of_verdict


def _without_verdict(path: tuple[Part, ...], said: SaidVerdict | None) -> tuple[Part, ...]:
    """A path that can be gone on from: up to its verdict, or to its end, without the end of the sequence."""
    last = _last(path)
    place = len(last.text) if said is None else max(0, said.lead - _begin_of_last(path))
    return (*path[:-1], last.first(_tokens_before(last, place)))


def _last(path: tuple[Part, ...]) -> Sample:
    last = path[-1]
    assert isinstance(last, Sample), "a critique ends with what the verifier wrote"
    return last


def _begin_of_last(path: tuple[Part, ...]) -> int:
    """The character of the path's text where its last part begins."""
    return len(path_text(path, "")) - len(path[-1].text)


def _tokens_before(sample: Sample, place: int) -> int:
    """How many of its tokens lie before a character of its text."""
    return sum(end <= place and begin < place for begin, end in pairwise((0, *sample.token_ends)))
