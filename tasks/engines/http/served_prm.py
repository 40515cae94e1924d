"""A PRM behind vLLM's pooling endpoint: token ids in, the head's numbers for each token out, as in `vllm_prm.py`.

With our middleware (`step_serving.py`) the server uses its prefix cache, and concurrent prompts go in one request.
Without it vLLM never uses the cache for outputs of single tokens: it computes every prompt whole.
"""

from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from overthink.tasks.engines.engine_config import ServedPrmConfig
from overthink.tasks.engines.http.endpoints import Endpoints
from overthink.tasks.engines.http.http_client import Count
from overthink.tasks.engines.http.served_steps import ServedSteps, WrittenLine
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.prm.families import VLLM_HEADS, checked_family, layout_of
from overthink.tasks.engines.prm.family_data import family_name
from overthink.tasks.engines.prm.layouts import Layout, PrmPrompt
from overthink.tasks.engines.prm.token_prm import ReadPrompt, TokenPrm
from overthink.tasks.engines.torch.torch_models import tensor_of
from overthink.tasks.errors import BadReply, EngineUnavailable

HOW_TO_SERVE = "serve it with the flags of its family (docs/servers.md)"
PROBE = ("1+1", ("2", "\\boxed{2}"), 0)


class ServedRows(BaseModel):
    """The numbers of one prompt: (tokens, 1 or 2)."""

    data: list[list[FiniteFloat]] = Field(min_length=1)


class Pooled(BaseModel):
    """The reply of the pooling endpoint."""

    data: list[ServedRows] = Field(min_length=1)


class ReadSteps(BaseModel):
    """The middleware's answer to one prompt: tokens from the cache, and the numbers at the places behind them."""

    cached: Count
    rows: list[list[FiniteFloat]]


class ServedPrm(TokenPrm):
    """Scores steps over HTTP."""

    def __init__(self, endpoints: Endpoints, model: str, layout: Layout, limit: int | None) -> None:
        super().__init__(layout, limit)
        self._endpoints = endpoints
        self._model = model
        self._steps = ServedSteps(endpoints, "/v1/steps/read", model, WrittenLine[ReadSteps], self._understand)

    @classmethod
    async def open(cls, config: ServedPrmConfig, tokenizer: ModelFiles) -> "ServedPrm":
        """Find out whether the endpoints answer with a row for each token. Raises EngineUnavailable with the remedy."""
        family = checked_family(config.family, tokenizer.config, tokenizer.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(
                f"vLLM cannot compute the head of PRM family {family_name(config.family)!r}: set engine: torch"
            )
        layout, _ = layout_of(family, tokenizer, config.trust_remote_code)
        roots = tuple(url.removesuffix("/v1") for url in config.endpoints)
        endpoints = Endpoints(config, roots, "/v1/models")
        try:
            cards = await endpoints.cards(must_list=True)
            limit = min((card.max_model_len for card in cards if card.max_model_len is not None), default=None)
            prm = cls(endpoints, config.model, layout, limit)
            await prm.score(*PROBE)
        except BadReply as error:
            await endpoints.close()
            raise EngineUnavailable(f"{error}: {HOW_TO_SERVE}") from error
        except BaseException:
            await endpoints.close()
            raise
        return prm

    async def close(self) -> None:
        """Close the connections."""
        self._steps.close()
        await self._endpoints.close()

    async def _read(self, prompt: PrmPrompt, question: str, use_cache: bool) -> ReadPrompt:  # noqa: ARG002
        read = await self._steps.ask(prompt) if use_cache else None
        return await self._read_whole(prompt) if read is None else read

    async def _read_whole(self, prompt: PrmPrompt) -> ReadPrompt:
        body = {
            "model": self._model,
            "input": list(prompt.ids),
            "task": "token_classify",
            "use_activation": False,
        }
        url, reply = await self._endpoints.post("/pooling", body, Pooled)
        rows = reply.data[0].data
        if len(rows) != len(prompt.ids):
            raise BadReply(f"{url} gave {len(rows)} rows for {len(prompt.ids)} tokens")
        return ReadPrompt(self._tensor(url, rows)[list(prompt.places)], 0)

    def _understand(self, url: str, prompt: PrmPrompt, shown: ReadSteps) -> ReadPrompt:
        behind = sum(place >= shown.cached for place in prompt.places)
        if shown.cached >= len(prompt.ids) or len(shown.rows) != behind:
            raise BadReply(f"{url} gave {len(shown.rows)} rows for {behind} places, {shown.cached} tokens being cached")
        return ReadPrompt(self._tensor(url, shown.rows), shown.cached)

    def _tensor(self, url: str, rows: list[list[float]]) -> Any:
        """(rows, 1 or 2). Raises BadReply for other shapes."""
        if {len(row) for row in rows} not in (set(), {1}, {2}):
            raise BadReply(f"{url} gave rows that are not of 1 or 2 numbers")
        return tensor_of(rows)
