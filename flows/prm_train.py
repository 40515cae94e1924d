"""The flow `prm-train`: roll out, grade, label every step by Monte Carlo, train a PRM; each stage resumable."""

import asyncio
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from overthink.flows.evaluate import Evaluation
from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key, labelled_key
from overthink.storage.manifest import Cover
from overthink.storage.opening import open_store
from overthink.storage.schemas import SCHEMA_VERSION
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse, Store
from overthink.tasks.datasets.sources import ProblemSet, load_problems
from overthink.tasks.domains.domain import Judge
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.plan.gpus import gpus_taken
from overthink.tasks.plan.identity import JsonObject, own_code, stage_identity
from overthink.tasks.plan.method_plan import MethodPlan
from overthink.tasks.plan.prompt_check import check_prompts
from overthink.tasks.plan.run_plan import Plan, make_plan
from overthink.tasks.recipes.recipe import PrmTrainRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.records import Sampling
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.label import LabelWork, label, labelled_rollouts
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import RunModels, StageJob, begin_run, concluded, in_flight_of
from overthink.tasks.stages.shards import ShardContext, ShardWork, shard_work
from overthink.tasks.training.examples import TrainingRollouts


@dataclass(frozen=True)
class PrmTrainPlan:
    """Everything a training needs to know before it starts; `rolling_out` is the plan of the rollouts it stands on."""

    recipe: PrmTrainRecipe
    rolling_out: Plan
    base: dict[str, str]

    @property
    def method(self) -> MethodPlan:
        """The one method of the rollouts."""
        return self.rolling_out.methods[0]

    @property
    def label(self) -> JsonObject:
        """What the labels depend on."""
        recipe = self.recipe
        return stage_identity(
            StageKind.LABEL,
            grades=self.method.grade_key,
            rollouts=recipe.rollouts,
            continuations=recipe.continuations,
            policy=self.rolling_out.policy.determinants | self.rolling_out.policy.further,
            sampling=recipe.sampling.model_dump(),
            extraction=recipe.grading.extraction,
            seed=recipe.seed,
            **own_code("labels"),
        )

    @property
    def label_key(self) -> str:
        """The address of the stage that holds the labels."""
        return labelled_key(StageKind.LABEL, self.label)

    @property
    def train(self) -> JsonObject:
        """What the trained weights depend on."""
        return {
            "schema_version": SCHEMA_VERSION,
            "stage": "train",  # none of the store: the run's id alone holds it
            "labels": self.label_key,
            "problems": list(self.rolling_out.units),
            "base": self.base,
            "training": self.recipe.training.model_dump(exclude={"base"}),
            "seed": self.recipe.seed,
        }

    @property
    def run_id(self) -> str:
        """The same for the same recipe on the same problems and models."""
        return f"{self.recipe.name}-{content_key(self.train)[:10]}"

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        method = self.method
        made = (StageUse(method.make["stage"], method.make_key), StageUse(StageKind.GRADE, method.grade_key))
        method_id, n = method.method.method_id, method.method.n
        return (
            StageUse(StageKind.PROBLEMS, self.rolling_out.problems_key),
            *(StageUse(use.kind, use.key, method_id, n) for use in made),
            StageUse(StageKind.LABEL, self.label_key, method_id, self.recipe.continuations),
        )


def make_prm_train_plan(recipe: PrmTrainRecipe, problem_set: ProblemSet) -> PrmTrainPlan:
    """Address every stage. Raises EngineUnavailable where policy or base cannot be found."""
    base = locate_model(ModelConfig(**recipe.training.base.model_dump()))
    return PrmTrainPlan(recipe, make_plan(recipe.rolling_out(), problem_set), base.fingerprint)


def is_trained(plan: PrmTrainPlan, store: Store) -> bool:
    """Whether the model and every part it stands on are there and whole."""
    return is_whole(store, plan.run_id, plan.uses())


