"""A PRM in plain torch: the body from transformers, the head our own, so no remote code is ever run.

This is the reference that the vLLM path is tested against, and the engine for machines without vLLM.
"""

import asyncio
from typing import Any

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import TorchPrmConfig
from tasks.engines.families import PrmPrompts, checked_family
from tasks.engines.models import ModelFiles, require
from tasks.errors import BadReply, EngineUnavailable
from tasks.records import Scores

INSTALL = "pip install torch transformers"
HEAD = {"score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"}


class TorchPrm:
    """Scores one rollout at a time by a full forward pass."""

    def __init__(self, config: TorchPrmConfig, model: ModelFiles) -> None:
        self._torch = require("torch", INSTALL)
        self._limit = config.max_model_len
        family = checked_family(config.family, model.config, model.name)
        self._prompts = PrmPrompts(family, load_tokenizer(model, config.trust_remote_code))
        self._device = f"cuda:{next(iter(config.placement.gpus), 0)}" if self._torch.cuda.is_available() else "cpu"
        dtype = model.config.get("dtype", "float32") if config.dtype == "auto" else config.dtype
        self._body, self._head = _load(self._torch, model, getattr(self._torch, dtype), self._device)
        self._turn = asyncio.Lock()  # one forward pass at a time: torch uses all cores for each

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        ids = self._prompts.encode(question, steps)
        if self._limit is not None and len(ids) > self._limit:
            raise BadReply(f"the PRM's prompt for {question[:80]!r} has {len(ids)} tokens; its limit is {self._limit}")
        async with self._turn:
            values = await asyncio.to_thread(self._forward, ids)
        return Scores(tuple(values[from_step:]), len(ids))

    async def close(self) -> None:
        """Free the weights."""
        del self._body, self._head
        if self._device != "cpu":
            self._torch.cuda.empty_cache()

    def _forward(self, ids: list[int]) -> list[float]:
        torch = self._torch
        with torch.inference_mode():
            inputs = torch.tensor([ids], device=self._device)
            hidden = self._body(input_ids=inputs, use_cache=False).last_hidden_state[0]
            # The head runs in float32 whatever the body's dtype, as in vLLM.
            logits = self._head(hidden[inputs[0] == self._prompts.mark].float())
            return list(logits.softmax(-1)[:, 1].tolist())


def _load(torch: Any, model: ModelFiles, dtype: Any, device: str) -> tuple[Any, Any]:
    transformers = require("transformers", INSTALL)
    safetensors = require("safetensors.torch", "pip install safetensors")
    config = transformers.Qwen2Config.from_pretrained(str(model.folder))
    # Plain attention takes its softmax in float32, as vLLM does: the two agree closest so.
    body = transformers.Qwen2Model.from_pretrained(
        str(model.folder), config=config, dtype=dtype, attn_implementation="eager", key_mapping={r"^model\.": ""}
    )
    weights: dict[str, Any] = {}
    for path in sorted(model.folder.glob("*.safetensors")):
        with safetensors.safe_open(str(path), framework="pt") as shard:
            weights |= {name: shard.get_tensor(name) for name in shard.keys() if name in HEAD}  # noqa: SIM118
    if set(weights) != HEAD:
        raise EngineUnavailable(f"{model.folder} lacks the PRM head's weights {sorted(HEAD - set(weights))}")
    size = config.hidden_size
    head = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))
    head.load_state_dict({name.removeprefix("score."): tensor for name, tensor in weights.items()})
    return body.eval().to(device), head.to(device=device, dtype=torch.float32).eval()
