"""Methods that go on from whole answers: their parameters, what they say to the policy, and the searches they make."""

from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.self_refine import RefineTurns, self_refine
from overthink.tasks.methods.self_verify import ANSWER, self_verify
from overthink.tasks.methods.sequential_revisions import Returned, RevisionChain, sequential_revisions
from overthink.tasks.recipes.method_config import BudgetConfig, Draws

CRITIQUE = (
    "Check your solution step by step and name every mistake. End with the line 'Verdict: right' if the answer is "
    "right, or 'Verdict: wrong' if it is not."
)
REVISE = "Solve the problem again without the mistakes, and give the answer in the same form."
CHECK = (
    f"Suppose that the answer is {ANSWER}. Work back from it to what the question gives, and see whether it holds. "
    "Then give the answer that you come to, in the same form as before."
)
AGAIN = "There may be a mistake in this solution. Solve the problem again, and give the answer in the same form."


class RevisionConfig(BudgetConfig):
    """What methods that revise have in common: a policy that does not think, and rollouts that count together."""


class SelfRefine(RevisionConfig, title="self-refine"):
    """N chains of an answer, the policy's own critique of it and a revised answer (Madaan et al. 2023)."""

    worded: ClassVar[frozenset[str]] = frozenset({"critique", "revise"})

    method: Literal["self_refine"]
    rounds: int = Field(default=2, ge=1, description="critiques at most; one whose verdict is right ends its chain")
    critique: str = Field(default=CRITIQUE, min_length=1, description="asks for a critique that ends in a verdict")
    revise: str = Field(default=REVISE, min_length=1, description="asks for a revised answer")

    @property
    def further_texts(self) -> int:
        """A critique and a revised answer a round."""
        return 2 * self.rounds

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        assert draws.thinking is None, "the plan refuses a policy that thinks"
        return self_refine(draws.sampling, self.n, self.rounds, RefineTurns(self.critique, self.revise))


class SelfVerify(RevisionConfig, title="self-verify"):
    """N answers, of which those are kept that hold when the problem is solved from them (after Weng et al. 2023)."""

    worded: ClassVar[frozenset[str]] = frozenset({"check"})

    method: Literal["self_verify"]
    check: str = Field(
        default=CHECK, description="asks to solve the problem from the answer, which {answer} stands for"
    )

    @model_validator(mode="after")
    def _names_the_answer(self) -> Self:
        if ANSWER not in self.check:
            raise ValueError(f"check {self.check!r} asks about no answer: put {ANSWER} where it shall stand")
        return self

    @property
    def reads_answers(self) -> bool:
        """The answer is in the check, and must come out of it."""
        return True

    @property
    def further_texts(self) -> int:
        """A check an answer."""
        return 1

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        assert draws.thinking is None, "the plan refuses a policy that thinks"
        return self_verify(draws.sampling, self.n, self.check, draws.answer_of)


class SequentialRevisions(RevisionConfig, title="sequential revisions"):
    """N answers in chains of L, each written with those before in view (Snell et al. 2024); N/L chains side by side."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)
    worded: ClassVar[frozenset[str]] = frozenset({"revise"})

    method: Literal["sequential_revisions"]
    revisions: int = Field(ge=1, description="L, answers of one chain; 1 are independent answers")
    seen: int = Field(default=4, ge=1, description="answers that the next one is written behind, the latest")
    returned: Returned = Field(
        default="last", alias="return", description="of each chain the last answer, the one it gives most often, or all"
    )
    revise: str = Field(default=AGAIN, min_length=1, description="asks for the next answer")

    @model_validator(mode="after")
    def _whole_chains(self) -> Self:
        if self.n % self.revisions:
            raise ValueError(f"n = {self.n} is not a multiple of revisions = {self.revisions}")
        return self

    @property
    def reads_answers(self) -> bool:
        """Where a chain's answers vote."""
        return self.returned == "vote"

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        assert draws.thinking is None, "the plan refuses a policy that thinks"
        chain = RevisionChain(self.revisions, self.seen, self.revise)
        chains = self.n // self.revisions
        return sequential_revisions(draws.sampling, chains, chain, self.returned, draws.answer_of)
