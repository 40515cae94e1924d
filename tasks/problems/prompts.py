"""How a question is put to a policy, by model family (paper section 2, Prompts)."""

from typing import Literal

PromptStyle = Literal["auto", "qwen", "llama3", "r1", "plain"]
KnownStyle = Literal["qwen", "llama3", "r1", "plain"]
Message = dict[Literal["role", "content"], str]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
LLAMA3_MATH = """Solve the following math problem efficiently and clearly:

- For simple problems (2 steps or fewer):
Provide a concise solution with minimal explanation.

- For complex problems (3 steps or more):
Use this step-by-step format:

## Step 1: [Concise description]
[Brief explanation and calculations]

## Step 2: [Concise description]
[Brief explanation and calculations]

...

Regardless of the approach, always conclude with:

Therefore, the final answer is: $\\boxed{answer}$. I hope it is correct.

Where [answer] is just the final number or expression that solves the problem."""


def known_style(style: PromptStyle, model: str, model_type: str) -> KnownStyle:
    """The style to use: `auto` goes by the model's name and architecture, Qwen's being the default."""
    if style != "auto":
        return style
    if "r1-distill" in model.lower():
        return "r1"
    return "llama3" if model_type == "llama" and "llama-3" in model.lower() else "qwen"


def messages(style: KnownStyle, question: str) -> list[Message]:
    """The chat that asks `question`, without the assistant's turn."""
    match style:
        case "plain":
            return [{"role": "user", "content": question}]
        case "r1":
            return [{"role": "user", "content": f"{question}\n{BOXED}"}]
        case "llama3":
            return [{"role": "system", "content": LLAMA3_MATH}, {"role": "user", "content": question}]
        case "qwen":
            return [{"role": "system", "content": BOXED}, {"role": "user", "content": question}]
