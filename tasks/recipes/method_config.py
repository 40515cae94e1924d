"""What all methods of a recipe have in common, those of packages too, and what they take from its other keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from overthink.storage.keys import content_key
from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.recipes.sampling_config import ConfidenceConfig
from overthink.tasks.records import Sampling

NAMED_APART = ("method", "n", "beam_width")


@dataclass(frozen=True)
class Draws:
    """What a method takes from the rest of the recipe.

    `indices` numbers the solutions wanted of a method whose solutions are independent; `sampling` draws a whole one,
    `delimiter` ends a step, `is_final` tells whether one holds the final answer, `answer_of` reads the answer in a
    solution; `seed` is the problem's own, for methods that draw lots; `thinking` is how the policy reasons, None where
    it does not; `group` is the number of tokens of a group of confidences.
    """

    indices: range
    sampling: Sampling
    delimiter: str
    is_final: Callable[[str], bool]
    answer_of: Callable[[str], str | None]
    seed: int
    thinking: Thinking | None = None
    group: int = ConfidenceConfig().group


class MethodConfig(BaseModel):
    """What all methods have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # A search grows a tree, asks the PRM on the way and answers one budget, its own n.
    is_search: ClassVar[bool] = False
    # Of what a plug-in computes, raised with every change of it; a built-in method's is in tasks/stages/identity.py.
    version: ClassVar[int] = 1
    # Any subset of independent rollouts stands for a smaller budget; other methods' rollouts only count together.
    independent: ClassVar[bool] = False

    @property
    def reads_answers(self) -> bool:
        """Whether what it draws depends on answers, and so on how they are read."""
        return False

    @property
    def is_guided(self) -> bool:
        """Whether a PRM's scores decide what it draws."""
        return self.is_search

    @property
    def reads_confidence(self) -> bool:
        """Whether the policy's confidence decides what it draws."""
        return False

    @property
    def further_texts(self) -> int:
        """How many texts of a solution's length it draws at most beside each solution of its budget."""
        return 0


class BudgetConfig(MethodConfig):
    """Methods with a budget N."""

    # Values that a method_id does not name although they are no defaults: they were, when it was first given out.
    unnamed: ClassVar[Mapping[str, Any]] = {}
    # Settings that are texts, which a method_id names by a digest.
    worded: ClassVar[frozenset[str]] = frozenset()

    n: int = Field(ge=1, lt=2**31, description="budget: solutions drawn at once")

    @property
    def method_id(self) -> str:
        """The method with its parameters, those left at their defaults aside: `beam_search-n16-m4`.

        A name means the same for ever: a default that changes is named from then on, its predecessor never.
        """
        settings = dict(self)
        parts = [str(settings["method"]), f"n{self.n}"]
        if "beam_width" in settings:
            parts.append(f"m{settings['beam_width']}")
        for name, field in type(self).model_fields.items():
            value = settings[name]
            if name not in NAMED_APART and value != self.unnamed.get(name, field.default):
                text = name + content_key(value)[:6] if name in self.worded else value
                parts.append(text if isinstance(text, str) else name + repr(value).removesuffix(".0"))
        return "-".join(parts)
