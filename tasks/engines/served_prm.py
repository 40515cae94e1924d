"""A PRM behind vLLM's pooling endpoint: token ids in, the head's numbers for each token out, as in `vllm_prm.py`.

vLLM's server never reads its prefix cache for numbers of single tokens, so every prompt is computed whole.
"""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import ServedPrmConfig
from tasks.engines.endpoints import Endpoints
from tasks.engines.families import VLLM_HEADS, checked_family
from tasks.engines.models import ModelFiles, require
from tasks.engines.prm_prompts import Layout, PrmPrompt
from tasks.engines.torch_models import INSTALL, scores_of
from tasks.errors import BadReply, EngineUnavailable
from tasks.records import Scores

HOW_TO_SERVE = "serve it with the flags of its family (docs/servers.md)"


class Rows(BaseModel):
    """The numbers of one prompt: (tokens, 1 or 2)."""

    data: list[list[float]] = Field(min_length=1)


class Pooled(BaseModel):
    """The reply of the pooling endpoint."""

    data: list[Rows] = Field(min_length=1)


class ServedPrm:
    """Scores steps over HTTP."""

    def __init__(self, endpoints: Endpoints, model: str, layout: Layout) -> None:
        self._endpoints = endpoints
        self._model = model
        self._layout = layout
        self._torch = require("torch", INSTALL)

    @classmethod
    async def open(cls, config: ServedPrmConfig, tokenizer: ModelFiles) -> "ServedPrm":
        """Find out who answers, and whether with a row for each token. Raises EngineUnavailable, with the remedy."""
        family = checked_family(config.family, tokenizer.config, tokenizer.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(f"vLLM cannot compute the head of PRM family {config.family!r}: set engine: torch")
        layout = family.layout(load_tokenizer(tokenizer, config.trust_remote_code))
        roots = tuple(url.removesuffix("/v1") for url in config.endpoints)
        endpoints = Endpoints(config, roots, "/v1/models")
        try:
            await endpoints.cards(must_list=True)
            prm = cls(endpoints, config.model, layout)
            await prm.score("1+1", ("2", "\\boxed{2}"), 0)
        except BadReply as error:
            await endpoints.close()
            raise EngineUnavailable(f"{error}: {HOW_TO_SERVE}") from error
        except BaseException:
            await endpoints.close()
            raise
        return prm

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        prompts = self._layout.write(question, steps, from_step)
        parts = await asyncio.gather(*map(self._score, prompts))
        return Scores(tuple(value for part in parts for value in part), sum(len(one.ids) for one in prompts), 0)

    async def _score(self, prompt: PrmPrompt) -> list[float]:
        body = {
            "model": self._model,
            "input": list(prompt.ids),
            "task": "token_classify",
            "use_activation": False,
        }
        url, reply = await self._endpoints.post("/pooling", body, Pooled)
        rows: Any = reply.data[0].data
        if len(rows) != len(prompt.ids):
            raise BadReply(f"{url} gave {len(rows)} rows for {len(prompt.ids)} tokens")
        if {len(row) for row in rows} not in ({1}, {2}):
            raise BadReply(f"{url} gave rows that are not of 1 or 2 numbers")
        return scores_of(self._torch.tensor(rows)[list(prompt.places)])

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoints.close()
