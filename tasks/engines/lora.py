"""A LoRA adapter beside a policy's weights: where it is, what identifies it, and the room that it needs."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from overthink.tasks.engines.models import digest_of, weights_in
from overthink.tasks.errors import EngineUnavailable

CONFIG = "adapter_config.json"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM makes room for


@dataclass(frozen=True)
class Adapter:
    """A folder with an adapter in peft's layout."""

    folder: Path

    @classmethod
    def at(cls, folder: str) -> "Adapter":
        """The adapter in a folder. Raises EngineUnavailable where there is none that vLLM can serve."""
        adapter = cls(Path(folder).expanduser().resolve())
        adapter.room()
        return adapter

    def room(self) -> int:
        """The least of vLLM's ranks that holds its own. Raises EngineUnavailable."""
        path = self.folder / CONFIG
        try:
            rank = int(json.loads(path.read_text(encoding="utf-8"))["r"])
            return next(room for room in RANKS if room >= rank)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise EngineUnavailable(
                f"{path} is no adapter's configuration with a rank ({error}): point `lora` to a folder as peft saves it"
            ) from error
        except StopIteration:
            raise EngineUnavailable(f"{path} has rank {rank}, more than the {RANKS[-1]} that vLLM serves") from None

    @cached_property
    def fingerprint(self) -> str:
        """A digest of its configuration and weights. Raises EngineUnavailable where there are no weights."""
        return digest_of([self.folder / CONFIG, *weights_in(self.folder)])
