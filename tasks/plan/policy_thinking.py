"""How a recipe's policy reasons: by the marks in its chat template and what its prompt opens, or as the recipe says."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import UserError
from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.reasoning_marks import FAMILIES, ReasoningMarks
from overthink.tasks.recipes.reasoning_config import OwnMarks, ReasoningConfig
from overthink.tasks.stages.identity import own_code


def thinking_of(config: ReasoningConfig, policy: EngineIdentity) -> Thinking | None:
    """How the recipe's policy reasons, by its chat template and prompt unless the recipe names the marks.

    None where it does not reason: its template has no marks, or its prompt closes them. Raises UserError where the
    recipe forces reasoning that there is none of, or puts marks into it.
    """
    marks = _marks(config, policy)
    prompted = "" if policy.chat is None else policy.chat.opening
    if marks is None or _is_closed(prompted, marks):
        if config.is_forced:
            why = "its chat template has no marks of reasoning" if marks is None else "its prompt closes the reasoning"
            raise UserError(
                f"reasoning is to be forced, but policy {policy.name} has none: {why}; name reasoning.marks, or let it "
                "think (prompt.chat_template_kwargs)"
            )
        return None
    check_words("reasoning", (config.text, config.ending), marks)
    settings = config.model_dump(exclude={"marks"})
    opened = prompted.rfind(marks.open.rstrip()) > prompted.rfind(marks.close)  # a prefill may go on within it
    return Thinking(marks=marks, opened=opened, **settings)


def check_words(where: str, texts: Iterable[str], marks: ReasoningMarks) -> None:
    """Raise UserError for a mark in what is put into the reasoning: it is closed by us, behind the text."""
    for text in texts:
        for mark in (marks.open, marks.close):
            if (mark.strip() or mark) in text:  # a mark may be a blank line
                raise UserError(f"{where} puts {text!r} into the reasoning, with its mark {mark}: leave the mark out")


def reasoning_identity(thinking: Thinking | None, config: ReasoningConfig, policy: EngineIdentity) -> dict[str, Any]:
    """What of the reasoning determines rollouts; nothing of a chat endpoint's that is only read."""
    if thinking is None or (policy.chat is not None and policy.chat.is_endpoint and config == ReasoningConfig()):
        return {}
    marks = [thinking.marks.open, thinking.marks.close, thinking.marks.direct]
    # What is at its default enters no key, so that a setting which a later version adds moves no rollouts.
    settings = {
        each.name: value
        for each in fields(thinking)
        if each.name not in ("marks", "opened") and (value := getattr(thinking, each.name)) != each.default
    }
    found = {"marks": marks, "opened": thinking.opened, **settings, **own_code("reasoning")}
    return {"reasoning": found}


def _marks(config: ReasoningConfig, policy: EngineIdentity) -> ReasoningMarks | None:
    if isinstance(config.marks, OwnMarks):
        return ReasoningMarks(**config.marks.model_dump())
    if config.marks == "none":
        return None
    if config.marks != "auto":
        return FAMILIES[config.marks]
    if policy.chat is None:
        return None
    template = policy.chat.template
    return next((marks for marks in FAMILIES.values() if marks.open in template or marks.close in template), None)


def _is_closed(prompted: str, marks: ReasoningMarks) -> bool:
    return prompted.rfind(marks.close) > prompted.rfind(marks.open)
