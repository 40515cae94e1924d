"""The key of a served model: from the environment, or handed over by the flow, which took it from a Prefect block.

Keys are held here and in the sessions' headers, and nowhere else.
"""

import os

from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.errors import EngineUnavailable

_of_blocks: dict[str, str] = {}


def hand_over(block: str, key: str) -> None:
    """Keep the key of a block for those who ask its model in this process."""
    _of_blocks[block] = key.strip()


def key_of(config: ServedModelConfig) -> str | None:
    """None where the recipe names no key. Raises EngineUnavailable where what it names holds none."""
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
    """What a user looks at when a key is refused."""
    if config.api_key_block is not None:
        return f"the Secret block {config.api_key_block}"
    return config.api_key_env
