"""Checks of a policy on a card: where it runs, how it computes, and what its weights are."""

import os
import time

from benchmarks.gpu_setting import AWQ, POLICY, Setting, Skipped, questions, same, speed_of, used_gib, written
from overthink.tasks.engines.engine_config import Placement
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.errors import EngineUnavailable


async def device_ids(setting: Setting) -> str:
    """`placement.gpus` takes the card that it names and no other, and what is written does not depend on it."""
    setting.need()
    asked, found = questions(16), []
    for card in range(min(2, setting.cards)):
        before = [used_gib(each) for each in range(setting.cards)]
        policy = await open_policy(setting.config(POLICY, placement={"gpus": (card,), "gpu_memory": 0.3}))
        try:
            taken = [used_gib(each) - before[each] for each in range(setting.cards)]
            found.append([sample.text for sample in await written(policy, asked)])
        finally:
            await policy.close()
        assert taken[card] > 1, f"GPU {card} was named, and {taken[card]:.1f} GiB of it are taken"
        assert all(gib < 0.5 for each, gib in enumerate(taken) if each != card), f"GPU {card} was named: took {taken}"
    assert all(texts == found[0] for texts in found), "the cards write different texts"
    return f"{len(found)} of {setting.cards} cards tried one by one, {len(asked)} texts the same"


async def missing_card(setting: Setting) -> str:
    """A card that is not there is refused before anything is loaded."""
    from overthink.tasks.plan.gpus import check_named_gpus

    config = setting.config(POLICY, placement=Placement(gpus=(setting.cards,)).model_dump())
    begin = time.perf_counter()
    try:
        check_named_gpus(config, "policy")
    except EngineUnavailable as error:
        assert str(setting.cards) in str(error)
        return f"refused after {time.perf_counter() - begin:.2f} s"
    raise AssertionError(f"GPU {setting.cards} is not there, and was not refused")


async def batch_invariant(setting: Setting) -> str:
    """With VLLM_BATCH_INVARIANT=1 a request has the same tokens and log-probabilities alone and among others."""
    setting.need(capability=(8, 0))
    asked, found = questions(256), {}
    for mode in ("0", "1"):
        os.environ["VLLM_BATCH_INVARIANT"] = mode
        policy = await open_policy(setting.config())
        try:
            alone = [(await written(policy, [question]))[0] for question in asked[:16]]
            begin = time.perf_counter()
            together = await written(policy, asked)
            seconds = time.perf_counter() - begin
        finally:
            await policy.close()
        rate = sum(len(sample.tokens) for sample in together) / seconds
        found[mode] = (same(alone, together[:16]), rate)
    (plain, plain_rate), (equal, rate) = found["0"], found["1"]
    assert equal == 16, f"{equal} of 16 are the same alone and among 256"
    return f"16 of 16 the same, {rate:,.0f} tokens/s; without it {plain} of 16, {plain_rate:,.0f} tokens/s"


async def cuda_graphs(setting: Setting) -> str:
    """CUDA graphs, on by default, are no slower than `enforce_eager`."""
    setting.need()
    eager, _ = await speed_of(setting.config(engine_args={"enforce_eager": True}), setting.requests)
    graphs, _ = await speed_of(setting.config(), setting.requests)
    figure = f"{graphs:,.0f} tokens/s, eager {eager:,.0f} ({graphs / eager:.2f})"
    assert graphs >= eager, figure
    return figure


async def tensor_parallel(setting: Setting) -> str:
    """A model over two cards writes what it writes on one, but where rounding decides between two tokens."""
    setting.need(cards=2)
    asked = questions(64)
    texts = []
    for width in (1, 2):
        policy = await open_policy(setting.config(POLICY, placement={"tensor_parallel": width}))
        try:
            texts.append([sample.text for sample in await written(policy, asked)])
        finally:
            await policy.close()
    equal = sum(one == other for one, other in zip(*texts, strict=True))
    rate, _ = await speed_of(setting.config(placement={"tensor_parallel": 2}), setting.requests)
    assert equal >= 0.8 * len(asked), f"{equal} of {len(asked)} texts are the same"
    return f"{equal} of {len(asked)} texts the same, {rate:,.0f} tokens/s"


async def copies(setting: Setting) -> str:
    """Two copies on two cards write at least one and a half times as much as one."""
    setting.need(cards=2)
    one, _ = await speed_of(setting.config(), 2 * setting.requests)
    two, _ = await speed_of(setting.config(placement={"data_parallel": 2, "gpus": (0, 1)}), 2 * setting.requests)
    figure = f"{two:,.0f} tokens/s, one {one:,.0f} ({two / one:.2f})"
    assert two >= 1.5 * one, figure
    return figure


async def fp8(setting: Setting) -> str:
    """bfloat16 weights that vLLM brings to FP8 while it loads them, and a cache in FP8."""
    setting.need(capability=(8, 9))
    plain, _ = await speed_of(setting.config(), setting.requests)
    weights, _ = await speed_of(setting.config(engine_args={"quantization": "fp8"}), setting.requests)
    cache, _ = await speed_of(setting.config(engine_args={"kv_cache_dtype": "fp8"}), setting.requests)
    return f"tokens/s: bfloat16 {plain:,.0f}, weights in FP8 {weights:,.0f}, cache in FP8 {cache:,.0f}"


async def awq(setting: Setting) -> str:
    """A checkpoint in AWQ, which says so itself."""
    setting.need(capability=(7, 5))
    if AWQ is None:
        raise Skipped("needs a model: set OVERTHINK_GPU_AWQ, such as Qwen/Qwen2.5-1.5B-Instruct-AWQ")
    rate, _ = await speed_of(setting.config(AWQ, dtype="auto", max_model_len=2048), setting.requests)
    return f"{rate:,.0f} tokens/s"


async def sleep_mode(setting: Setting) -> str:
    """What vLLM's sleep mode would save between policy and PRM, in bare vLLM: no engine of a run sleeps yet."""
    setting.need()
    from benchmarks.bare import bare_llm

    begin = time.perf_counter()
    llm = bare_llm(setting.config(), {"enable_sleep_mode": True})
    loading = time.perf_counter() - begin
    before, awake = llm.generate("1+1="), used_gib(0)
    begin = time.perf_counter()
    llm.sleep(level=1)
    sleeping, freed = time.perf_counter() - begin, awake - used_gib(0)
    begin = time.perf_counter()
    llm.wake_up()
    waking = time.perf_counter() - begin
    after = llm.generate("1+1=")
    assert before[0].outputs[0].text == after[0].outputs[0].text, "it writes something else after it slept"
    assert freed > awake / 2, f"{freed:.1f} of {awake:.1f} GiB are free while it sleeps"
    return f"loads in {loading:.1f} s, sleeps in {sleeping:.1f} s ({freed:.1f} GiB free), wakes in {waking:.1f} s"
