"""Stage label: how often the policy ends right when it goes on from each step of one shard's rollouts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect import task

from storage.stages import Cover, Entry, Stage
from tasks.drive import Called, Driver
from tasks.engines.catalogue import EngineSlot
from tasks.engines.protocol import Policy
from tasks.errors import EngineDied
from tasks.grading import grade_answer
from tasks.measuring import labels_by_rollout
from tasks.methods.continuations import Prefix, continue_prefixes, open_prefixes
from tasks.problems.answers import Extraction, extract_answer
from tasks.problems.equality import EqualityJudge
from tasks.recorder import Recorder
from tasks.records import Problem, Sample, Sampling
from tasks.scoring import Written, read_written
from tasks.selecting import column_by_rollout
from tasks.shards import ENGINE_TASK, calls_table, rows_table
from tasks.training.examples import LabelledRollout


class LabelWork:
    """Everything the shards of one label stage share. (Not a dataclass: Prefect would walk through its fields.)

    `rollouts` and `continuations` are counts: of each problem's rollouts, and of the draws from each of their prefixes.
    """

    def __init__(
        self,
        stage: Stage,
        samples: Stage,
        grades: Stage,
        problems: Mapping[str, Problem],
        rollouts: int,
        continuations: int,
        sampling: Sampling,
        delimiter: str,
        extraction: Extraction,
        time_limit: float,
        seed: int,
        model: str,
        policy: EngineSlot[Policy],
        recorder: Recorder,
        in_flight: asyncio.Semaphore,
        on_call: Callable[[Called], None],
        on_problem: Callable[[], None],
    ) -> None:
        self.stage = stage
        self.samples = samples
        self.grades = grades
        self.problems = problems
        self.rollouts = rollouts
        self.continuations = continuations
        self.sampling = sampling
        self.delimiter = delimiter
        self.extraction: Extraction = extraction
        self.time_limit = time_limit
        self.seed = seed
        self.model = model
        self.policy = policy
        self.recorder = recorder
        self.in_flight = in_flight
        self.on_call = on_call
        self.on_problem = on_problem

    @property
    def labeller(self) -> str:
        """Who says whether a step is right, in the table `step_labels`."""
        return f"{self.model} × {self.continuations}"


@task(name="label", task_run_name="label {cover.name}", **ENGINE_TASK)
async def label(work: LabelWork, cover: Cover) -> Entry:
    """Label every step of one shard's rollouts and write its part.

    A step's label is the share, in [0, 1], of continuations from it that end right; the last step's is the rollout's
    own grade. Raises EngineDied (worth a retry), BadReply or StorageError; journaled calls are safe in every case.
    """
    written = await asyncio.to_thread(read_written, work.samples, Cover(cover.units, 0, work.rollouts))
    ends = await draw_continuations(work, cover, written)
    rows = await asyncio.to_thread(label_rows, work, written, ends)
    calls = await work.recorder.take(cover.units, 0, work.continuations)
    tables = {"step_labels": rows_table("step_labels", rows), "calls": calls_table(calls)}
    sources = work.samples.digests("rollouts", cover.units) + work.grades.digests("grades", cover.units)
    entry = await asyncio.to_thread(work.stage.write_part, cover, tables, sources)
    await work.recorder.forget([call.call_key for call in calls])
    return entry


async def draw_continuations(
    work: LabelWork, cover: Cover, written: Mapping[str, Sequence[Written]]
) -> dict[str, dict[Prefix, list[Sample]]]:
    """The ends drawn after each open prefix, by problem key."""
    policy = await work.policy.get()
    driver = Driver(
        stage_key=work.stage.key,
        seed=work.seed,
        model=work.model,
        prm_id=None,
        policy=policy,
        prm=None,
        recorder=work.recorder,
        in_flight=work.in_flight,
        on_call=work.on_call,
    )

    def as_written(step: str) -> Sample:
        return Sample(step, policy.tokens(step + work.delimiter), (), (), "delimiter", 0)

    async def draw(unit: str) -> dict[Prefix, list[Sample]]:
        prefixes = open_prefixes([rollout.steps for rollout in written[unit]])
        paths = {prefix: tuple(map(as_written, prefix)) for prefix in prefixes}
        drawn = await driver.run(work.problems[unit], continue_prefixes(paths, work.continuations, work.sampling))
        work.on_problem()
        return drawn

    results = await asyncio.gather(*map(draw, cover.units), return_exceptions=True)
    ends: dict[str, dict[Prefix, list[Sample]]] = {}
    for unit, result in zip(cover.units, results, strict=True):
        if isinstance(result, EngineDied):
            await work.policy.discard(policy)
        if isinstance(result, BaseException):
            raise result
        ends[unit] = result
    return ends


def label_rows(
    work: LabelWork, written: Mapping[str, Sequence[Written]], ends: Mapping[str, Mapping[Prefix, Sequence[Sample]]]
) -> list[dict[str, Any]]:
    """The rows of `step_labels`; a step none of whose continuations could be graded has none."""
    correct = column_by_rollout(work.grades.table("grades"), "correct")
    rows: list[dict[str, Any]] = []
    with EqualityJudge(work.time_limit) as judge:
        for unit, rollouts in written.items():
            labels = {
                prefix: share_right(work, unit, [(*prefix, end.text) for end in drawn], judge)
                for prefix, drawn in ends[unit].items()
            }
            for rollout in rollouts:
                grade = correct[rollout.rollout_id]
                values = [labels[rollout.steps[:end]] for end in range(1, len(rollout.steps))]
                rows += [
                    {"rollout_id": rollout.rollout_id, "labeller": work.labeller, "step_index": index, "label": label}
                    for index, label in enumerate([*values, None if grade is None else float(grade)])
                    if label is not None and rollout.steps
                ]
    return rows


def share_right(work: LabelWork, unit: str, solutions: Sequence[Prefix], judge: EqualityJudge) -> float | None:
    """The share of right solutions of a problem among those that could be graded; None where none could."""
    answers = [extract_answer(work.delimiter.join(steps), work.extraction) for steps in solutions]
    verdicts = [grade_answer(work.problems[unit], answer, judge.compare)["correct"] for answer in answers]
    known = [verdict for verdict in verdicts if verdict is not None]
    return sum(known) / len(known) if known else None


def labelled_rollouts(
    samples: Stage, labels: Stage, problems: Mapping[str, Problem], cover: Cover
) -> list[LabelledRollout]:
    """The rollouts of some problems with the labels of their steps."""
    by_id = labels_by_rollout(labels.table("step_labels"))
    return [
        LabelledRollout(
            unit,
            problems[unit].question,
            rollout.steps,
            tuple(by_id.get(rollout.rollout_id, {}).get(index) for index in range(len(rollout.steps))),
        )
        for unit, rollouts in read_written(samples, cover).items()
        for rollout in rollouts
    ]
