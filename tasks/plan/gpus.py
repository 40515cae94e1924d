"""Which GPUs the engines of a stage use: checked before loading, and recorded for the run's cost."""

from collections.abc import Sequence

from overthink.storage.stage_kinds import Role
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig, VllmPolicyConfig
from overthink.tasks.engines.prm_config import loaded_config
from overthink.tasks.engines.vllm.settings import gpu_count, gpu_is_there
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe


def gpus_taken(recipe: AnyRecipe, roles: Sequence[Role]) -> int | None:
    """The number of GPUs of the engines that a stage asks; None where it asks none, or where a server runs them."""
    engines = tuple(loaded_config(getattr(recipe, role)) for role in roles if role != "sandbox")
    if not engines:
        return None
    if any(isinstance(engine, ServedModelConfig) for engine in engines):
        return None
    count = _count(engines)
    return count if count and gpu_is_there() else 0


def gpus_named(recipe: Recipe) -> int:
    """The number of GPUs that the recipe's policy and PRM use in total, on a machine with GPUs."""
    return _count((recipe.policy, recipe.prm))


def _count(engines: tuple[object, ...]) -> int:
    models = [engine for engine in map(loaded_config, engines) if isinstance(engine, ModelConfig)]
    return len({device for model in models for device in model.placement.devices})


def check_named_gpus(config: object, role: str) -> None:
    """Raise EngineUnavailable where a recipe names GPUs that this machine does not have, or asks for more than it has.

    Without GPUs an engine runs on the CPU, but not one that was told where to run.
    """
    config = loaded_config(config)
    if not isinstance(config, ModelConfig):
        return
    placement, count = config.placement, gpu_count()
    lacking = [device for device in placement.devices if device >= count]
    if placement.gpus and not count:
        raise EngineUnavailable(
            f"{role}.placement.gpus names GPU {lacking[0]}, and this machine has none that torch can use (`overthink "
            f"doctor`): leave gpus out to run {config.model} on the CPU"
        )
    if lacking and count:
        named = "gpus" if placement.gpus else "tensor_parallel × data_parallel"
        raise EngineUnavailable(
            f"{role}.placement: {named} takes GPU {lacking[0]}, and this machine has {count}, from 0 to {count - 1}: "
            "name others, or fewer"
        )


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
    prm = loaded_config(prm)
    if not (isinstance(policy, VllmPolicyConfig) and isinstance(prm, ModelConfig) and gpu_is_there()):
        return None
    shared = set(policy.placement.devices) & set(prm.placement.devices)
    together = policy.placement.gpu_memory + prm.placement.gpu_memory
    return (min(shared), together) if shared and together > 1 else None
