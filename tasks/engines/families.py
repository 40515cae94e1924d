"""PRM families as data: how a question and its steps are written, and where the score is read (paper section 3)."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from tasks.engines.chat import encode_chat, encode_text
from tasks.errors import BadReply, EngineUnavailable
from tasks.problems.prompts import messages

REMEMBERED = 65_536  # encoded texts kept; a search asks about the same steps again and again


@dataclass(frozen=True)
class PrmFamily:
    """A family whose prompt is a chat: the question, then in the assistant's turn each step followed by a step mark.

    `architecture` is the class in config.json; the score is P(class 1) of the softmax over two classes at each mark.
    """

    name: str
    architecture: str
    step_mark: str


class PrmPrompts:
    """Questions and steps as one family's prompts; each question and each step is encoded once.

    Raises EngineUnavailable where the tokenizer has no such single token as the family's step mark.
    """

    def __init__(self, family: PrmFamily, tokenizer: Any) -> None:
        ids = tokenizer.encode(family.step_mark, add_special_tokens=False)
        if len(ids) != 1:
            missing = f"this model's tokenizer has no token {family.step_mark}"
            raise EngineUnavailable(f"{missing}: it is no {family.name} PRM")
        self.mark = int(ids[0])
        self._question = lru_cache(REMEMBERED)(lambda text: encode_chat(tokenizer, messages("qwen", text)))
        self.step = lru_cache(REMEMBERED)(partial(encode_text, tokenizer))

    def encode(self, question: str, steps: tuple[str, ...]) -> list[int]:
        """Token ids with exactly one step mark a step; the ids of a prefix of steps are a prefix of the ids."""
        ids = list(self._question(question))
        for step in steps:
            ids += [*self.step(step), self.mark]
        if ids.count(self.mark) != len(steps):
            raise BadReply(
                f"the PRM's prompt holds {ids.count(self.mark)} step marks for {len(steps)} steps: {question!r}"
            )
        return ids


FAMILIES = {"qwen": PrmFamily("qwen", "Qwen2ForProcessRewardModel", "<extra_0>")}


def checked_family(name: str, model_config: dict[str, Any], model: str) -> PrmFamily:
    """The family by name. Raises EngineUnavailable where the model is of another architecture."""
    family = FAMILIES[name]
    architectures = model_config.get("architectures") or []
    if family.architecture not in architectures:
        found = ", ".join(architectures) or "no architecture"
        raise EngineUnavailable(f"{model} is a {found}, but PRM family {name!r} is a {family.architecture}")
    return family
