"""PRM families as data: how a question and its steps are written, and where the score is read (paper section 3)."""

from dataclasses import dataclass
from typing import Any

from tasks.engines.chat import encode_chat, encode_text
from tasks.errors import BadReply, EngineUnavailable
from tasks.problems.prompts import messages


@dataclass(frozen=True)
class PrmFamily:
    """A family whose prompt is a chat: the question, then in the assistant's turn each step followed by a step mark.

    `architecture` is the class in config.json; the score is P(class 1) of the softmax over two classes at each mark.
    """

    name: str
    architecture: str
    step_mark: str

    def mark_id(self, tokenizer: Any) -> int:
        """The step mark's token id. Raises EngineUnavailable where the tokenizer has no such single token."""
        ids = tokenizer.encode(self.step_mark, add_special_tokens=False)
        if len(ids) != 1:
            raise EngineUnavailable(f"this model's tokenizer has no token {self.step_mark}: it is no {self.name} PRM")
        return int(ids[0])

    def encode(self, tokenizer: Any, question: str, steps: tuple[str, ...]) -> list[int]:
        """Token ids with exactly one step mark a step; the ids of a prefix of steps are a prefix of the ids."""
        mark = self.mark_id(tokenizer)
        ids = encode_chat(tokenizer, messages("qwen", question))
        for step in steps:
            ids += [*encode_text(tokenizer, step), mark]
        if ids.count(mark) != len(steps):
            raise BadReply(f"the PRM's prompt holds {ids.count(mark)} step marks for {len(steps)} steps: {question!r}")
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
