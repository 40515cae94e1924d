"""Reasoning in what was imported: kept apart from the answers, which are what follows it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.import_words import ANY
from overthink.tasks.importers.imported import ImportedProblem, ImportedRollout, ImportedSet, ImportedStep
from overthink.tasks.reasoning_marks import FAMILIES, Divided, ReasoningMarks, divide, divide_by_any


def families_of(option: str) -> tuple[ReasoningMarks, ...]:
    """The marks that `--reasoning` names: `any` of the known ones, `none`, a family's, or those of "OPEN CLOSE".

    Raises ValueError for anything else.
    """
    if option in (ANY, "none"):
        return tuple(FAMILIES.values()) if option == ANY else ()
    if option in FAMILIES:
        return (FAMILIES[option],)
    match option.split():
        case [opening, closing] if opening != closing:
            return (ReasoningMarks(opening, closing),)
    names = ", ".join((ANY, "none", *FAMILIES))
    raise ValueError(f'name one of {names}, or the two marks that open and close it, as in "<thought> </thought>"')


def with_reasoning(imported: ImportedSet, families: Sequence[ReasoningMarks]) -> ImportedSet:
    """A set with its rollouts' reasoning kept apart. Where the prompt opened it, a text without marks never ended it.

    Raises ProblemError where steps cannot be told from reasoning.
    """
    opened = _opened_by_prompt(imported, families)

    def parted(where: str, rollout: ImportedRollout) -> ImportedRollout:
        if rollout.reasoning is not None or not rollout.text:
            return rollout
        begun = next((marks for marks in families if marks.open == rollout.opened), opened)
        found = divide_by_any(rollout.text, families) if begun is None else divide(rollout.text, begun, opened=True)
        return rollout if found.answer == rollout.text else _divided(where, rollout, found)

    def each(problem: ImportedProblem) -> ImportedProblem:
        names = (f"problem {problem.problem.problem_id}, rollout {index}" for index in range(len(problem.rollouts)))
        return replace(problem, rollouts=tuple(map(parted, names, problem.rollouts)))

    return replace(imported, problems=tuple(map(each, imported.problems)))


def _opened_by_prompt(imported: ImportedSet, families: Sequence[ReasoningMarks]) -> ReasoningMarks | None:
    """The marks that the prompt opened: on a line of its own a text closes what no text opens; None where none are."""
    texts = [rollout.text for problem in imported.problems for rollout in problem.rollouts]
    for marks in (each for each in families if not each.in_words):
        opens = any(text.lstrip().startswith(marks.open) for text in texts)
        if not opens and any(line.strip() == marks.close for line in _lines_with(marks.close, texts)):
            return marks
    return None


def _lines_with(mark: str, texts: Sequence[str]) -> Iterator[str]:
    return (line for text in texts if mark in text for line in text.splitlines())


def _divided(where: str, rollout: ImportedRollout, found: Divided) -> ImportedRollout:
    """A rollout whose steps are those of its answer: the step that the reasoning ends in keeps its score."""
    begin, at = len(rollout.text) - len(found.answer), 0
    steps: list[ImportedStep] = []
    for step in rollout.steps:
        first = rollout.text.find(step.text, at)
        if first < 0:
            raise ProblemError(
                f"{where}: its steps are not those of its text, so that its reasoning "
                "cannot be cut off them: import it with --reasoning none"
            )
        at = first + len(step.text)
        if first >= begin:
            steps.append(step)
        elif rest := rollout.text[begin:at].strip():
            steps.append(ImportedStep(rest, step.score))
    reason = "reasoning" if found.unfinished else rollout.stop_reason
    return replace(rollout, text=found.answer, steps=tuple(steps), reasoning=found.reasoning, stop_reason=reason)
