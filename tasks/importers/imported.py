"""The result of every reader: the other tool's rollouts, and its reports on them."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from overthink.storage.keys import content_key
from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.records import Problem, StopReason

STEP_DELIMITER = "\n\n"
NOT_IMPORTED = ("fields", "user_turn", "chance")  # of a problem: what a recipe's template may ask with
Measure = Literal["choice", "answer", "accuracy", "policy_tokens"]


@dataclass(frozen=True)
class ImportedStep:
    """One step; its score in [0, 1] and its tokens are None where unknown."""

    text: str
    score: float | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class ImportedRollout:
    """One solution. Its tokens are those of its own text, without pruned branches; None where unknown.

    `text` and `steps` are what follows the `reasoning`, which is None where there is none. `completion_tokens` count
    both. `opened` is the mark of reasoning that its prompt is known to end with.
    """

    text: str
    steps: tuple[ImportedStep, ...]
    completion_tokens: int | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    stop_reason: StopReason | None = None
    opened: str | None = None


@dataclass(frozen=True)
class Reported:
    """One report of the other tool; the field that is set says of what.

    `choice`: what a selector chose among the first n rollouts. `answer`: of the rollout at `sample_index`. `accuracy`:
    of the whole set. `policy_tokens`: written for one problem, pruned branches included, or the mean over the set. None
    where the field says nothing we have a word for.
    """

    field: str
    measure: Measure | None
    sample_index: int | None = None
    selector: SelectorName | None = None
    n: int | None = None
    answer: str | None = None
    correct: bool | None = None
    value: float | None = None


@dataclass(frozen=True)
class ImportedProblem:
    """One problem, its rollouts by sample index (none where the other tool's search died), and the reports on it.

    `given` is its reference as the other tool has it, as JSON; `place` is where that stands, for errors.
    """

    problem: Problem
    rollouts: tuple[ImportedRollout, ...]
    reported: tuple[Reported, ...] = ()
    given: Any = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class ImportedSet:
    """One method's rollouts of a set of problems.

    `n` is the method's budget, `budgets` those its rollouts can answer, smaller ones by the first of them, or, where
    rollouts are `independent`, by any. `is_scored` says whether they bring step scores. `label` distinguishes the sets
    of one import.
    """

    domain: str
    method_id: str
    n: int
    budgets: tuple[int, ...]
    independent: bool
    is_scored: bool
    problems: tuple[ImportedProblem, ...]
    policy: str | None = None
    prm: str | None = None
    reported: tuple[Reported, ...] = ()
    label: str = ""

    @property
    def problem_set(self) -> ProblemSet:
        """The problems alone."""
        return ProblemSet(title=self.domain, problems=tuple(each.problem for each in self.problems))

    @property
    def content(self) -> str:
        """The content address of all that was imported, and nothing else."""
        value: dict[str, Any] = asdict(self)
        del value["label"]
        for problem in value["problems"]:
            del problem["given"], problem["place"]  # it is in the posed problem; a path is part of no key
            problem["problem"] = {name: part for name, part in problem["problem"].items() if name not in NOT_IMPORTED}
            problem["rollouts"] = [_identity(rollout) for rollout in problem["rollouts"]]
        return content_key(value)


def _identity(rollout: dict[str, Any]) -> dict[str, Any]:
    """A rollout without the fields that were added later and say nothing: what has none keeps the key it had.

    What opened its reasoning is no part of it.
    """
    later = ("reasoning", "reasoning_tokens", "stop_reason")
    absent = {"opened", *(name for name in later if rollout[name] is None)}
    return {name: value for name, value in rollout.items() if name not in absent}


def independent_set(domain: str, problems: tuple[ImportedProblem, ...], **further: Any) -> ImportedSet:
    """Independent rollouts without scores, as of best-of-N; `further` are other fields of the set."""
    counts = [len(problem.rollouts) for problem in problems]
    return ImportedSet(
        domain=domain,
        method_id=f"best_of_n-n{max(counts)}",
        n=max(counts),
        budgets=powers_of_two(min(counts)),
        independent=True,
        is_scored=False,
        problems=problems,
        **further,
    )


def steps_in(text: str) -> tuple[ImportedStep, ...]:
    """The steps of a text that has no scores: its parts between blank lines."""
    return tuple(ImportedStep(piece.strip()) for piece in text.split(STEP_DELIMITER) if piece.strip())


def with_tokens(problem: ImportedProblem, field: str) -> ImportedProblem:
    """The reported tokens of independent rollouts: nothing was pruned, so a problem's cost is their sum."""
    tokens = [rollout.completion_tokens for rollout in problem.rollouts]
    known = [count for count in tokens if count is not None]
    total = sum(known) if len(known) == len(tokens) else None
    return replace(problem, reported=(*problem.reported, Reported(field, "policy_tokens", value=total)))


def powers_of_two(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … below `largest`, and `largest`."""
    return (*(2**power for power in range(largest.bit_length()) if 2**power < largest), largest)
