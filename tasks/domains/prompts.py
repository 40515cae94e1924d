"""How a question is put to a policy, by model family (paper section 2, Prompts)."""

from collections.abc import Sequence
from typing import Literal

PromptStyle = Literal["auto", "qwen", "llama3", "r1", "plain"]
KnownStyle = Literal["qwen", "llama3", "r1", "plain"]
Message = dict[Literal["role", "content"], str]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
# The form that Llama-3 models were tuned on, in our words: short for few steps, numbered headings for more.
LLAMA3_MATH = """Solve this mathematics problem clearly and without detours.

If it takes 1 or 2 steps, give a short solution with little explanation.

If it takes 3 steps or more, write every step in this form:

## Step 1: [what is done]
[the calculation, briefly explained]

## Step 2: [what is done]
[the calculation, briefly explained]

and so on.

In both cases end with this sentence, where [answer] is only the number or expression asked for:

Therefore, the final answer is: $\\boxed{[answer]}$. I hope it is correct."""

SYSTEM: dict[KnownStyle, str] = {"qwen": BOXED, "llama3": LLAMA3_MATH}


def known_style(style: PromptStyle, model: str, model_type: str) -> KnownStyle:
    """The style to use: `auto` goes by the model's name and architecture, Qwen's being the default."""
    if style != "auto":
        return style
    if "r1-distill" in model.lower():
        return "r1"
    return "llama3" if model_type == "llama" and "llama-3" in model.lower() else "qwen"


def messages(style: KnownStyle, question: str, system: str | None = None) -> list[Message]:
    """The chat that asks `question`, without the assistant's turn; `system` goes before the style's system message."""
    user: Message = {"role": "user", "content": f"{question}\n{BOXED}" if style == "r1" else question}
    text = system or SYSTEM.get(style)
    return [user] if text is None else [{"role": "system", "content": text}, user]


def folded(chat: Sequence[Message]) -> list[Message]:
    """The chat of a model without a system role: its system message begins the user's."""
    *before, user = chat
    return [{"role": "user", "content": "\n\n".join(message["content"] for message in (*before, user))}]
