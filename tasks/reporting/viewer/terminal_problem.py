"""One problem and some of its rollouts, for a terminal of 80 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from overthink.tasks.reporting.viewer.choice_of_run import RunChoice
from overthink.tasks.reporting.viewer.open_readings import Row
from overthink.tasks.reporting.viewer.page_templates import MARKS, WORDS, brief, cut, number
from overthink.tasks.reporting.viewer.problem_facts import ProblemFacts, Vote
from overthink.tasks.terminal_text import printable

STYLES = {True: "green", False: "red", None: "dim"}
WIDEST_ANSWER = 40
MOST_VOTES = 10


def told_problem(facts: ProblemFacts, choice: RunChoice) -> RenderableType:
    """Question, reference, why, votes, and a line a rollout."""
    problem = facts.problem
    about = ", ".join(f"{name} {problem[name]}" for name in ("level", "subject", "domain") if problem[name])
    lines = [f"reference: {brief(problem['reference']) or '–'}" + (f"   ({about})" if about else ""), "", *facts.why]
    head = [_text(problem["question"]), Text(), *(_text(line) for line in lines)]
    return Group(*head, Text(), _votes(facts.votes), Text(), _lines(facts), _text(f"{facts.drawn} by {choice.method}"))


def told_rollout(row: Row, with_reasoning: bool) -> RenderableType:
    """A rollout's steps with their scores, its tests, answer, grade and signals."""
    return Group(*_rollout(row, with_reasoning))


def samples_to_show(facts: ProblemFacts, choice: RunChoice) -> list[int]:
    """Of the answer that was chosen and of the right one, the rollout with the highest last score."""
    chosen = [vote for vote in facts.votes if choice.selector in vote.selectors]
    right = [vote for vote in facts.votes if vote.correct]
    best = (
        max(vote.rollouts, key=lambda row: (row["last_score"] or 0, -row["sample_index"])) for vote in chosen + right
    )
    return sorted({int(row["sample_index"]) for row in best})


def _rollout(row: Row, with_reasoning: bool) -> Iterator[RenderableType]:
    title = f"rollout {row['sample_index']}: {WORDS[row['correct']]}, {row['completion_tokens'] or '–'} tokens"
    yield Rule(_text(f"{title}, {row['stop_reason']}", STYLES[row["correct"]]), align="left")
    if row["reasoning_text"] and with_reasoning:
        yield Padding(_text(cut(row["reasoning_text"]), "dim"), (0, 0, 1, 6))
    elif row["reasoning_text"]:
        yield _text(f"      {row['reasoning_tokens'] or 'some'} tokens of reasoning: --reasoning shows it", "dim")
    steps = Table.grid(padding=(0, 1))
    steps.add_column(width=5, justify="right", style="bold")
    steps.add_column(overflow="fold")
    for step in row["steps"] or [row | {"score": None}]:
        steps.add_row(_text(number(step["score"], 3) or ""), _text((cut(step["text"]) or "").strip("\n")))
    yield steps
    for test in row["tests"]:
        outcomes = " ".join(MARKS[passed] for passed in test["passed"] or ())
        yield _text(f"tests {test['suite']}: {outcomes} {test['ended']} {test['detail'] or ''}")
    yield _text(f"answer: {row['answer'] if row['answer'] is not None else 'none was found'}")
    yield _text(f"grade: {MARKS[row['correct']]} {row['grader'] or ''} {row['detail'] or ''}")


def _votes(votes: Sequence[Vote]) -> Table:
    table = _table("", "answer", "votes", "score", "chosen by")
    for vote in votes[:MOST_VOTES]:
        answer = _short(vote.answer) if vote.group is not None else "(no answer)"
        cells = (
            MARKS[vote.correct],
            answer,
            str(vote.count),
            number(vote.last_score, 3) or "–",
            ", ".join(vote.selectors),
        )
        table.add_row(*map(_text, cells), style=STYLES[vote.correct])
    return table


def _lines(facts: ProblemFacts) -> Table:
    table = _table("#", "", "answer", "last", "lowest", "tokens")
    rows = sorted((row for vote in facts.votes for row in vote.rollouts), key=lambda row: int(row["sample_index"]))
    for row in rows:
        scores = (number(row[name], 3) or "–" for name in ("last_score", "lowest_score"))
        cells = (str(row["sample_index"]), MARKS[row["correct"]], _short(row["answer"]), *scores)
        table.add_row(*map(_text, (*cells, str(row["completion_tokens"] or "–"))), style=STYLES[row["correct"]])
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        words = column in ("", "answer", "chosen by")
        table.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    return table


def _short(answer: str | None) -> str:
    line = brief(answer) or "–"
    return line if len(line) <= WIDEST_ANSWER else f"{line[: WIDEST_ANSWER - 1]}…"


def _text(text: str | None, style: str = "") -> Text:
    return Text(printable(text or ""), style=style, overflow="fold")
