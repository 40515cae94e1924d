"""inspect_ai: logs of one task each, `.eval` archives or `.json` files; the epochs of a sample are its rollouts.

A sample that failed is a rollout that is missing, not a wrong one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from overthink.tasks.datasets.input_files import bounded_bytes, json_value
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.eval_archive import EvalArchive, opened_archive
from overthink.tasks.importers.fields import Filled, Number, Record, checked
from overthink.tasks.importers.imported import (
    ImportedProblem,
    ImportedSet,
    Measure,
    Reported,
    independent_set,
    with_tokens,
)
from overthink.tasks.importers.inspect_samples import LoggedSample, given_in, problem_of, reports_of, rollout_of

DOMAIN = "inspect"  # never the file's name: a path is part of no key
LOGS = ("*.eval", "*_*.json")  # in a folder
MOST_BYTES = 2**29  # of a .json log, which is read at once
Placed = tuple[str, LoggedSample]  # with its place


class EvalSpec(Record):
    """What was run."""

    task: Filled
    model: Filled


class ScorerMetric(Record):
    """One metric of a scorer."""

    value: Number


class ScorerMetrics(Record):
    """The metrics of one scorer, by name."""

    name: str
    metrics: dict[str, ScorerMetric]


class EvalResults(Record):
    """The metrics over all samples."""

    scores: list[ScorerMetrics] = Field(default_factory=list)


class LogHeader(Record):
    """A log without its samples; its results are there once it has ended."""

    eval: EvalSpec
    results: EvalResults | None = None


def read_inspect(path: Path, columns: Mapping[str, str]) -> list[ImportedSet]:
    """The set of each log in a folder, or of one log; `columns` name what a domain takes of a sample.

    Raises ProblemError naming file, sample and field.
    """
    files = sorted({file for name in LOGS for file in path.rglob(name)}) if path.is_dir() else [path]
    if not files:
        raise ProblemError(f"{path}: no log in it or below it, neither .eval nor .json")
    by_task: dict[str, tuple[Path, ImportedSet]] = {}
    for file in files:
        header, samples = _read(file)
        task = header.eval.task
        if task in by_task:
            raise ProblemError(f"{path}: task {task} has logs in {by_task[task][0]} and in {file}: name one of them")
        by_task[task] = file, _set(file, header, samples, columns)
    return [replace(found, label=task if len(files) > 1 else "") for task, (_, found) in sorted(by_task.items())]


def _read(path: Path) -> tuple[LogHeader, list[Placed]]:
    if path.suffix == ".eval":
        with opened_archive(path) as archive:
            return _header(archive, path), list(_archived(archive, path))
    try:
        log = json_value(bounded_bytes(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        raise ProblemError(
            f"{path}: cannot be read ({error}): name a .json or .eval log; `inspect log convert` makes "
            "an .eval of a .json"
        ) from error
    samples = log.pop("samples", None) if isinstance(log, dict) else None
    header = checked(LogHeader, log, str(path))
    if not isinstance(samples, list):
        raise ProblemError(f"{path}: field 'samples' is no list: the log was written with log_samples off")
    return header, [_sample(f"{path}, sample {number}", value) for number, value in enumerate(samples)]


def _header(archive: EvalArchive, path: Path) -> LogHeader:
    """The header, or, of a run that has not ended, what it began with."""
    for name in ("header.json", "_journal/start.json"):
        if name in archive.names:
            return checked(LogHeader, archive.document(name), f"{path}, {name}")
    raise ProblemError(f"{path}: it holds no header.json, so it is no log of inspect_ai")


def _archived(archive: EvalArchive, path: Path) -> Iterator[Placed]:
    for name in archive.names:
        if name.startswith("samples/") and name.endswith(".json"):
            yield _sample(f"{path}, {name}", archive.document(name))


def _sample(where: str, value: Any) -> Placed:
    return where, checked(LoggedSample, value, where)


def _set(path: Path, header: LogHeader, samples: Sequence[Placed], columns: Mapping[str, str]) -> ImportedSet:
    if not samples:
        raise ProblemError(f"{path}: no sample in it: it was written with log_samples off, or before the first ended")
    by_id: dict[tuple[bool, str | int], list[Placed]] = defaultdict(list)
    for where, sample in samples:
        by_id[isinstance(sample.id, str), sample.id].append((where, sample))
    answered = [_problem(by_id[key], columns) for key in sorted(by_id)]
    problems = tuple(problem for problem in answered if problem.rollouts)
    if not problems:
        raise ProblemError(f"{path}: every sample in it failed: {_first_line(samples[0][1])}")
    return independent_set(
        DOMAIN,
        problems,
        policy=header.eval.model,
        reported=(*_metrics(header), *_failures(by_id[key] for key in sorted(by_id))),
    )


def _problem(epochs: list[Placed], columns: Mapping[str, str]) -> ImportedProblem:
    epochs = sorted(epochs, key=lambda placed: placed[1].epoch)
    where, first = epochs[0]
    problem = problem_of(where, first, DOMAIN, columns)
    seen: set[int] = set()
    for place, sample in epochs:
        if sample.epoch in seen:
            raise ProblemError(f"{place}: sample {sample.id} is there twice in epoch {sample.epoch}")
        if problem_of(place, sample, DOMAIN, columns) != problem:
            raise ProblemError(f"{place}: sample {sample.id} has another input or target than in {where}")
        seen.add(sample.epoch)
    ended = [sample for _, sample in epochs if sample.error is None]
    said = tuple(one for index, sample in enumerate(ended) for one in reports_of(sample, index))
    read = ImportedProblem(problem, tuple(map(rollout_of, ended)), said, given_in(first), where)
    return with_tokens(read, "output.usage.output_tokens")


def _metrics(header: LogHeader) -> Iterator[Reported]:
    """The metrics of the log; the first scorer's first one is the accuracy by its labels."""
    scores = [] if header.results is None else header.results.scores
    for place, scorer in enumerate(scores):
        for number, (name, metric) in enumerate(scorer.metrics.items()):
            measure: Measure | None = None if place or number else "accuracy"
            yield Reported(f"results.{scorer.name}.{name}", measure, value=metric.value)


def _failures(samples: Iterable[list[Placed]]) -> Iterator[Reported]:
    for epochs in samples:
        for _, sample in sorted(epochs, key=lambda placed: placed[1].epoch):
            if sample.error is not None:
                yield Reported(
                    "samples.error", None, answer=f"{sample.id}, epoch {sample.epoch}: {_first_line(sample)}"
                )


def _first_line(sample: LoggedSample) -> str:
    return "" if sample.error is None else sample.error.message.partition("\n")[0]
