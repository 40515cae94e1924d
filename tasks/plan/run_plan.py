"""The plan of a run of any kind: the graph of its stages, before any engine is loaded, and whether it is complete."""

from dataclasses import dataclass, replace
from typing import Any

from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.plan.gpus import gpus_taken
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.recipe import AnyRecipe
from overthink.tasks.stages.node import Problems, StageNode, roles_of
from overthink.tasks.stages.run_manifest import RunModels, begin_run


@dataclass(frozen=True)
class Plan:
    """One run: its recipe, the nodes of its graph, inputs first, and its policy and PRM, None where it has none."""

    recipe: AnyRecipe
    run_id: str
    problems: Problems
    nodes: tuple[StageNode, ...]
    policy: EngineIdentity | None = None
    prm: EngineIdentity | None = None

    @property
    def policy_config(self) -> PolicyConfig | None:
        """The recipe's policy; None where the run uses none."""
        config: PolicyConfig | None = getattr(self.recipe, "policy", None)
        return config

    @property
    def prm_config(self) -> PrmConfig | None:
        """The recipe's PRM; None where the run uses none."""
        config: PrmConfig | None = getattr(self.recipe, "prm", None)
        return config

    @property
    def method_ids(self) -> tuple[str, ...]:
        """The distinct method ids of the stages, or the names they have in other kinds of runs."""
        return tuple(dict.fromkeys(node.method_id for node in self.nodes if node.method_id is not None))

    @property
    def grader(self) -> Grader:
        """The grader that reads and compares answers; that of mathematics where the recipe has no answers."""
        grader: Grader = getattr(self.recipe, "grader", Grader(MATH, GradingConfig()))
        return grader

    def uses(self) -> tuple[StageUse, ...]:
        """The graph in the form of the run's manifest."""
        gpus = self.gpus()
        return tuple(replace(node.use, gpus=gpus[node.key]) for node in self.nodes)

    def gpus(self) -> dict[str, int | None]:
        """The GPUs that each stage takes, by its key; None where unknown, and without engines."""
        return {node.key: gpus_taken(self.recipe, roles_of(node)) for node in self.nodes}

    def begin(self, store: Store) -> Run:
        """Write the run's manifest with status running."""
        models = RunModels(self.policy, self.prm)
        return begin_run(store, self.run_id, self.recipe, self.problems.name, models, self.uses())


def is_finished(plan: Plan, store: Store) -> bool:
    """Whether every part of a run exists and is whole, so that it can be reported without loading anything."""
    return is_whole(store, plan.run_id, plan.uses())


def run_id(name: str, determinants: Any) -> str:
    """The run's id: it depends only on the recipe, its problems and models, not on place or time."""
    return f"{name}-{content_key(determinants)[:10]}"
