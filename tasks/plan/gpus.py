"""Which GPUs the engines of a stage use: checked before loading, and recorded for the run's cost."""

from collections.abc import Sequence

from overthink.storage.stage_kinds import Role
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig, VllmPolicyConfig
from overthink.tasks.engines.vllm.settings import gpu_is_there
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe


def gpus_taken(recipe: AnyRecipe, roles: Sequence[Role]) -> int | None:
    """The number of GPUs of the engines that a stage asks; None where it asks none, or where a server runs them."""
    if not roles:
        return None
    engines = tuple(getattr(recipe, role) for role in roles)
    if any(isinstance(engine, ServedModelConfig) for engine in engines):
        return None
    count = _count(engines)
    return count if count and gpu_is_there() else 0


def gpus_named(recipe: Recipe) -> int:
    """The number of GPUs that the recipe's policy and PRM use in total, on a machine with GPUs."""
    return _count((recipe.policy, recipe.prm))


def _count(engines: tuple[object, ...]) -> int:
    models = [engine for engine in engines if isinstance(engine, ModelConfig)]
    return len({device for model in models for device in model.placement.devices})


def check_shared_gpus(policy: object, prm: object, method_id: str) -> None:
    """Raise EngineUnavailable where a method loads two models at once into more memory than their GPU has."""
    overfull = overfull_gpu(policy, prm)
    if overfull is not None:
        gpu, together = overfull
        raise EngineUnavailable(
            f"{method_id} has policy and prm loaded at once, and together they ask for {together:g} of the memory of "
            f"GPU {gpu}: lower placement.gpu_memory, or give each its own placement.gpus"
        )


def overfull_gpu(policy: object, prm: object) -> tuple[int, float] | None:
    """A GPU whose memory policy and PRM together exceed, and the share they ask for; None where they fit."""
    if not (isinstance(policy, VllmPolicyConfig) and isinstance(prm, ModelConfig) and gpu_is_there()):
        return None
    shared = set(policy.placement.devices) & set(prm.placement.devices)
    together = policy.placement.gpu_memory + prm.placement.gpu_memory
    return (min(shared), together) if shared and together > 1 else None
