"""The torch PRM under load: batches by tokens, too little memory, a model that fails, memory of what was read."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import build_prm

from overthink.tasks.engines.engine_config import Placement, TorchPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.layouts import PrmPrompt
from overthink.tasks.engines.torch.torch_prm import Reading, TorchPrm, common_beginning, token_batches
from overthink.tasks.errors import EngineDied, EngineUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "What is 12 + 30?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_prm("qwen", tmp_path_factory.mktemp("qwen"))


@pytest_asyncio.fixture(loop_scope="module")
async def prm(folder: Path) -> AsyncIterator[TorchPrm]:
    engine = opened(folder)
    yield engine
    await engine.close()


def opened(folder: Path, **placement: Any) -> TorchPrm:
    config = TorchPrmConfig(model=str(folder), placement=Placement(**placement))
    return TorchPrm(config, locate_model(config))


def steps_of(number: int) -> tuple[str, ...]:
    return tuple(f"Step {place}: {place} + {number}" for place in range(1 + number % 7))


def watch_batches(prm: TorchPrm, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts each forward pass reads."""
    sizes: list[int] = []
    forward = prm._forward

    def counted(batch: Any) -> Any:
        sizes.append(len(batch))
        return forward(batch)

    monkeypatch.setattr(prm, "_forward", counted)
    return sizes


async def test_what_arrives_together_is_read_together(prm: TorchPrm, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watch_batches(prm, monkeypatch)
    await asyncio.gather(*(prm.score(QUESTION, steps_of(number), 0) for number in range(30)))
    assert sum(sizes) == 31, "30, and the question that those of one step share"
    assert len(sizes) < 5


async def test_a_batch_that_does_not_fit_is_halved_and_goes_on(prm: TorchPrm, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [(await prm.score(QUESTION, steps_of(number), 0)).values for number in range(20)]
    forward = prm._forward

    def small(batch: Any) -> Any:
        if len(batch) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(batch)

    monkeypatch.setattr(prm, "_forward", small)
    found = await asyncio.gather(*(prm.score(QUESTION, steps_of(number), 0) for number in range(20)))
    for one, other in zip(expected, found, strict=True):
        assert other.values == pytest.approx(one, abs=1e-5)


async def test_one_prompt_that_does_not_fit_is_an_engine_that_died(
    prm: TorchPrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(batch: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate")

    monkeypatch.setattr(prm, "_forward", never)
    results = await asyncio.gather(
        *(prm.score(QUESTION, steps_of(number), 0) for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, EngineDied) and "tried to allocate" in str(result) for result in results)


async def test_a_cancelled_request_holds_nobody(prm: TorchPrm) -> None:
    lost = asyncio.create_task(prm.score(QUESTION, steps_of(3), 0))
    kept = asyncio.create_task(prm.score(QUESTION, steps_of(4), 0))
    await asyncio.sleep(0)
    lost.cancel()
    assert len((await kept).values) == 5


async def test_a_search_reads_each_step_once(prm: TorchPrm) -> None:
    steps = steps_of(6)
    read = 0
    for count in range(1, len(steps) + 1):
        scores = await prm.score(QUESTION, steps[:count], count - 1)
        assert scores.cached_tokens is not None
        read += scores.input_tokens - scores.cached_tokens
    whole = await prm.score(QUESTION, steps, 0)
    assert read == whole.input_tokens


async def test_first_steps_that_arrive_together_read_their_question_once(folder: Path) -> None:
    prm = opened(folder)
    steps = [(f"branch {number}",) for number in range(8)]
    found = await asyncio.gather(*(prm.score(QUESTION, one, 0) for one in steps))
    question = len(prm._layout.write(QUESTION, (), 0)[0].ids)
    computed = sum(scores.input_tokens - (scores.cached_tokens or 0) for scores in found)
    apart = sum(scores.input_tokens for scores in found)
    assert computed <= apart - 7 * question
    for one, scores in zip(steps, found, strict=True):
        alone = opened(folder)
        assert scores.values == pytest.approx((await alone.score(QUESTION, one, 0)).values, abs=1e-4)
        await alone.close()
    await prm.close()


@given(st.lists(st.lists(st.integers(0, 2), min_size=1).map(tuple), min_size=1))
async def test_what_prompts_begin_with(prompts: list[tuple[int, ...]]) -> None:
    found = common_beginning(prompts)
    assert all(prompt[: len(found)] == found and len(found) < len(prompt) for prompt in prompts)
    longer = min(map(len, prompts)) > len(found) + 1
    assert not longer or len({prompt[len(found)] for prompt in prompts}) > 1


async def test_without_memory_for_prefixes_scores_are_the_same(folder: Path, prm: TorchPrm) -> None:
    forgetful = opened(folder)
    forgetful._store._limit = 0
    steps = steps_of(6)
    for count in range(1, len(steps) + 1):
        ours = await prm.score(QUESTION, steps[:count], count - 1)
        theirs = await forgetful.score(QUESTION, steps[:count], count - 1)
        assert theirs.cached_tokens == 0
        assert ours.values == pytest.approx(theirs.values, abs=1e-4)
    await forgetful.close()


async def test_a_tree_of_siblings_of_many_lengths_at_once(prm: TorchPrm) -> None:
    """Rows of one batch with different pasts: padded on the left, and none sees another's."""
    trunk = steps_of(6)
    for count in range(1, len(trunk) + 1):
        await prm.score(QUESTION, trunk[:count], count - 1)
    asked = [((*trunk[:count], f"branch {count} {twin}"), count) for count in range(len(trunk)) for twin in range(3)]
    found = await asyncio.gather(*(prm.score(QUESTION, steps, count) for steps, count in asked))
    for (steps, _), scores in zip(asked, found, strict=True):
        whole = await prm.score(QUESTION, steps, 0)
        assert scores.values == pytest.approx(whole.values[-1:], abs=1e-4)


@pytest.mark.parametrize("family", ["verifier", "orm"])
async def test_what_no_longer_prompt_begins_with_is_not_kept(family: str, tmp_path: Path) -> None:
    config = TorchPrmConfig(model=str(build_prm(family, tmp_path)), family=family)
    prm = TorchPrm(config, locate_model(config))
    steps = steps_of(6)
    scores = await prm.score(QUESTION, steps, len(steps) - 1)
    assert (len(scores.values), scores.cached_tokens) == (1, 0)
    assert prm._store.bytes == 0
    await prm.close()


async def test_weights_in_torchs_own_files(folder: Path, prm: TorchPrm, tmp_path: Path) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    engine = opened(old)
    steps = steps_of(5)
    assert (await engine.score(QUESTION, steps, 0)).values == (await prm.score(QUESTION, steps, 0)).values
    await engine.close()


async def test_a_head_of_three_numbers_is_no_prm(tmp_path: Path) -> None:
    folder = build_prm("qwen", tmp_path / "three")
    weights = load_file(folder / "model.safetensors")
    weights |= {"score.2.weight": torch.zeros(3, 64), "score.2.bias": torch.zeros(3)}
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(EngineUnavailable, match="gives 3 numbers"):
        opened(folder)


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
async def test_batches_hold_every_prompt_once_within_the_limit(lengths: list[int], limit: int) -> None:
    loop = asyncio.get_running_loop()
    readings = [Reading(PrmPrompt(tuple(range(length)), ()), None, None, loop.create_future()) for length in lengths]
    batches = token_batches(readings, limit)
    assert sorted(id(reading) for batch in batches for reading in batch) == sorted(map(id, readings))
    for batch in batches:
        widest = max(len(reading.prompt.ids) for reading in batch)
        assert len(batch) == 1 or widest * len(batch) <= limit
