"""One logged sample of inspect_ai: the problem, the rollout and the scores in it."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.domain_fields import fields_in
from overthink.tasks.importers.fields import Record, Tokens
from overthink.tasks.importers.imported import ImportedRollout, Reported, steps_in
from overthink.tasks.records import Problem, StopReason

ATTACHMENT = "attachment://"
STOPS: Mapping[str | None, StopReason] = {"stop": "stop", "max_tokens": "length", "model_length": "length"}
VERDICTS = {"C": True, "I": False, "N": False}  # right, wrong, no answer; P is neither


class Content(Record):
    """A part of a message: of type `text` or `reasoning`, or one that is not read, such as an image."""

    type: str
    text: str | None = None
    reasoning: str | None = None
    summary: str | None = None
    redacted: bool = False


class LoggedMessage(Record):
    """A message; older logs hold its reasoning beside its content."""

    role: str = "assistant"
    content: str | list[Content]
    reasoning: str | None = None


class ModelChoice(Record):
    """One of the model's answers."""

    message: LoggedMessage
    stop_reason: str | None = None


class ModelUsage(Record):
    """Tokens; the reasoning's are among those of the output."""

    output_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


class ModelOutput(Record):
    """What the model answered last."""

    choices: list[ModelChoice] = Field(default_factory=list)
    usage: ModelUsage | None = None


class SampleScore(Record):
    """What a scorer said."""

    value: Any
    answer: str | None = None


class SampleError(Record):
    """Why a sample failed."""

    message: str


class LoggedSample(Record):
    """One sample in one epoch."""

    id: str | int
    epoch: Annotated[int, Field(ge=1)] = 1
    input: str | list[LoggedMessage]
    choices: list[str] | None = None
    target: str | list[str] = ""
    output: ModelOutput = Field(default_factory=ModelOutput)
    scores: dict[str, SampleScore] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    model_usage: dict[str, ModelUsage] = Field(default_factory=dict)
    attachments: dict[str, str] = Field(default_factory=dict)
    error: SampleError | None = None


def problem_of(where: str, sample: LoggedSample, domain: str, columns: Mapping[str, str]) -> Problem:
    """The problem; of several targets the first is the reference, none unknown.

    Its choices belong to the question, but where `columns` name options, which their domain puts there. The columns are
    `choices` and those of the metadata.
    """
    question = _question(where, sample, with_choices="options" not in columns)
    targets = given_in(sample)
    level, subject = (sample.metadata.get(name) for name in ("level", "subject"))
    return Problem(
        problem_key(str(sample.id), question),
        str(sample.id),
        question,
        targets[0] if targets else None,
        domain,
        level=str(level) if isinstance(level, (str, int)) else None,
        subject=str(subject) if isinstance(subject, (str, int)) else None,
        fields=fields_in(where, {"choices": sample.choices, **sample.metadata}, columns),
    )


def given_in(sample: LoggedSample) -> list[str] | None:
    """The targets of a sample, or None where the first is empty."""
    targets = [sample.target] if isinstance(sample.target, str) else sample.target
    texts = [_resolved(sample, text).strip() for text in targets]
    return texts if texts and texts[0] else None


def _question(where: str, sample: LoggedSample, with_choices: bool) -> str:
    asked = sample.input
    texts = [asked] if isinstance(asked, str) else [_text(each) for each in asked if each.role == "user"]
    options = [f"{chr(ord('A') + index)}) {choice}" for index, choice in enumerate(sample.choices or ())]
    shown = ["\n".join(options)] if options and with_choices else []
    question = "\n\n".join([*(_resolved(sample, text) for text in texts), *shown])
    if not question.strip():
        raise ProblemError(f"{where}: field 'input' holds no text of a user")
    return question


def rollout_of(sample: LoggedSample) -> ImportedRollout:
    """The first of the model's last answers; without any, the sample has no answer."""
    usage = sample.output.usage or _only(sample.model_usage.values()) or ModelUsage()
    if not sample.output.choices:
        return ImportedRollout("", (), usage.output_tokens, None, usage.reasoning_tokens)
    first = sample.output.choices[0]
    text = _resolved(sample, _text(first.message))
    return ImportedRollout(
        text,
        steps_in(text),
        usage.output_tokens,
        _resolved(sample, _reasoning(first.message)) or None,
        usage.reasoning_tokens,
        STOPS.get(first.stop_reason),
    )


def reports_of(sample: LoggedSample, sample_index: int) -> list[Reported]:
    """What each scorer said of a sample's rollout; the first one's verdict is its label."""
    said = []
    for number, (scorer, score) in enumerate((sample.scores or {}).items()):
        known = score.value if isinstance(score.value, (int, float)) and score.value == score.value else None
        verdict = VERDICTS.get(score.value) if isinstance(score.value, str) else None
        said.append(
            Reported(
                f"scores.{scorer}",
                None if number else "answer",
                sample_index,
                answer=score.answer,
                correct=bool(known) if known in (0, 1) else verdict,
                value=None if known is None else float(known),
            )
        )
    return said


def _text(message: LoggedMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if part.type == "text" and part.text)


def _reasoning(message: LoggedMessage) -> str:
    """The reasoning that the provider kept apart: of what it redacted, the summary."""
    parts = [] if isinstance(message.content, str) else message.content
    thoughts = (part.summary if part.redacted else part.reasoning for part in parts if part.type == "reasoning")
    return "\n".join(filter(None, (message.reasoning, *thoughts)))


def _resolved(sample: LoggedSample, text: str) -> str:
    """A text that a log may hold apart, among its attachments."""
    return sample.attachments.get(text.removeprefix(ATTACHMENT), text) if text.startswith(ATTACHMENT) else text


def _only(usages: Iterable[ModelUsage]) -> ModelUsage | None:
    found = list(usages)
    return found[0] if len(found) == 1 else None
