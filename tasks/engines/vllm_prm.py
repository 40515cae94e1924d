"""A PRM that vLLM serves natively: the pooling runner returns one row [P(0), P(1)] for each step mark."""

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import VllmPrmConfig
from tasks.engines.families import PrmPrompts, checked_family
from tasks.engines.models import ModelFiles, require
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply
from tasks.records import Scores


class VllmPrm:
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, config: VllmPrmConfig, model: ModelFiles) -> None:
        family = checked_family(config.family, model.config, model.name)
        self._prompts = PrmPrompts(family, load_tokenizer(model, config.trust_remote_code))
        self._parameters = require("vllm", INSTALL).PoolingParams(task="token_classify")

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        prm = cls(config, model)
        pooler_config = require("vllm.config", INSTALL).PoolerConfig(pooling_type="STEP", step_tag_id=prm._prompts.mark)
        prm._copies = await VllmCopies.start(config, model, {"runner": "pooling", "pooler_config": pooler_config})
        return prm

    _copies: VllmCopies

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        ids = self._prompts.encode(question, steps)
        try:
            output = await self._copies.submit(ids, self._parameters.clone())
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {question[:80]!r}: {error}") from error
        rows = output.outputs.data.float().tolist()
        return Scores(tuple(row[1] for row in rows[from_step:]), len(ids), output.num_cached_tokens)

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
