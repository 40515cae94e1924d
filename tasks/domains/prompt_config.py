"""What a recipe says to the policy about each problem."""

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, field_validator

from overthink.tasks.domains.prompts import PromptStyle
from overthink.tasks.domains.user_template import UserTemplate, read_template


class PromptConfig(BaseModel):
    """The chat that asks a policy, all of which is in the keys of what is sampled.

    `style` is a preset of a system message and a user's turn; where `system` or `user` is named, it stands instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    style: PromptStyle = "auto"
    system: str | None = Field(default=None, min_length=1, description="in place of the style's own")
    user: str | None = Field(default=None, description="the user's turn, with {question} or any column of the data")

    @field_validator("user")
    @classmethod
    def _readable(cls, user: str | None) -> str | None:
        if user is not None:
            read_template(user)
        return user

    @cached_property
    def template(self) -> UserTemplate | None:
        """The user's turn as a template; None where the style words it."""
        return None if self.user is None else read_template(self.user)
