"""The key of a served model: from the environment, or from the flow, which read it from a Prefect block.

Keys are held only here and in the sessions' headers.
"""

import os

from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.errors import EngineUnavailable

_of_blocks: dict[str, str] = {}


def hand_over(block: str, key: str) -> None:
    """Keep the key of a block for the clients of its model in this process."""
    _of_blocks[block] = key.strip()


def key_of(config: ServedModelConfig) -> str | None:
    """A model's key, None where the recipe names none. Raises EngineUnavailable where the named place holds none."""
    if config.api_key_block is not None:
        key, place = _of_blocks.get(config.api_key_block, ""), f"the Secret block {config.api_key_block}"
    elif config.api_key_env is not None:
        key = os.environ.get(config.api_key_env, "").strip()
        place = f"the environment variable {config.api_key_env}"
    else:
        return None
    if not key:
        raise EngineUnavailable(f"{config.model}: {place} holds no key: set it")
    return key


def place_of_key(config: ServedModelConfig) -> str | None:
    """The place that a user checks when a key is refused."""
    if config.api_key_block is not None:
        return f"the Secret block {config.api_key_block}"
    return config.api_key_env
