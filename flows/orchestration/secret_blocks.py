"""Served models with keys in Prefect's Secret blocks: a key is fetched when a model is opened, and never stored."""

from typing import Any

import httpx
from prefect.blocks.system import Secret

from overthink.flows.orchestration.server import server_address
from overthink.tasks.engines import registry as catalogue
from overthink.tasks.engines.engine_config import PolicyConfig, ServedModelConfig
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.http.api_keys import hand_over
from overthink.tasks.engines.prm_config import PrmConfig, loaded_config
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages.context import Engines


def engines_of(plan: Plan) -> Engines:
    """The slots of the engines that a run uses."""
    policy, prm = plan.policy_config, plan.prm_config
    return Engines(
        policy=None if policy is None else EngineSlot(policy, open_policy),
        prm=None if prm is None else EngineSlot(prm, open_prm),
    )


async def open_policy(config: PolicyConfig) -> Policy:
    """See `catalogue.open_policy`."""
    await fetch_key(config)
    return await catalogue.open_policy(config)


async def open_prm(config: PrmConfig) -> AnyPrm:
    """See `catalogue.open_prm`."""
    await fetch_key(config)
    return await catalogue.open_prm(config)


async def fetch_key(config: object) -> None:
    """Provide the key of a model whose recipe names a block. Raises EngineUnavailable where there is none."""
    config = loaded_config(config)
    if not isinstance(config, ServedModelConfig) or config.api_key_block is None:
        return
    block = config.api_key_block
    if server_address() is None:
        raise EngineUnavailable(
            f"{config.model}: its key is in the Secret block {block!r}, and PREFECT_API_URL names no Prefect server: "
            "set it, or name an environment variable, `api_key_env`"
        )
    try:
        secret: Any = await Secret.aload(block)
    except ValueError as error:  # Prefect raises it where there is no such block
        raise EngineUnavailable(
            f"{config.model}: the Prefect server has no Secret block {block!r}: create it on its page, under Blocks"
        ) from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise EngineUnavailable(
            f"{config.model}: its key is in the Secret block {block!r}, and the Prefect server does not answer "
            f"({type(error).__name__}): start it, or name an environment variable, `api_key_env`"
        ) from None
    hand_over(block, str(secret.get()))
