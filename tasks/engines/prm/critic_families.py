"""Verifiers that write as data: how each is asked about a step, and how it says its verdict.

Prompts are those of the models' authors, as published: a model that was trained on one form judges badly in another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.methods.verdict_forms import VerdictForm

NUMBER = re.compile(r"^Step \d+: *")
CriticFamilyName = Literal["critic", "genprm", "thinkprm", "r-prm"]


@dataclass(frozen=True)
class CritiqueDraw:
    """How critiques are drawn unless the recipe says otherwise: the authors' settings. `top_k` 0 is no limit."""

    temperature: float
    top_p: float
    max_tokens: int
    top_k: int = 0


@dataclass(frozen=True)
class CriticFamily:
    """A verifier's chat about one step, and its verdict.

    `turn` is the user's turn, with {question}, {before} (the steps before, or `nothing_before`), {step}, {number} (of
    the step, from 1) and {solution} (all steps to this one). With `turn_of_step` each step has a turn of its own:
    `turn` asks about the first one, and behind each step before the assistant says `said_right`. `numbered` puts
    "Step 2: " before each step. `opening` begins the assistant's turn.

    A family that reads the `whole` judges all steps in one critique; others write one about each step. Where an
    analysis ends by `analysis_end`, the verdict is asked for by `verdict_lead` behind it. `again` begins another round.
    """

    turn: str
    verdict: VerdictForm
    draw: CritiqueDraw
    system: str | None = None
    turn_of_step: str | None = None
    said_right: str = ""
    nothing_before: str = ""
    numbered: bool = False
    opening: str = ""
    whole: bool = False
    analysis_end: str | None = None
    verdict_lead: str = ""
    again: str = "\nWait, let me double check.\n"

    def turns(self, question: str, steps: Sequence[str], place: int) -> tuple[str, ...]:
        """The chat about `steps[place]`: the user's and the assistant's turns in turn, the user's first and last."""
        shown = [self._shown(step, index) for index, step in enumerate(steps[: place + 1])]
        if self.turn_of_step is None:
            return (self._turn(self.turn, question, shown),)
        first = self._turn(self.turn, question, shown[:1])
        later = [self._turn(self.turn_of_step, question, shown[: index + 1]) for index in range(1, len(shown))]
        return (first, *(turn for each in later for turn in (self.said_right, each)))

    def opening_of(self, place: int) -> str:
        """What the assistant's turn about `steps[place]` begins with; empty where nothing does."""
        return self.opening.format(number=place + 1)

    def _shown(self, step: str, index: int) -> str:
        return f"Step {index + 1}: {NUMBER.sub('', step)}" if self.numbered else step

    def _turn(self, template: str, question: str, shown: Sequence[str]) -> str:
        before = "\n".join(shown[:-1]) or self.nothing_before
        solution = "\n".join(shown)
        return template.format(question=question, before=before, step=shown[-1], number=len(shown), solution=solution)


CRITIC_TURN = """Check one step of a solution to a problem.

Problem:
{question}

The steps before:
{before}

Step {number}, which you check:
{step}

Is this step right, given the problem and the steps before it? Think it through: look for mistakes in arithmetic, in \
logic, and in what it takes from the problem. Then end with a line that holds the verdict alone: "Verdict: Yes" where \
the step is right, "Verdict: No" where it is wrong."""

# github.com/mukhal/ThinkPRM (arXiv 2504.16828)
THINKPRM_TURN = """You are given a math problem and a proposed step-by-step solution:

[Math Problem]

{question}

[Solution]

{solution}

Review and critique each step in the proposed solution to determine whether each step is correct. If the solution is \
incomplete, only verify the provided steps."""