@flow(name="prm-train", flow_run_name="prm-train {recipe.name}", persist_result=False)
async def prm_train(recipe: PrmTrainRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Train a PRM on what a policy's rollouts are worth; returns the run's id.

    Raises what `evaluate` raises, and like it goes on where it was stopped, in the middle of the training too.
    """
    plan = make_prm_train_plan(recipe, load_problems(recipe.problems, skip_bad_rows))
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(plan.run_id), progress.shown():
        await PrmTraining(plan, opened, progress).run()
    return plan.run_id


class PrmTraining:
    """One training under way."""

    def __init__(self, plan: PrmTrainPlan, store: Store, progress: RunProgress) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress
        self.rolling_out = Evaluation(plan.rolling_out, store, progress)

    async def run(self) -> None:
        """All stages in turn. The policy is gone before the training begins, which may want the whole device."""
        plan, rolling_out = self.plan, self.rolling_out
        problem_set = rolling_out.plan.problem_set.name
        uses = tuple(replace(use, gpus=gpus_taken(rolling_out.plan.recipe, use.kind)) for use in plan.uses())
        models = RunModels(policy=rolling_out.plan.policy)
        run = begin_run(self.store, plan.run_id, plan.recipe, problem_set, models, uses)
        with concluded(self.store, run):
            check_prompts(rolling_out.plan)
            rolling_out.write_problems()
            try:
                await rolling_out.make_rollouts(plan.method)
                await rolling_out.grade(plan.method)
                await self._label()
            finally:
                await rolling_out.policy.close()
            if not self.store.has_model(plan.run_id):
                await self._train(self.store.model_folder(plan.run_id))
            await asyncio.to_thread(self.store.keep_model, plan.run_id)

    async def _label(self) -> None:
        plan, recipe = self.plan, self.plan.recipe
        samples, grades = self.store.stage(plan.method.make_key), self.store.stage(plan.method.grade_key)
        settings = recipe.sampling
        sources = frozenset(samples.digests("rollouts")) | frozenset(grades.digests("grades"))
        stage = self.store.stage(plan.label_key)
        job = StageJob(stage, plan.label, f"label × {recipe.continuations}", 1, recipe.shard_size, sources)

        def work(judge: Judge, context: ShardContext, access: EngineAccess) -> ShardWork:
            shared = LabelWork(
                context,
                access,
                samples=samples,
                grades=grades,
                rollouts=recipe.rollouts,
                continuations=recipe.continuations,
                sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens),
                delimiter=settings.step_delimiter,
                grader=recipe.grader,
                judge=judge,
                seed=recipe.seed,
                model=plan.rolling_out.policy.name,
                policy=self.rolling_out.policy,
            )
            return shard_work(label, shared)

        with recipe.grader.judge() as judge:
            await self.rolling_out.stages.run_journaled(job, in_flight_of(recipe.policy), partial(work, judge))

    async def _train(self, folder: Path) -> None:
        """Train and write the model, on a thread that a cancelled flow stops. Torch is imported only here."""
        from overthink.tasks.training.train import train_prm

        plan, recipe = self.plan, self.plan.recipe
        rollouts = labelled_rollouts(
            self.store.stage(plan.method.make_key),
            self.store.stage(plan.label_key),
            plan.rolling_out.by_key,
            Cover(plan.rolling_out.units, 0, recipe.rollouts),
        )
        line = self.progress.stage("train", recipe.training.updates)
        provenance: dict[str, Any] = {
            "name": plan.run_id,
            "problems": f"{plan.rolling_out.problem_set.name}, {len(plan.rolling_out.units)} of them",
            "rollouts": f"{recipe.rollouts} a problem by {plan.rolling_out.policy.name}, stage {plan.method.make_key}",
            "grades": f"stage {plan.method.grade_key}",
            "labels": f"{recipe.continuations} continuations of each prefix, {recipe.training.labels}, "
            f"stage {plan.label_key}",
        }
        cancelled = threading.Event()

        def on_progress(updates: int) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            line.advance(updates)

        learned = TrainingRollouts(rollouts, recipe.sampling.step_delimiter)
        try:
            await asyncio.to_thread(train_prm, recipe.training, learned, recipe.seed, folder, provenance, on_progress)
        finally:
            cancelled.set()
