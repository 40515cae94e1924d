"""A PRM in plain torch: the reference that the vLLM path is tested against, and the engine for machines without vLLM.

Requests that arrive while a batch is computed make up the next batches, which are filled by tokens. A search asks about
one new step at a time; the keys and values of what it has read are kept, so only the new step is computed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from overthink.tasks.engines.engine_config import TorchPrmConfig
from overthink.tasks.engines.models import ModelFiles, context_length, require
from overthink.tasks.engines.prm.families import checked_family, layout_of
from overthink.tasks.engines.prm.layouts import PrmPrompt, check_fit
from overthink.tasks.engines.torch.prefix_cache import PrefixStore, Segment
from overthink.tasks.engines.torch.torch_models import INSTALL, device_of, load_body, load_head, scores_of
from overthink.tasks.engines.weights import check_weights
from overthink.tasks.errors import EngineDied
from overthink.tasks.records import Scores


@dataclass(frozen=True, eq=False)
class Reading:
    """One prompt to read, after a prefix that was read before; `keep` is the key under which to store it.

    Of that prefix, `paid` tokens were read for this prompt's sake. `done` brings the scores and the tokens saved.
    """

    prompt: PrmPrompt
    known: Segment | None
    keep: tuple[str, tuple[str, ...]] | None
    done: "asyncio.Future[tuple[list[float], int]]"
    paid: int = 0

    @property
    def cached(self) -> int:
        """Tokens that need not be computed."""
        return 0 if self.known is None else self.known.tokens

    @property
    def new(self) -> int:
        """Tokens to compute."""
        return len(self.prompt.ids) - self.cached


class TorchPrm:
    """Scores steps with a model in torch, in batches."""

    def __init__(self, config: TorchPrmConfig, model: ModelFiles) -> None:
        self._torch = require("torch", INSTALL)
        self._limit = context_length(config.max_model_len, model)
        self._batch_tokens = config.placement.batch_tokens
        family = checked_family(config.family, model.config, model.name)
        check_weights(model, family.head.weights, unwraps=True, trust_remote_code=config.trust_remote_code)
        self._layout, tokenizer = layout_of(family, model, config.trust_remote_code)
        self._device = device_of(self._torch, config)
        self._body = load_body(self._torch, config, model, self._device)
        self._head = load_head(self._torch, family.head, model, tokenizer, self._device)
        self._store = PrefixStore(config.placement.cpu_cache_gib * 2**30)
        self._waiting: list[Reading] = []
        self._worker: asyncio.Task[None] | None = None

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        prompts = self._layout.write(question, steps, from_step)
        check_fit(prompts, question, self._limit)
        one_new_step = from_step == len(steps) - 1  # as a search asks, which will go on from it
        keep = (question, steps) if one_new_step and self._layout.grows else None
        readings = [self._reading(prompt, keep) for prompt in prompts]
        self._waiting += readings
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        found = await asyncio.gather(*(reading.done for reading in readings))
        values = tuple(value for part, _ in found for value in part)
        return Scores(values, sum(len(p.ids) for p in prompts), sum(saved for _, saved in found))

    async def close(self) -> None:
        """Release the weights."""
        if self._worker is not None:
            await asyncio.gather(self._worker, return_exceptions=True)
        del self._body, self._head, self._store
        if self._device != "cpu":
            self._torch.cuda.empty_cache()

    def _reading(self, prompt: PrmPrompt, keep: tuple[str, tuple[str, ...]] | None) -> Reading:
        known = None if keep is None else self._store.longest(keep[0], keep[1][:-1], prompt.ids)
        return Reading(prompt, known, keep, asyncio.get_running_loop().create_future())

    async def _work(self) -> None:
        """Read all that waits, and what arrives meanwhile."""
        while self._waiting:
            arrived, self._waiting = self._waiting, []
            wanted = [reading for reading in arrived if not reading.done.done()]
            wanted = await self._read_questions(wanted)
            for batch in token_batches(wanted, self._batch_tokens):
                try:
                    values = await asyncio.to_thread(self._read, batch)
                except Exception as error:  # any error of torch is passed to the callers
                    _fail(batch, EngineDied(f"the PRM in torch stopped: {type(error).__name__}: {error}"))
                    continue
                for reading, scores in zip(batch, values, strict=True):
                    if not reading.done.done():
                        reading.done.set_result((scores, reading.cached - reading.paid))

    async def _read_questions(self, wanted: Sequence[Reading]) -> list[Reading]:
        """Read the common beginning of prompts about one question once, where none of them has a cached prefix."""
        fresh: dict[str, list[Reading]] = defaultdict(list)
        for reading in wanted:
            if reading.keep is not None and reading.known is None:
                fresh[reading.keep[0]].append(reading)
        shared: dict[int, Reading] = {}  # by the prompt that it is read for
        for question, readings in fresh.items():
            ids = common_beginning([reading.prompt.ids for reading in readings])
            if len(readings) > 1 and ids:
                done = asyncio.get_running_loop().create_future()
                shared[id(readings[0])] = Reading(PrmPrompt(ids, ()), None, (question, ()), done)
        for batch in token_batches(list(shared.values()), self._batch_tokens):
            with suppress(Exception):  # read as part of each prompt then, where it fails again and is told
                await asyncio.to_thread(self._read, batch)
        return [self._after_question(reading, shared.get(id(reading))) for reading in wanted]

    def _after_question(self, reading: Reading, shared: Reading | None) -> Reading:
        if reading.keep is None or reading.known is not None:
            return reading
        known = self._store.longest(reading.keep[0], (), reading.prompt.ids)
        paid = 0 if shared is None or known is None else shared.new
        return replace(reading, known=known, paid=paid)

    def _read(self, batch: Sequence[Reading]) -> list[list[float]]:
        """Scores of a batch; one that does not fit into memory is read in halves."""
        try:
            with self._torch.inference_mode():
                return self._forward(batch)
        except self._torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self._torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._read(batch[:half]) + self._read(batch[half:])

    def _forward(self, batch: Sequence[Reading]) -> list[list[float]]:
        torch = self._torch
        past, width = max(reading.cached for reading in batch), max(reading.new for reading in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        positions = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), past + width), dtype=torch.long)
        for row, reading in enumerate(batch):
            ids[row, : reading.new] = torch.tensor(reading.prompt.ids[reading.cached :])
            positions[row, : reading.new] = torch.arange(reading.cached, len(reading.prompt.ids))
            mask[row, past - reading.cached : past + reading.new] = 1
        cache = self._past(batch, past)
        hidden = self._body(
            input_ids=ids.to(self._device),
            position_ids=positions.to(self._device),
            attention_mask=mask.to(self._device),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        for row, reading in enumerate(batch):
            self._keep(reading, cache, row, past)
        return [
            scores_of(self._head(hidden[row, [place - reading.cached for place in reading.prompt.places]].float()))
            for row, reading in enumerate(batch)
        ]

    def _past(self, batch: Sequence[Reading], past: int) -> Any:
        """What was read before, padded on the left to `past` tokens."""
        torch = self._torch
        cache = require("transformers", INSTALL).DynamicCache()
        if not past:
            return cache
        paths = [[] if reading.known is None else reading.known.path for reading in batch]
        like = next(path for path in paths if path)[0].layers
        for layer, pair in enumerate(like):
            whole = [
                torch.zeros((len(batch), t.shape[0], past, t.shape[2]), dtype=t.dtype, device=t.device) for t in pair
            ]
            for row, path in enumerate(paths):
                begin = past - batch[row].cached
                for segment in path:
                    for side in (0, 1):
                        whole[side][row, :, begin : begin + len(segment.ids)] = segment.layers[layer][side]
                    begin += len(segment.ids)
            cache.update(whole[0], whole[1], layer)
        return cache

    def _keep(self, reading: Reading, cache: Any, row: int, past: int) -> None:
        if reading.keep is None:
            return
        layers = [
            (
                layer.keys[row, :, past : past + reading.new].clone(),
                layer.values[row, :, past : past + reading.new].clone(),
            )
            for layer in cache.layers
        ]
        self._store.put(*reading.keep, Segment(reading.prompt.ids[reading.cached :], layers, reading.known))


def common_beginning(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that all prompts begin with, short of the last of the shortest."""
    first, *others = prompts
    length = min(map(len, prompts)) - 1
    for other in others:
        length = next((place for place in range(length) if first[place] != other[place]), length)
    return first[: max(0, length)]


def token_batches(readings: Sequence[Reading], limit: int) -> list[list[Reading]]:
    """Batches of at most `limit` tokens, padding and cached ones included; a prompt over the limit has one of its own.

    Prompts with as many new tokens stand together, so that little is padding; the longest come first, so that memory
    that does not suffice is noticed at once.
    """
    batches: list[list[Reading]] = []
    width = past = 0
    for reading in sorted(readings, key=lambda reading: (reading.new, reading.cached), reverse=True):
        past = max(past, reading.cached)
        if batches and (width + past) * (len(batches[-1]) + 1) <= limit:
            batches[-1].append(reading)
        else:
            batches.append([reading])
            width, past = reading.new, reading.cached
    return batches


def _fail(batch: Sequence[Reading], error: EngineDied) -> None:
    for reading in batch:
        if not reading.done.done():
            reading.done.set_exception(error)
