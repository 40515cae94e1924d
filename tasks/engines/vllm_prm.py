"""A PRM that vLLM serves natively: the pooling runner returns a row [P(0), P(1)] for each token, read at step marks.

vLLM's own STEP pooling picks the marks itself but cannot use the prefix cache (docs/decisions.md); picking them here
can, so that a search which asks about one new step pays for little more than that step.
"""

from typing import Any

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import VllmPrmConfig
from tasks.engines.families import checked_family
from tasks.engines.models import ModelFiles, require
from tasks.engines.prm_prompts import Layout
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply
from tasks.records import Scores


class VllmPrm:
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, copies: VllmCopies, layout: Layout) -> None:
        self._copies = copies
        self._layout = layout
        self._parameters = require("vllm", INSTALL).PoolingParams

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        family = checked_family(config.family, model.config, model.name)
        layout = family.layout(load_tokenizer(model, config.trust_remote_code))
        pooler_config = require("vllm.config", INSTALL).PoolerConfig(pooling_type="ALL")
        return cls(await VllmCopies.start(config, model, {"runner": "pooling", "pooler_config": pooler_config}), layout)

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        (prompt,) = self._layout.write(question, steps, from_step)
        ids, marks = list(prompt.ids), prompt.places
        # What is read from the cache has no rows. The steps before `from_step` may well be there; all steps never are.
        rows = await self._rows(question, ids, use_cache=from_step > 0)
        if marks and marks[0] < len(ids) - len(rows):
            rows = await self._rows(question, ids, use_cache=False)
        cached = len(ids) - len(rows)
        return Scores(tuple(rows[mark - cached][1] for mark in marks), len(ids), cached)

    async def _rows(self, question: str, ids: list[int], use_cache: bool) -> list[list[float]]:
        """[P(0), P(1)] of each token that was computed: the last ones, where a prefix was in the cache."""
        parameters = self._parameters(task="token_classify", skip_reading_prefix_cache=not use_cache)
        try:
            output = await self._copies.submit(ids, parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {question[:80]!r}: {error}") from error
        rows: Any = output.outputs.data.float().tolist()
        return list(rows)

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
