"""What a run of any kind is: the graph of its stages, before any engine is loaded, and whether it is whole."""

from dataclasses import dataclass, replace
from typing import Any

from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.engines.engine_config import PolicyConfig, PrmConfig
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.plan.gpus import gpus_taken
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.recipe import AnyRecipe
from overthink.tasks.stages.node import Problems, StageNode
from overthink.tasks.stages.run_manifest import RunModels, begin_run


@dataclass(frozen=True)
class Plan:
    """One run: its recipe, the nodes of its graph, inputs first, and who writes and scores, None where nobody does."""

    recipe: AnyRecipe
    run_id: str
    problems: Problems
    nodes: tuple[StageNode, ...]
    policy: EngineIdentity | None = None
    prm: EngineIdentity | None = None

    @property
    def policy_config(self) -> PolicyConfig | None:
        """The policy as the recipe names it, where the run asks one."""
        config: PolicyConfig | None = getattr(self.recipe, "policy", None)
        return config

    @property
    def prm_config(self) -> PrmConfig | None:
        """The PRM as the recipe names it, where the run asks one."""
        config: PrmConfig | None = getattr(self.recipe, "prm", None)
        return config

    @property
    def method_ids(self) -> tuple[str, ...]:
        """The methods, or what else the stages are about, each once."""
        return tuple(dict.fromkeys(node.method_id for node in self.nodes if node.method_id is not None))

    @property
    def grader(self) -> Grader:
        """Who reads and compares answers; mathematics where the recipe has no answers."""
        grader: Grader = getattr(self.recipe, "grader", Grader(MATH, GradingConfig()))
        return grader

    def uses(self) -> tuple[StageUse, ...]:
        """The graph as the run's manifest holds it."""
        return tuple(replace(node.use, gpus=gpus_taken(self.recipe, node.kind)) for node in self.nodes)

    def begin(self, store: Store) -> Run:
        """Write the run's manifest: it is running."""
        models = RunModels(self.policy, self.prm)
        return begin_run(store, self.run_id, self.recipe, self.problems.name, models, self.uses())


def is_finished(plan: Plan, store: Store) -> bool:
    """Whether every part of a run is there and whole, so that nothing need be loaded to report it."""
    return is_whole(store, plan.run_id, plan.uses())


def run_id(name: str, determinants: Any) -> str:
    """The same for the same recipe on the same problems and models, wherever and whenever it runs."""
    return f"{name}-{content_key(determinants)[:10]}"
