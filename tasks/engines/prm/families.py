"""PRM families as data: how a question and its steps are written, and how a score is read.

A recipe may spell out a family of its own (`tasks/engines/prm/family_data.py`). One that ships is an entry in
`FAMILIES`, and its name in `PrmFamilyName` there; `tests/test_prm_families.py` tests all against one contract.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from typing import Any

from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.prm.family_data import PrmFamilyData, PrmFamilyName, family_name
from overthink.tasks.engines.prm.layouts import (
    AnsweredLayout,
    Asked,
    Layout,
    MarkedChat,
    MarkedLines,
    MarkedText,
    Turns,
)
from overthink.tasks.engines.weights import LM_HEAD
from overthink.tasks.errors import EngineUnavailable

VLLM_HEADS = {("score.0", "score.2"), ("score",), (LM_HEAD,)}  # layers that vLLM can compute for every token


@dataclass(frozen=True)
class Head:
    """What turns a hidden state into a score in [0, 1].

    `layers` names the checkpoint's linear layers, with ReLU between them. Two numbers at the end are classes, and the
    score is the softmax's P(the second); a single one goes through a sigmoid. With `tokens` the layer is the language
    model's head, of which only the rows of these two tokens are kept. `has_bias` is whether each layer adds one, as its
    authors' does.
    """

    layers: tuple[str, ...]
    tokens: tuple[str, str] | None = None
    has_bias: bool = False

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of all its weights."""
        parts = ("weight", "bias") if self.has_bias else ("weight",)
        return tuple(f"{layer}.{part}" for layer in self.layers for part in parts)


@dataclass(frozen=True)
class PrmFamily:
    """A prompt layout, a head that gives scores, and the classes in config.json (patterns) that it fits.

    `added_token` is one that its authors gave to their base's tokenizer.
    """

    architectures: tuple[str, ...]
    layout: Callable[[Any], Layout]
    head: Head
    added_token: str | None = None


FAMILIES = {
    "qwen": PrmFamily(
        architectures=("Qwen2ForProcessRewardModel",),
        layout=partial(MarkedChat, mark="<extra_0>"),
        head=Head(("score.0", "score.2"), has_bias=True),
    ),
    "math-shepherd": PrmFamily(
        architectures=("MistralForCausalLM", "LlamaForCausalLM"),
        layout=partial(MarkedText, mark=" ки", after_mark="\n"),
        head=Head((LM_HEAD,), tokens=("-", "+")),
    ),
    "er-prm": PrmFamily(
        architectures=("LlamaForCausalLM",),
        layout=partial(MarkedText, mark=" ки", after_mark=""),
        head=Head((LM_HEAD,), tokens=(" -", " +")),
    ),
    "rlhflow": PrmFamily(
        architectures=("LlamaForCausalLM",),
        layout=partial(Turns, verdict="+"),
        head=Head((LM_HEAD,), tokens=("-", "+")),
    ),
    "skywork": PrmFamily(
        architectures=("Qwen2ForCausalLM", "Qwen2ForPrmModel", "Qwen2ForRewardModel"),
        layout=partial(MarkedLines, after_question="\n", mark="\n", one_line=True),
        head=Head(("v_head.summary",), has_bias=True),
    ),
    "pqm": PrmFamily(
        architectures=("LlamaForCausalLM", "LlamaModel"),
        layout=partial(MarkedLines, after_question="\n", before_mark=" ", mark="[PRM]", after_mark="\n"),
        head=Head(("v_head.summary",), has_bias=True),
        added_token="[PRM]",
    ),
    "versaprm": PrmFamily(
        architectures=("LlamaForCausalLM",),
        layout=partial(MarkedLines, after_question=" \n\n", mark=" \n\n\n\n"),
        head=Head((LM_HEAD,), tokens=("-", "+")),
    ),
    "trl": PrmFamily(
        architectures=("*ForTokenClassification",),
        layout=partial(MarkedLines, after_question="", mark="\n"),
        head=Head(("score",), has_bias=True),
    ),
    "verifier": PrmFamily(
        architectures=("*ForCausalLM",),
        layout=Asked,
        head=Head((LM_HEAD,), tokens=("No", "Yes")),
    ),
    "orm": PrmFamily(
        architectures=("*ForSequenceClassification",),
        layout=AnsweredLayout,
        head=Head(("score",)),
    ),
}


LAYOUTS: dict[str, Callable[..., Layout]] = {
    "marked_chat": MarkedChat,
    "marked_text": MarkedText,
    "marked_lines": MarkedLines,
    "turns": Turns,
    "asked": Asked,
    "answered": AnsweredLayout,
}


def family_of(said: PrmFamilyName | PrmFamilyData) -> PrmFamily:
    """The family that a recipe names or spells out."""
    if not isinstance(said, PrmFamilyData):
        return FAMILIES[said]
    layout = partial(LAYOUTS[said.layout.kind], **said.layout.model_dump(exclude={"kind"}))
    return PrmFamily(said.architectures, layout, Head(**said.head.model_dump()), said.added_token)


def checked_family(said: PrmFamilyName | PrmFamilyData, model_config: dict[str, Any], model: str) -> PrmFamily:
    """The family. Raises EngineUnavailable where the model is of another architecture."""
    family, name = family_of(said), family_name(said)
    architectures = model_config.get("architectures") or []
    if not any(fnmatch(found, wanted) for found in architectures for wanted in family.architectures):
        found = ", ".join(architectures) or "no architecture"
        raise EngineUnavailable(
            f"{model} is a {found}, but PRM family {name!r} is a {' or '.join(family.architectures)}"
        )
    return family


def layout_of(family: PrmFamily, model: ModelFiles, trust_remote_code: bool = False) -> tuple[Layout, Any]:
    """The family's layout with the model's tokenizer, and that tokenizer.

    One that comes from a base gets the token that the family's authors added. Raises EngineUnavailable where the
    tokenizer is none of this family.
    """
    tokenizer = load_tokenizer(model, trust_remote_code)
    if family.added_token is not None and model.tokenizer_folder != model.folder:
        tokenizer.add_special_tokens({"additional_special_tokens": [family.added_token]})
    return family.layout(tokenizer), tokenizer