# github.com/NJUNLP/R-PRM (arXiv 2503.21295)
R_PRM_TURN = """You are an excellent math teacher. Please verify the correctness of the Now Step.

You first need to analyze the Now Step and the Previous Steps and then summarize based on your analysis.
Analysis:
You need to analyze the following aspects.
**Previous Steps Analysis**: You need to analyze the Previous Steps step by step. For each step, you need to first \
explain what the current step is doing, then you try to find any error in the current step.
**Now Step Analysis**: You first need to explain what the Now Step is doing, and then point out which part of the \
Question it is trying to solve or which part of the information it states.
**Data Source Analysis**: First you need to find out what data are used in the Now Step, and then you need to \
determine whether the source of the data is reasonable and correct. When you judge whether the source of a data is \
reasonable and correct, you need to specify the specific source of this data: such as which part of the question, or \
which content of the previous step; and then determine the source and current use is consistent, the Now Step is used \
correctly.
**Consistency Analysis**: You need to check that the Now Step is consistent with the contents of the Previous Steps, \
and then you need to check that all the information inside the Now Step is consistent.
**Calculation Analysis**: If the Now Step involves any calculations, such as addition, subtraction, multiplication, \
division, equations, modulo operations, etc., you will first need to perform a check on the calculation, such as a \
reverse operation, to see if the calculation was done correctly, and then analyze the results of your check to see if \
there was an error in the calculation.
Conclusion:\x20
Please verify the correctness of the Now Step based on your analysis, if there is any error in the Now Step then the \
Now Step is wrong and vice versa the Now Step is correct. At the end of the Conclusion, when you give your final \
answer, write it in the form "Verification: Is the step correct (Yes/No)? X", where X is either Yes or No.

Question: {question}
Previous Steps: {before}
Now Step: {step}
Please carefully analyze the correctness of the Now Step.
Reply: """

CRITIC_FAMILIES: dict[CriticFamilyName, CriticFamily] = {
    "critic": CriticFamily(
        turn=CRITIC_TURN,
        nothing_before="(none: it is the first)",
        verdict=VerdictForm(
            lead=r"^[\s*_#>-]*verdict[*_]*\s*[:\uff1a][\s*_`$]*(?:\\boxed\{)?",
            example="Verdict: {}",
        ),
        draw=CritiqueDraw(temperature=0.7, top_p=0.95, max_tokens=2048),
    ),
    # github.com/RyanLiu112/GenPRM (arXiv 2504.00891), without its programs
    "genprm": CriticFamily(
        system="You are a math teacher. Your task is to review and critique the paragraphs in solution step by step.",
        turn="{question}\n{step}",
        turn_of_step="{step}",
        said_right="<output>\n**Judgement**: $\\boxed{Yes}$\n</output>\n",
        opening="<analyze>\nLet's analyze the Paragraph {number} step by step: ",
        analysis_end="</analyze>\n",
        verdict_lead="<output>\n**Judgement**: $\\boxed",
        verdict=VerdictForm(
            lead=r"\\boxed\{\s*(?:\\text\{)?",
            example="<output>\n**Judgement**: $\\boxed{{{}}}$\n</output>",
        ),
        draw=CritiqueDraw(temperature=0.6, top_p=0.95, top_k=20, max_tokens=2048),
    ),
    "thinkprm": CriticFamily(
        turn=THINKPRM_TURN,
        numbered=True,
        whole=True,
        opening="\nLet's verify step by step:",
        verdict=VerdictForm(
            lead=r"is the solution correct\?[\s*_]*",
            example="</think>\nIs the solution correct? {}",
        ),
        draw=CritiqueDraw(temperature=0.7, top_p=1.0, max_tokens=8192),
        again="\nLet me double check",
    ),
    "r-prm": CriticFamily(
        system="You are a helpful assistant.",
        turn=R_PRM_TURN,
        nothing_before="Since the Now Step is the first step, there are no Previous Steps.",
        verdict=VerdictForm(
            lead=r"is the (?:step|answer) correct \(yes/no\)\?[\s*_]*",
            example="Verification: Is the step correct (Yes/No)? {}",
        ),
        draw=CritiqueDraw(temperature=0.95, top_p=0.95, max_tokens=3072),
    ),
}
