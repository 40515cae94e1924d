"""Engines that reply literally from a JSON file, for tests and for drawing a search by hand.

    {"policy": {"What is 1+1?": {"": ["1+1=2\\n\\n\\\\boxed{2}", "\\\\boxed{3}"]}},
     "prm": {"What is 1+1?": {"1+1=2\\n\\n\\\\boxed{2}": [0.9, 0.8]}}}

The key of a policy's continuations is the text so far (steps joined by blank lines, marks of reasoning as they stand);
sample number i gets the i-th, cyclically. In a search a continuation that ends with a blank line is a step that others
may follow. The key of a PRM's scores is the whole text. The model of a verifier stands under "verifier" like a policy,
its questions being the turns of its chats with U+001E between them; it writes nothing by force, so its verdicts are
scores of 1 and 0.
"""

import json
from collections import Counter
from typing import Any

from overthink.tasks.engines.engine_config import ScriptedConfig
from overthink.tasks.engines.fakes.fake import STEP_DELIMITER, text_sample, written_text
from overthink.tasks.errors import BadReply, EngineUnavailable
from overthink.tasks.records import Part, Sample, Sampling, Scores


def read_script(config: ScriptedConfig, role: str) -> dict[str, Any]:
    """One role's part of a script. Raises EngineUnavailable where the file is missing or has no such part."""
    try:
        return dict(json.loads(config.script.read_text(encoding="utf-8"))[role])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineUnavailable(f"{config.script} is no script with a {role!r} part: {error!r}") from error


class ScriptedPolicy:
    """Replies in the order of the script for each prefix."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        self._asked: Counter[tuple[str, str]] = Counter()

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
        """See `Policy.generate`. Raises BadReply where the script says nothing."""
        written = written_text(path, STEP_DELIMITER)
        if sampling.only:
            return text_sample("", sampling, len(question) + len(written))
        try:
            continuations = self._script[question][written]
        except KeyError as error:
            raise BadReply(f"the script has no continuation of {question!r} after {written!r}") from error
        turn = self._asked[question, written]
        self._asked[question, written] += 1
        text = str(continuations[turn % len(continuations)])
        return text_sample(text, sampling, len(question) + len(written))

    async def close(self) -> None:
        """Nothing to free."""


class ScriptedPrm:
    """Scores as the script has them, right or wrong in number."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`. Raises BadReply where the script says nothing."""
        written = STEP_DELIMITER.join(steps)
        try:
            values = self._script[question][written]
        except KeyError as error:
            raise BadReply(f"the script has no scores for {question!r} with {written!r}") from error
        return Scores(tuple(map(float, values))[from_step:], len(question) + len(written))

    async def close(self) -> None:
        """Nothing to free."""
