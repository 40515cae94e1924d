"""The domain of mathematics: boxed answers, equal where their values are."""

from typing import Any, ClassVar

from overthink.tasks.domains.domain import Domain, Extraction
from overthink.tasks.domains.math.extraction import extract_answer, is_final, last_box
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.domains.math.tolerances import tolerance_of
from overthink.tasks.domains.prompts import BOXED, KnownStyle, Message
from overthink.tasks.records import Problem

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


class Mathematics(Domain):
    """Numbers, expressions, sets and intervals, compared by value, or within a row's `tolerance` where it has one."""

    name: ClassVar[str] = "math"
    version: ClassVar[int] = 3
    libraries: ClassVar[tuple[str, ...]] = ("mpmath",)
    instruction: ClassVar[str] = BOXED
    grading_fields: ClassVar[tuple[str, ...]] = ("tolerance",)

    def posed(self, problem: Problem, answer: Any) -> Problem:  # noqa: ARG002
        """See `Domain.posed`. Raises ValueError for a tolerance that its reference cannot be graded by."""
        tolerance_of(problem)
        return problem

    def messages(self, question: str, style: KnownStyle, system: str | None = None) -> list[Message]:
        """See `Domain.messages`; Llama-3 models have their own instruction (Meta's MATH prompt)."""
        return super().messages(question, style, system or (LLAMA3_MATH if style == "llama3" else None))

    def is_final(self, text: str) -> bool:
        """Whether a box is opened."""
        return is_final(text)

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        """See `extract_answer`."""
        return extract_answer(text, extraction)

    def boxed(self, text: str) -> str | None:
        """The last box alone, as other tools write references and predictions; None where there is none."""
        return last_box(text)

    def judge(self, time_limit: float, /) -> MathJudge:
        """See `Domain.judge`; separate processes compute, within the limit."""
        return MathJudge(time_limit)
