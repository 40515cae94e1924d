"""Which GPUs the engines of a stage take: checked before they are loaded, and written down for what they cost."""

from flows.plan import Plan
from flows.recipe import Recipe
from tasks.engines.config import ModelConfig, ServedModelConfig, VllmPolicyConfig
from tasks.engines.vllm_loop import gpu_is_there
from tasks.errors import EngineUnavailable


def gpus_taken(recipe: Recipe, stage: str) -> int | None:
    """How many GPUs the engines of a stage take; None for a stage without engines, or where a server has them."""
    policy, prm = recipe.policy, recipe.prm
    held = {"sample": (policy,), "label": (policy,), "score": (prm,), "search": (policy, prm)}
    if stage not in held:
        return None
    engines: tuple[object, ...] = held[stage]
    if any(isinstance(engine, ServedModelConfig) for engine in engines):
        return None
    models = [engine for engine in engines if isinstance(engine, ModelConfig)]
    if not models or not gpu_is_there():
        return 0
    return len({device for model in models for device in model.placement.devices})


def check_shared_gpus(plan: Plan) -> None:
    """Raise EngineUnavailable where a search would load two models into more memory than their GPU has."""
    policy, prm = plan.recipe.policy, plan.recipe.prm
    searches = [method.method.method_id for method in plan.methods if method.method.is_search]
    if not (searches and isinstance(policy, VllmPolicyConfig) and isinstance(prm, ModelConfig) and gpu_is_there()):
        return
    shared = set(policy.placement.devices) & set(prm.placement.devices)
    together = policy.placement.gpu_memory + prm.placement.gpu_memory
    if shared and together > 1:
        raise EngineUnavailable(
            f"{searches[0]} has policy and prm loaded at once, and together they ask for {together:g} of the memory of "
            f"GPU {min(shared)}: lower placement.gpu_memory, or give each placement.gpus of its own"
        )
