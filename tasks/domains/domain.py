"""The protocol of a domain: how a question is asked, how its answer is extracted, which answers are equal and right."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

from overthink.tasks.domains.prompts import KnownStyle, Message, chat
from overthink.tasks.records import Problem

Extraction = Literal["boxed", "lenient"]
Verdict = Literal["equal", "different", "unknown"]
# Why a verdict is unknown: a `limit` of time or memory, an answer or reference that is `unread`, a comparison that is
# `undecided`, or a domain's own words.
Reason = str


@dataclass(frozen=True)
class Judged:
    """One answer: a canonical form of it alone, and the verdict on it, None where there is no reference.

    `reason` says why a verdict is unknown, and may say more of one that is known, such as that only the unit differs.
    What took too long is unknown, never different.
    """

    key: str
    verdict: Verdict | None
    reason: Reason | None = None


class Judge(Protocol):
    """Compares answers, for any number of threads at once. All answers to one problem are passed in one call."""

    def grade(self, problem: Problem, answers: Sequence[str]) -> list[Judged]:
        """The key of each answer, and its verdict against the problem's reference; in the order of the answers."""
        ...

    def groups(self, answers: Sequence[str]) -> list[int]:
        """The group of each answer to one problem, numbered from 0 by first occurrence.

        Being in one group is symmetric and transitive, and depends on no order of the answers.
        """
        ...


class Domain(ABC):
    """A kind of task. `name` is what recipes call it.

    Raise `version` with every change of what it extracts, groups or grades: it is in the keys of grades, so that a
    change grades anew and samples nothing. `libraries` names the distributions whose versions are there beside it.
    `instruction` asks for the form of the answer. `grading_fields` names the fields of a problem that its answers are
    compared by, besides the reference: they are in the keys of grades. Each problem must have
    `needed_fields`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()
    instruction: ClassVar[str | None] = None
    grading_fields: ClassVar[tuple[str, ...]] = ()
    needed_fields: ClassVar[tuple[str, ...]] = ()

    def configured(self, options: Mapping[str, Any], seed: int) -> Self:  # noqa: ARG002
        """This domain as a recipe's `domain_options` and its seed have it. Raises ValueError for what it does not take.

        What it is asked with is in the keys of what is sampled by what the policy reads, and in those of grades.
        """
        if options:
            raise ValueError(f"the domain {self.name} has no option {next(iter(options))!r}: leave it out")
        return self

    @property
    def options(self) -> Mapping[str, Any]:
        """What of a recipe's options and seed determines results, away from the defaults; for keys."""
        return {}

    def posed(self, problem: Problem, answer: Any) -> Problem:  # noqa: ARG002
        """A problem as this domain has it: its question with all that is asked, its reference in the domain's own form.

        `answer` is what the data have for the reference, as JSON: text, number, list or mapping; None without one.
        Policy and verifiers read this question, and it is in the problem's key. Raises ValueError saying what is wrong
        with the row.
        """
        return problem

    def columns(self, problem: Problem) -> Mapping[str, str]:  # noqa: ARG002
        """What a recipe's template puts in for columns that this domain words, such as options with their letters."""
        return {}

    def chance(self, problem: Problem) -> float | None:  # noqa: ARG002
        """The probability that a guess is right; None where that says nothing."""
        return None

    def readable(self, problem: Problem, answer: str) -> str:  # noqa: ARG002
        """An answer to this problem as people read it, where it is stored in another form."""
        return answer

    def messages(self, question: str, style: KnownStyle, system: str | None = None) -> list[Message]:
        """The chat that asks a question, up to the assistant's turn: a system message, if any, and the user's message.

        `style` is that of the policy's family: the instruction is the system message, but R1 models have it behind the
        question, and `plain` ones nowhere. `system` is what the recipe wants said in place of the system message. The
        whole chat is in the key of what is sampled.
        """
        if self.instruction is None or style in ("r1", "plain"):
            return chat(f"{question}\n{self.instruction}" if self.instruction and style == "r1" else question, system)
        return chat(question, system or self.instruction)

    def is_final(self, text: str) -> bool:
        """Whether a step holds the final answer, so that a search need not continue from it."""
        return self.extract(text) is not None

    def read(self, problem: Problem, text: str, extraction: Extraction = "boxed") -> str | None:  # noqa: ARG002
        """The answer in a solution to this problem, for domains that cannot tell without it; see `extract`."""
        return self.extract(text, extraction)

    @abstractmethod
    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        """The answer in a solution as written, or None where the solution gives none.

        `lenient` asks for what may be meant too, as the reference tools do, to compare with them.
        """

    @abstractmethod
    def judge(self, time_limit: float, /) -> AbstractContextManager[Judge]:
        """The judge of this domain's answers, valid inside the context; `time_limit` in seconds applies to each answer.

        Raises UserError where what it takes to compare is not installed.
        """


class PlainDomain(Domain):
    """A domain whose answers are compared one by one, at once and in this process."""

    def key(self, answer: str) -> str:
        """The canonical form of an answer that is stored; by default the answer itself."""
        return answer

    def same(self, answers: Sequence[str]) -> list[int]:
        """See `Judge.groups`; by default answers with one key are the same."""
        numbers: dict[str, int] = {}
        return [numbers.setdefault(self.key(answer), len(numbers)) for answer in answers]

    @abstractmethod
    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        """The verdict on one answer to a problem with a reference, and its reason; see `Judged`."""

    @contextmanager
    def judge(self, _: float, /) -> Iterator[Judge]:
        """See `Domain.judge`; comparisons here are too fast to need a time limit."""
        yield _OneByOne(self)


@dataclass(frozen=True)
class _OneByOne:
    domain: PlainDomain

    def grade(self, problem: Problem, answers: Sequence[str]) -> list[Judged]:
        keys = [self.domain.key(answer) for answer in answers]
        if problem.reference is None:
            return [Judged(key, None) for key in keys]
        verdicts = [self.domain.grade(problem, answer) for answer in answers]
        return [Judged(key, *verdict) for key, verdict in zip(keys, verdicts, strict=True)]

    def groups(self, answers: Sequence[str]) -> list[int]:
        return self.domain.same(answers)
