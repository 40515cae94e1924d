"""Checks, before any engine is loaded, for what would stop a run for certain later."""

import asyncio

from overthink.tasks.engines.registry import check_engine
from overthink.tasks.plan.gpus import check_named_gpus, check_shared_gpus
from overthink.tasks.plan.prompt_check import longest_prompt
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages.node import asks


async def check(plan: Plan) -> None:
    """Raise ProblemError for a prompt that is too long, and EngineUnavailable for a model that cannot be loaded."""
    policy, prm = plan.policy_config, plan.prm_config
    if policy is not None:
        longest_prompt(policy, plan.problems.all)
    for config in (policy, prm):
        if config is not None:
            await asyncio.to_thread(check_engine, config)
    check_devices(plan)


def check_devices(plan: Plan) -> None:
    """Raise EngineUnavailable for GPUs that are not there, or that two models of a stage would overfill together."""
    check_named_gpus(plan.policy_config, "policy")
    check_named_gpus(plan.prm_config, "prm")
    for node in plan.nodes:
        if asks(node, "policy") and asks(node, "prm"):
            check_shared_gpus(plan.policy_config, plan.prm_config, str(node.method_id))
