"""What a recipe says to the policy about each problem."""

import json
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from overthink.tasks.domains.prompts import Message, PromptStyle
from overthink.tasks.domains.user_template import UserTemplate, read_template

Turn = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# What says how a template is used, and not what it says.
OURS = {
    *("messages", "conversations", "chat_template", "add_generation_prompt", "continue_final_message"),
    "return_assistant_tokens_mask",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Shot(_Frozen):
    """A worked example, as two turns of the chat; both are put in as they are."""

    user: Turn = Field(description="a question")
    assistant: Turn = Field(description="what the policy would be right to say")


class PromptConfig(_Frozen):
    """The chat that asks a policy, all of which is in the keys of what is sampled.

    `style` is a preset of a system message and a user's turn; where `system` or `user` is named, it stands instead.
    """

    style: PromptStyle = Field(default="auto", description="a preset of system message and user's turn; by the model")
    system: str | None = Field(default=None, min_length=1, description="in place of the style's own")
    user: str | None = Field(default=None, description="the user's turn, with {question} or any column of the data")
    few_shot: tuple[Shot, ...] = Field(default=(), description="examples before the question, or a .jsonl file of them")
    chat_template_kwargs: dict[str, JsonValue] = Field(default={}, description="such as enable_thinking: false")
    prefill: str | None = Field(default=None, min_length=1, description="what the assistant's turn begins with")

    @field_validator("user", mode="before")
    @classmethod
    def _readable(cls, user: Any) -> Any:
        if isinstance(user, dict):
            raise ValueError("in YAML a text that begins with a brace is quoted: '{question}'")
        if isinstance(user, str):
            read_template(user)
        return user

    @field_validator("chat_template_kwargs")
    @classmethod
    def _not_ours(cls, variables: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(OURS & set(variables))
        if taken:
            raise ValueError(f"{taken[0]} is set by Overthink: leave it out")
        return variables

    @cached_property
    def template(self) -> UserTemplate | None:
        """The user's turn as a template; None where the style words it."""
        return None if self.user is None else read_template(self.user)

    @property
    def shots(self) -> list[Message]:
        """The turns of the examples."""
        turns: list[Message] = []
        for shot in self.few_shot:
            turns += [{"role": "user", "content": shot.user}, {"role": "assistant", "content": shot.assistant}]
        return turns

    @property
    def variables(self) -> str:
        """The template's variables as one JSON object, the same for equal ones."""
        return json.dumps(self.chat_template_kwargs, sort_keys=True)
