"""Chats, and the prompt styles of model families, as in Liu et al. 2025."""

from collections.abc import Sequence
from typing import Literal

PromptStyle = Literal["auto", "qwen", "llama3", "r1", "plain"]
KnownStyle = Literal["qwen", "llama3", "r1", "plain"]
Message = dict[Literal["role", "content"], str]

# What Qwen and R1 models, and PRMs made of them, were tuned on.
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."


def known_style(style: PromptStyle, model: str, model_type: str) -> KnownStyle:
    """The style to use: `auto` goes by the model's name and architecture, Qwen's being the default."""
    if style != "auto":
        return style
    if "r1-distill" in model.lower():
        return "r1"
    return "llama3" if model_type == "llama" and "llama-3" in model.lower() else "qwen"


def chat(question: str, system: str | None = None) -> list[Message]:
    """The user's message, behind the system message where there is one."""
    user: Message = {"role": "user", "content": question}
    return [user] if system is None else [{"role": "system", "content": system}, user]


def folded(chat: Sequence[Message]) -> list[Message]:
    """The chat of a model without a system role: its system message begins the user's first."""
    system, user, *others = chat
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *others]
