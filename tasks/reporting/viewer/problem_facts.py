"""One problem: its question, the votes of its rollouts, what each selector chose, and why that was right or wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from overthink.storage.store import Run
from overthink.tasks.closest import which_of_many
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.choice_of_run import BOUND, RunChoice
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Row
from overthink.tasks.reporting.viewer.page_templates import brief
from overthink.tasks.reporting.viewer.problem_list import OF_RUN
from overthink.tasks.reporting.viewer.problem_rollouts import summary_of

_PROBLEM = f"SELECT * FROM problems WHERE {OF_RUN} AND problem_id = $problem"
_KNOWN = f"SELECT problem_id FROM problems WHERE {OF_RUN} ORDER BY problem_id"
_CHOSEN = """SELECT selector, n, answer, correct, accuracy FROM selections
WHERE run_id = $run AND method_id = $method AND problem_id = $problem ORDER BY selector, n"""


@dataclass(frozen=True)
class Vote:
    """The rollouts with one answer; `correct` is None where that is unknown, `last_score` the best of theirs."""

    group: str | None
    answer: str | None
    correct: bool | None
    rollouts: Sequence[Row]
    last_score: float | None
    selectors: Sequence[str]  # that chose it

    @property
    def count(self) -> int:
        """How many rollouts have the answer."""
        return len(self.rollouts)


@dataclass(frozen=True)
class ProblemFacts:
    """`problem` is its row of `problems`, `drawn` the number of its rollouts, `chosen` its rows of `selections`."""

    problem: Row
    drawn: int
    votes: Sequence[Vote]
    chosen: Sequence[Row]
    why: Sequence[str]


def problem_facts(reading: OpenReading, run: Run, choice: RunChoice, problem_id: str) -> ProblemFacts:
    """All that is known of a problem but its rollouts' texts. Raises UserError where the run has no such problem."""
    found = reading.rows(_PROBLEM, run=run.run_id, problem=problem_id)
    if not found:
        known = [row["problem_id"] for row in reading.rows(_KNOWN, run=run.run_id)]
        raise UserError(f"run {run.run_id} has no problem {problem_id!r}: {which_of_many(problem_id, known)}")
    lines = summary_of(reading, run, choice, problem_id)
    chosen = reading.rows(_CHOSEN, run=run.run_id, method=choice.method, problem=problem_id)
    votes = votes_of(lines, [row for row in chosen if row["n"] == choice.n and row["selector"] != BOUND])
    drawn = lines[0]["drawn"] if lines else 0
    return ProblemFacts(found[0], drawn, votes, chosen, why(choice, votes, found[0]["reference"]))


def votes_of(lines: Sequence[Row], chosen: Sequence[Row]) -> list[Vote]:
    """The groups of equal answers, the largest first; rollouts without an answer last."""
    groups: dict[str | None, list[Row]] = {}
    for line in lines:
        groups.setdefault(line["answer_group"], []).append(line)
    votes = [_vote(group, rows, chosen) for group, rows in groups.items()]
    return sorted(votes, key=lambda vote: (vote.group is None, -vote.count, vote.group or ""))


def _vote(group: str | None, rows: Sequence[Row], chosen: Sequence[Row]) -> Vote:
    answers = Counter(row["answer"] for row in rows)
    verdicts = {row["correct"] for row in rows}
    scores = [row["last_score"] for row in rows if row["last_score"] is not None]
    return Vote(
        group=group,
        answer=answers.most_common(1)[0][0],
        correct=verdicts.pop() if len(verdicts) == 1 else None,
        rollouts=rows,
        last_score=max(scores, default=None),
        selectors=[row["selector"] for row in chosen if group is not None and row["answer"] in answers],
    )


def why(choice: RunChoice, votes: Sequence[Vote], reference: str | None) -> list[str]:
    """Sentences on what was chosen, and what stood against the right answer."""
    if choice.selector is None:
        return ["Nothing was chosen yet."]
    taken = next((vote for vote in votes if choice.selector in vote.selectors), None)
    if taken is None and choice.selector != BOUND:
        return [f"{choice.selector} chose no answer among the first {choice.n} rollouts."]
    right = [vote for vote in votes if vote.correct]
    told = _told_choice(choice, taken, reference)
    if not right:
        known = any(vote.correct is not None for vote in votes)
        return [*told, "No rollout is right." if known else "No verdict is known."]
    count, drawn = sum(vote.count for vote in right), sum(vote.count for vote in votes)
    told.append(f"{count} of {drawn} rollouts {'is' if count == 1 else 'are'} right.")
    return told if taken is None or taken.correct is not False else [*told, *_against(taken, right)]


def _told_choice(choice: RunChoice, taken: Vote | None, reference: str | None) -> list[str]:
    if taken is None:
        return []
    verdict = {
        True: "which is right",
        False: f"which is wrong: the reference is {brief(reference)}",
        None: "verdict unknown",
    }
    of = f"{choice.selector} chose {brief(taken.answer)} among the first {choice.n} rollouts"
    return [f"{of}, {verdict[taken.correct]}."]


def _against(taken: Vote, right: Sequence[Vote]) -> list[str]:
    """What spoke for a wrong choice, and not for the right answer: votes, scores."""
    best = max(right, key=lambda vote: vote.count)
    told = [f"It has {taken.count} {'vote' if taken.count == 1 else 'votes'}, the right answer {best.count}."]
    scores = [vote.last_score for vote in right if vote.last_score is not None]
    if taken.last_score is not None and scores:
        told.append(f"Its best last PRM score is {taken.last_score:.3f}, that of the right answer {max(scores):.3f}.")
    return told
