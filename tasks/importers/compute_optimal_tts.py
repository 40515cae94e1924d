"""RyanLiu112/compute-optimal-tts: a folder of `question_Q/record_R.jsonl`, with `config.json` and `avg_result.json`.

Several records of a question are repeats of its search, each a separate set; for best-of-N and DVTS each record holds
one of the answers that are voted over.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.fields import (
    Filled,
    Number,
    Record,
    Score,
    Tokens,
    checked,
    json_document,
    json_lines,
    same_length,
)
from overthink.tasks.importers.imported import (
    STEP_DELIMITER,
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    ImportedStep,
    Reported,
    powers_of_two,
)
from overthink.tasks.records import Problem

RECORDS_COUNT_TOGETHER = ("best_of_n", "dvts")
WRITTEN_AT_ONCE = ("best_of_n", "cot")  # methods that count the tokens of a solution, not of its steps
TOKENS = "total_completion_tokens"
SELECTORS: dict[str, SelectorName] = {
    "majority_vote": "majority",
    "prm_min_max": "prm_min_max",
    "prm_min_vote": "prm_min_vote",
    "prm_last_max": "prm_last_max",
    "prm_last_vote": "prm_last_vote",
    "prm_avg_max": "prm_mean_max",
    "prm_avg_vote": "prm_mean_vote",
}
_SIZES = re.compile(r"\d+_(\d{1,6})_(\d{1,3})")  # depth, width, answers


class Task(Record):
    """The description of the problems in `config.json`."""

    task_name: Filled


class Config(Record):
    """`config.json`. `prm_step_tag` ends each step of a record's text."""

    method: Filled
    method_config: Task
    LM: Annotated[list[Filled], Field(min_length=1)]
    RM: Filled
    prm_step_tag: Annotated[str, Field(min_length=1)]


class Output(Record):
    """One solution; `value` holds its step scores, `token_history` the tokens of its steps, or of all as one number."""

    text: str
    value: list[Score]
    extracted_answer: str | None = None
    token_history: list[Tokens] | None = None


class Answered(Record):
    """One line of a record: the result of one search for one question."""

    question: Filled
    groundtruth: Filled
    result: dict[str, Number]
    output: list[Output]


class Means(Record):
    """`avg_result.json`: the mean of each number of the first records."""

    means: dict[str, Number]


def read_compute_optimal_tts(path: Path) -> list[ImportedSet]:
    """The sets of a folder, the first records first. Raises ProblemError naming file, line and field."""
    folder = _result_folder(path)
    config = checked(Config, json_document(folder / "config.json"), str(folder / "config.json"))
    records = {question: _records(question) for question in _numbered(folder, "question_*")}
    if config.method in RECORDS_COUNT_TOGETHER:
        return [_set(folder, config, records, "")]
    repeats = max(map(len, records.values()))
    return [
        _set(
            folder,
            config,
            {question: found[index : index + 1] for question, found in records.items() if len(found) > index},
            f"record-{index}" if index else "",
        )
        for index in range(repeats)
    ]


def _result_folder(path: Path) -> Path:
    """The one folder at or below `path` that holds questions."""
    if not path.is_dir():
        raise ProblemError(f"{path} is not a folder: compute-optimal-tts writes one; name that")
    folders = sorted({question.parent for question in [*path.glob("question_*"), *path.rglob("question_*")]})
    if not folders:
        raise ProblemError(f"{path}: no folder question_0, question_1, … in it or below it")
    if len(folders) > 1:
        raise ProblemError(f"{path}: several results below it; name one of {', '.join(map(str, folders))}")
    return folders[0]


def _numbered(folder: Path, pattern: str) -> list[Path]:
    """The entries of a folder whose names end in a number, by that number."""
    found = {}
    for entry in folder.glob(pattern):
        number = entry.name.removesuffix(".jsonl").rpartition("_")[2]
        if not number.isdecimal():
            raise ProblemError(f"{entry}: its name does not end in a number")
        found[int(number)] = entry
    return [found[number] for number in sorted(found)]


def _records(question: Path) -> list[tuple[str, Answered]]:
    records = []
    for expected, path in enumerate(_numbered(question, "record_*.jsonl")):
        if path.name != f"record_{expected}.jsonl":
            raise ProblemError(f"{question}: record_{expected}.jsonl is missing, but {path.name} is there")
        lines = [(where, checked(Answered, value, where)) for where, value in json_lines(path)]
        if len(lines) != 1:
            raise ProblemError(f"{path}: {len(lines)} lines where there should be one record; was its search killed?")
        records += lines
    if not records:
        raise ProblemError(f"{question} holds no record_0.jsonl, so its search never ended: finish it, or delete it")
    return records


