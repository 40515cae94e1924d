"""A PRM family that a recipe spells out: how a question and its steps are written, and how a score is read."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WrapValidator

from overthink.tasks.engines.prm.critic_families import CriticFamilyName
from overthink.tasks.json_schema import FormModel

PrmFamilyName = Literal[
    "qwen", "math-shepherd", "er-prm", "rlhflow", "skywork", "pqm", "versaprm", "trl", "verifier", "orm"
]
Mark = Annotated[str, Field(min_length=1)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarkedChatData(_Data, title="chat, steps marked"):
    """A chat with the steps in the assistant's turn, each followed by one special token and judged there."""

    kind: Literal["marked_chat"]
    mark: Mark = Field(description="what follows each step")


class MarkedTextData(_Data, title="text, steps marked by a word"):
    """One running text in which a word follows each step, which is judged there."""

    kind: Literal["marked_text"]
    mark: Mark = Field(description="what follows each step")
    after_mark: str = Field(default="", description="what stands between a mark and the next step")


class MarkedLinesData(_Data, title="lines, steps marked"):
    """The bare question, then each step followed by a mark and judged at the mark's last token."""

    kind: Literal["marked_lines"]
    mark: Mark = Field(description="what follows each step")
    after_question: str = Field(default="", description="what stands between the question and the first step")
    before_mark: str = Field(default="", description="what stands between a step and its mark")
    after_mark: str = Field(default="", description="what stands between a mark and the next step")
    one_line: bool = Field(default=False, description="whether line breaks within a step become blanks")


class TurnsData(_Data, title="chat, a turn a step"):
    """A chat of one step per user turn, each answered by the assistant with a verdict; judged before the verdict."""

    kind: Literal["turns"]
    verdict: Mark = Field(description="what the assistant says of each step, such as +")


class AskedData(_Data, title="asked about each step"):
    """Any instruct model, asked about each step in a separate chat; judged at the first token of its answer."""

    kind: Literal["asked"]


class AnsweredData(_Data, title="asked at the end"):
    """A chat with the answer as far as it is written, judged as a whole at its end."""

    kind: Literal["answered"]


class HeadData(_Data):
    """What turns a hidden state into a score: `Head` of tasks/engines/prm/families.py says how."""

    layers: tuple[Mark, ...] = Field(
        min_length=1, description="linear layers of the checkpoint; `lm_head` is the model's"
    )
    tokens: tuple[Mark, Mark] | None = Field(default=None, description="of lm_head: the words for wrong and for right")
    has_bias: bool = Field(default=False, description="whether the layers have one")


class PrmFamilyData(_Data, FormModel, title="spelled out"):
    """A complete family; the keys of score stages hold all of it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60, description="what messages call it")
    architectures: tuple[Mark, ...] = Field(
        min_length=1, description="classes in config.json; * stands for any letters"
    )
    layout: Annotated[
        MarkedChatData | MarkedTextData | MarkedLinesData | TurnsData | AskedData | AnsweredData,
        Field(discriminator="kind"),
    ]
    head: HeadData
    added_token: Mark | None = Field(default=None, description="one that the authors gave to their base's tokenizer")


NAMED: TypeAdapter[PrmFamilyName] = TypeAdapter(PrmFamilyName)


def _one_of_both(value: Any, _: Any) -> Any:
    """A mapping is a family in full, so that a mistake in it is told as such, and no union's two answers are."""
    if value in get_args(CriticFamilyName):
        raise ValueError(f"{value} writes critiques: say engine: generative, and its model as prm.verifier.model")
    is_full = isinstance(value, dict | PrmFamilyData)
    return PrmFamilyData.model_validate(value) if is_full else NAMED.validate_python(value)


AnyPrmFamily = Annotated[PrmFamilyName | PrmFamilyData, WrapValidator(_one_of_both)]


def family_name(family: PrmFamilyName | PrmFamilyData) -> str:
    """The name of a family in messages."""
    return family.name if isinstance(family, PrmFamilyData) else family
