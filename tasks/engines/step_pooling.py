"""A plugin for vLLM's server: PRM prompts in batches, read with the prefix cache, numbers of asked tokens out.

Without it the server's pooling endpoint reads every prompt whole and answers a row for each token. It is installed with
this package, beside the server's vLLM, and switched on by `--io-processor-plugin overthink-steps`.
"""

from collections.abc import Sequence
from typing import Any

from cachetools import LRUCache
from pydantic import BaseModel, Field, NonNegativeInt, model_validator

from tasks.engines.models import require
from tasks.engines.vllm_loop import INSTALL

PLUGIN = "overthink-steps"  # as pyproject.toml names the entry point
UNDER_WAY = 65_536  # requests whose places are kept; those that failed are never asked for


class StepPrompt(BaseModel):
    """Token ids, and the places whose numbers are wanted, in order."""

    ids: list[NonNegativeInt] = Field(min_length=1)
    places: list[NonNegativeInt]

    @model_validator(mode="after")
    def _places_are_there(self) -> "StepPrompt":
        if any(place >= len(self.ids) for place in self.places):
            raise ValueError(f"a place lies behind the {len(self.ids)} tokens")
        return self


class StepPrompts(BaseModel):
    """One request."""

    prompts: list[StepPrompt] = Field(min_length=1)


class StepPooling:
    """Answers each prompt with `cached`, tokens read from the cache, and `rows`, numbers at the places behind them.

    It has the shape of vLLM's IOProcessor.
    """

    def __init__(self, vllm_config: Any, renderer: Any) -> None:  # noqa: ARG002
        self._places: LRUCache[str | None, list[list[int]]] = LRUCache(UNDER_WAY)

    def parse_data(self, data: object) -> StepPrompts:
        """Raises ValueError, which the server answers with 400."""
        return StepPrompts.model_validate(data)

    def merge_pooling_params(self, params: Any = None) -> Any:  # noqa: ARG002
        """The head's bare numbers for each token that is not in the cache."""
        parameters = require("vllm", INSTALL).PoolingParams
        return parameters(task="token_classify", use_activation=False, skip_reading_prefix_cache=False)

    def pre_process(
        self,
        prompt: StepPrompts,
        request_id: str | None = None,
        **settings: Any,  # noqa: ARG002
    ) -> list[dict[str, list[int]]]:
        """The prompts as vLLM takes them; their places are kept until the numbers are there."""
        self._places[request_id] = [one.places for one in prompt.prompts]
        return [{"prompt_token_ids": one.ids} for one in prompt.prompts]

    def post_process(
        self,
        model_output: Sequence[Any],
        request_id: str | None = None,
        **settings: Any,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """Raises ValueError where vLLM answers other prompts than were asked."""
        found = []
        for places, output in zip(self._places.pop(request_id), model_output, strict=True):
            rows = output.outputs.data.float()
            cached = len(output.prompt_token_ids) - len(rows)
            found.append({"cached": cached, "rows": rows[[p - cached for p in places if p >= cached]].tolist()})
        return found


def plugin() -> str:
    """What the entry point gives to vLLM: where the class is."""
    return f"{__name__}.{StepPooling.__qualname__}"
