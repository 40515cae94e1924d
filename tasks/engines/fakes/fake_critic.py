"""A verifier's model without weights: its critiques are hashes of what it is asked, and end in a verdict."""

import asyncio
import math
import re
from dataclasses import replace

from overthink.tasks.engines.engine_config import FakePolicyConfig
from overthink.tasks.engines.fakes.fake import STEP_DELIMITER, FakePolicy, hash_number, text_sample, written_text
from overthink.tasks.engines.prm.critic_families import CriticFamily
from overthink.tasks.engines.prm_config import FakeCriticConfig
from overthink.tasks.records import Part, Sample, Sampling

SURE = 0.98  # the probability of both words of a verdict together


class FakeCritic(FakePolicy):
    """Finds each step right with a probability of its own, and says so in the words of a family."""

    def __init__(self, config: FakeCriticConfig, family: CriticFamily) -> None:
        super().__init__(FakePolicyConfig(latency_ms=config.latency_ms))
        self._critic = config
        self._family = family

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        await asyncio.sleep(self._critic.latency_ms / 1000)
        written = written_text(path, STEP_DELIMITER)
        length = len(self.prompt(question)) + sum(len(self.tokens_of(part)) for part in path)
        right = hash_number(question, "right") / 2**64
        if sampling.only:
            forced = text_sample(chr(sampling.only[0]), sampling, length)
            return replace(forced, logprobs=(self._logprob(forced.text, right),))
        draw = 0 if sampling.temperature == 0 else seed
        text, word = self._critique(written, draw, right, sampling)
        if self._family.whole:
            text = _of_steps(question, word == self._family.verdict.words[0]) + text
        sample = text_sample(text, sampling, length)
        place = text.rfind(word) if word else -1
        if not 0 <= place < len(sample.tokens):
            return sample
        known = self._logprob(word[0], right)
        return replace(sample, logprobs=(*sample.logprobs[:place], known, *sample.logprobs[place + 1 :]))

    def _critique(self, written: str, draw: int, right: float, sampling: Sampling) -> tuple[str, str]:
        """What it writes, and the word of the verdict in it, empty where there is none."""
        lead, words = self._family.verdict_lead, self._family.verdict.words
        word = words[0] if hash_number(written, draw, "verdict") / 2**64 < right else words[1]
        verdict = self._family.verdict.example.format(word)
        if lead and written.endswith(lead):
            return verdict.removeprefix(lead), word
        thought = f"It comes to {hash_number(written, draw) % 10_000}.\n"
        if sampling.stop:
            return thought + sampling.stop[0], ""
        is_silent = hash_number(written, draw, "silent") / 2**64 < self._critic.silent
        return (thought, "") if is_silent else (thought + verdict, word)

    def _logprob(self, letter: str, right: float) -> float:
        is_right = letter.lower() == self._family.verdict.words[0][0].lower()
        return math.log(max(1e-6, SURE * (right if is_right else 1 - right)))


def _of_steps(question: str, is_right: bool) -> str:
    """A verdict on each step that is shown: only the last one may be wrong."""
    count = len(re.findall(r"^Step \d+: ", question, re.MULTILINE))
    words = ["correct"] * (count - 1) + ["correct" if is_right else "incorrect"]
    return "".join(f"Step {number}: \\boxed{{{word}}}\n" for number, word in enumerate(words, 1))