def _set(
    folder: Path, config: Config, records: Mapping[Path, Sequence[tuple[str, Answered]]], label: str
) -> ImportedSet:
    counts = [sum(len(record.output) for _, record in found) for found in records.values()]
    sizes = _SIZES.fullmatch(folder.name)
    n = max([*counts, int(sizes[1]) * int(sizes[2]) if sizes else 1])
    independent = config.method == "best_of_n" and min(counts) == n
    return ImportedSet(
        domain=config.method_config.task_name,
        method_id=f"{config.method}-n{n}",
        n=n,
        budgets=powers_of_two(n) if independent else (n,),
        independent=independent,
        is_scored=True,
        problems=tuple(_problem(question.name, found, config, n) for question, found in records.items()),
        policy=PurePosixPath(config.LM[0]).name,
        prm=PurePosixPath(config.RM).name,
        # The tool's own summary covers the first records.
        reported=() if label else _summary(folder / "avg_result.json"),
        label=label,
    )


def _problem(name: str, records: Sequence[tuple[str, Answered]], config: Config, n: int) -> ImportedProblem:
    first_place, first = records[0]
    for where, record in records:
        if record.question != first.question:
            raise ProblemError(f"{where}: another question than in {first_place}")
    problem = Problem(
        problem_key=problem_key(name, first.question),
        problem_id=name,
        question=first.question,
        reference=_reference(first.groundtruth),
        domain=config.method_config.task_name,
    )
    rollouts: list[ImportedRollout] = []
    reported: list[Reported] = []
    for where, record in records:
        reported += _said(record, len(rollouts), n if len(records) == 1 else None)
        rollouts += [
            _rollout(f"{where}, output {number}", output, config) for number, output in enumerate(record.output)
        ]
    return ImportedProblem(problem, tuple(rollouts), tuple(reported))


def _reference(ground_truth: str) -> str:
    """The last box of a whole solution, where the data set has one; other boxes are the same answer rewritten."""
    last = max(ground_truth.rfind("\\boxed"), ground_truth.rfind("\\fbox"), 0)
    return MATH.boxed(ground_truth[last:]) or MATH.boxed(ground_truth) or ground_truth


def _rollout(where: str, output: Output, config: Config) -> ImportedRollout:
    tag = config.prm_step_tag
    *texts, rest = output.text.split(tag)
    if rest.strip():
        raise ProblemError(f"{where}: field 'text' does not end with the step tag {tag!r} of config.json")
    texts = [text.strip() for text in texts]
    same_length(where, "value", len(output.value), len(texts), "steps")
    tokens: Sequence[int | None] = output.token_history or [None] * len(texts)
    if len(tokens) == 1 and config.method in WRITTEN_AT_ONCE:
        tokens = tokens if len(texts) == 1 else [None] * len(texts)
    same_length(where, "token_history", len(tokens), len(texts), "steps")
    steps = tuple(map(ImportedStep, texts, output.value, tokens))
    total = sum(output.token_history) if output.token_history else None
    return ImportedRollout(STEP_DELIMITER.join(texts), steps, total)


def _said(record: Answered, first_index: int, n: int | None) -> list[Reported]:
    """A record's reports on its outputs; the first output is the problem's rollout `first_index`.

    Its votes are choices among all `n`, or, where that is None, among some of the problem's rollouts only.
    """
    answers = [output.extracted_answer for output in record.output]
    # A label belongs to the answer that won the vote, which is known only where there is one answer.
    answer = answers[0] if len(set(answers)) == 1 else None
    label = None if answer is None else _verdict(record.result.get("majority_vote"))
    said = [
        Reported("output.extracted_answer", "answer", sample_index=first_index + index, answer=each, correct=label)
        for index, each in enumerate(answers)
    ]
    for field, value in record.result.items():
        if field in SELECTORS:
            said.append(
                Reported(
                    f"result.{field}",
                    None if n is None else "choice",
                    selector=SELECTORS[field],
                    n=n,
                    answer=answer,
                    correct=_verdict(value),
                )
            )
        else:
            said.append(Reported(f"result.{field}", "policy_tokens" if field == TOKENS else None, value=value))
    return said


def _verdict(value: float | None) -> bool | None:
    return None if value is None else bool(value)


def _summary(path: Path) -> tuple[Reported, ...]:
    """The tool's means over all questions; empty where it wrote none."""
    if not path.exists():
        return ()
    value = json_document(path)
    if not isinstance(value, list) or len(value) != 1:
        raise ProblemError(f"{path}: not a list of one summary")
    means = checked(Means, {"means": value[0]}, str(path)).means
    return tuple(
        Reported(
            f"avg_result.{field}",
            "accuracy" if field in SELECTORS else "policy_tokens" if field == TOKENS else None,
            selector=SELECTORS.get(field),
            value=mean,
        )
        for field, mean in means.items()
    )
