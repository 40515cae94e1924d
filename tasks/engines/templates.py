"""What a tokenizer's chat template writes around the texts of a chat, found in a separate process."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overthink.tasks.child_processes import command_of
from overthink.tasks.domains.prompts import Message
from overthink.tasks.engines.template_process import CPU_SECONDS, LONGEST, MEMORY
from overthink.tasks.errors import EngineUnavailable

RENDERER = "overthink.tasks.engines.template_process"
TEMPLATE_DATE = "26 Jul 2024"  # Llama's template would put today's date into the prompt, and so into every key
PLACE = "\ue000"  # a private-use character that stands for a text from outside while the template is rendered
WALL_SECONDS = 120  # of a machine with other work to do


class Unrendered(str):
    """Why a template does not write a chat."""


@dataclass(frozen=True)
class TemplateUse:
    """What a recipe asks of a template: its `variables`, a JSON object, and the `prefill` of the assistant's turn."""

    variables: str = "{}"
    prefill: str = ""


AS_IT_STANDS = TemplateUse()


def render(tokenizer: Any, chats: Sequence[Sequence[Message]], opens: bool, variables: str = "{}") -> list[str]:
    """Each chat as the template writes it, with `opens` up to the opening of the assistant's turn; or Unrendered.

    Raises EngineUnavailable where there is no template, where it does not read one of the recipe's variables (a JSON
    object), or where it does not come to an end.
    """
    name = tokenizer.name_or_path
    try:
        template = tokenizer.get_chat_template()
    except (ValueError, AttributeError) as error:
        raise EngineUnavailable(
            f"{name} has no chat template, as models have that were never taught to chat: name the instruct model, or "
            f"put a chat_template.jinja beside its tokenizer ({' '.join(str(error).split())[:120]})"
        ) from error
    own = json.loads(variables)
    for variable in own:
        if not re.search(rf"\b{re.escape(variable)}\b", template):
            raise EngineUnavailable(
                f"the chat template of {name} reads no variable {variable!r}: mend prompt.chat_template_kwargs, or "
                "leave it out"
            )
    all_variables = (
        tokenizer.special_tokens_map | {"date_string": TEMPLATE_DATE} | own | {"add_generation_prompt": opens}
    )
    asked = {"template": template, "variables": all_variables, "chats": [list(chat) for chat in chats]}
    answers = _answers(json.dumps(asked, default=str))
    if answers is None:
        raise EngineUnavailable(
            f"the chat template of {name} was stopped: a chat may take {CPU_SECONDS} s, {MEMORY >> 20} MiB of memory "
            f"and {LONGEST:,} characters; mend its chat_template"
        )
    return [Unrendered(answer["error"]) if "error" in answer else answer["text"] for answer in answers]


@lru_cache(maxsize=256)
def _answers(asked: str) -> list[dict[str, str]] | None:
    """The process's answers; None where it was stopped."""
    try:
        done = subprocess.run(
            command_of(RENDERER),
            input=asked,
            capture_output=True,
            text=True,
            timeout=WALL_SECONDS,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread would take part of the memory limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode < 0 or "MemoryError" in done.stderr:
        return None
    if done.returncode > 0:
        raise RuntimeError(f"the process that renders chat templates failed: {done.stderr[-2000:]}")
    answers: list[dict[str, str]] = json.loads(done.stdout)
    return answers


def pieces(tokenizer: Any, text: str, count: int, remedy: str = "name another model") -> tuple[str, ...]:
    """What stands before, between and after `count` texts.

    Raises EngineUnavailable where the template did not show each of them once.
    """
    around = between(text)
    if len(around) == count + 1:
        return around
    why = text if isinstance(text, Unrendered) else f"it shows {len(around) - 1} messages"
    raise EngineUnavailable(
        f"the chat template of {tokenizer.name_or_path} cannot write a chat of {count} ({why}): mend its "
        f"chat_template, or {remedy}"
    )


def between(text: str) -> tuple[str, ...]:
    """What a template wrote around the texts of a chat; nothing where it wrote none."""
    return () if isinstance(text, Unrendered) else tuple(text.split(PLACE))


def shows(text: str, system: str) -> bool:
    """Whether a template wrote a system message: some refuse it, and some drop it silently."""
    return not isinstance(text, Unrendered) and "".join(system.split()) in "".join(text.split())
