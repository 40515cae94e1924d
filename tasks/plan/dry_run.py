"""What a run would do, checked as it would be at its start; nothing is loaded or written."""

from collections.abc import Iterator, Sequence

from overthink.storage.store import Store
from overthink.tasks.counted import counted
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig
from overthink.tasks.engines.prm_config import loaded_config
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.engines.vllm.settings import gpu_is_there
from overthink.tasks.plan.checks import check
from overthink.tasks.plan.gpus import gpus_named
from overthink.tasks.plan.prompt_check import longest_prompt
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.run_tests import RunTestsNode
from overthink.tasks.stages.schedule import address
from overthink.tasks.stages.stages_ahead import takes_time


async def dry_run(plan: Plan, recipe: Recipe, store: Store) -> list[str]:
    """What a run would do, in a few lines. Raises UserError for what would stop it for certain."""
    await check(plan)
    methods = ", ".join(plan.method_ids)
    lines = [f"run {plan.run_id}: {counted(len(plan.problems.all), 'problem')} ({plan.problems.name}), {methods}"]
    longest = longest_prompt(recipe.policy, plan.problems.all)
    if longest is not None:
        told = longest.room_for(recipe.sampling.max_tokens)
        lines.append(f"longest prompt: {longest.tokens} tokens (problem {longest.problem_id}); {told}")
    engines = ((name, one) for name, one in (("policy", plan.policy), ("PRM", plan.prm)) if one is not None)
    loaded = [_engine(name, one) for name, one in engines]
    return [*lines, *loaded, *_sandbox(plan), _gpus(recipe), *_stages(plan, store)]


def _engine(role: str, engine: EngineIdentity) -> str:
    size = "" if engine.parameters is None else f", {engine.parameters:,} parameters, its files whole"
    return f"{role}: {engine.address}{size}"


def _sandbox(plan: Plan) -> Iterator[str]:
    """What programs are run in, where answers are programs."""
    found = {tuple(node.sandbox.values()): None for node in plan.nodes if isinstance(node, RunTestsNode)}
    yield from (f"sandbox: {', '.join(words)}" for words in found)


def _gpus(recipe: Recipe) -> str:
    named = (recipe.policy, loaded_config(recipe.prm))
    engines = [engine for engine in named if isinstance(engine, ModelConfig | ServedModelConfig)]
    if not any(isinstance(engine, ModelConfig) for engine in engines):
        return "GPUs: none; the engines are servers or need no weights"
    if not gpu_is_there():
        return "GPUs: none is seen here, so the engines run on the CPU"
    return f"GPUs: {gpus_named(recipe)} of this machine"


def _stages(plan: Plan, store: Store) -> Iterator[str]:
    """How many stages there are already, and which are to be made, by the manifests alone."""
    nodes = {address(node): node for node in plan.nodes if takes_time(node)}.values()
    lacking = [node for node in nodes if _is_lacking(node, store)]
    yield f"stages: {len(nodes) - len(lacking)} of {len(nodes)} are in {store.address}"
    if lacking:
        yield f"to make: {_titles(lacking)}"


def _is_lacking(node: StageNode, store: Store) -> bool:
    units = node.problems.units
    return bool(store.stage(node.key).missing(units, node.n, len(units)))


def _titles(nodes: Sequence[StageNode]) -> str:
    return ", ".join(node.title if node.method_id else str(node.kind) for node in nodes)
