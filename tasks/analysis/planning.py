"""Estimates, before a run, its tokens, FLOPs and GPU hours from model sizes and stated assumptions.

It is rough. Every solution has the mean length; prefix caches are perfect, so each token is computed once; a search
that keeps its budget draws as many tokens as as many whole solutions, and less where paths end early or are dropped;
attention over long contexts and the loading of models are left out.
"""

from dataclasses import dataclass

from overthink.tasks.analysis.flops import inference_flops


@dataclass(frozen=True)
class Accelerator:
    """A card's peak in bfloat16 without sparsity, FLOP/s, and the source of the figure."""

    peak: float
    source: str


ACCELERATORS = {
    "a10": Accelerator(125e12, "data sheet of NVIDIA A10"),
    "a100": Accelerator(312e12, "data sheet of NVIDIA A100"),
    "b200": Accelerator(2250e12, "data sheet of NVIDIA DGX B200, an eighth of it, without sparsity"),
    "h100": Accelerator(989.5e12, "data sheet of NVIDIA H100 SXM, without sparsity"),
    "h100-pcie": Accelerator(756.5e12, "data sheet of NVIDIA H100 PCIe, without sparsity"),
    "h200": Accelerator(989.5e12, "data sheet of NVIDIA H200 SXM, without sparsity"),
    "l4": Accelerator(121e12, "data sheet of NVIDIA L4, without sparsity"),
    "l40s": Accelerator(362e12, "data sheet of NVIDIA L40S"),
    "mi300x": Accelerator(1307.4e12, "data sheet of AMD Instinct MI300X"),
}

# Parameters as the model cards state them, of a mixture of experts those that a token uses; those of a PRM or a
# distilled policy on a known body are its body's.
PARAMETERS = {
    "Qwen/Qwen2.5-0.5B-Instruct": 0.49e9,
    "Qwen/Qwen2.5-1.5B-Instruct": 1.54e9,
    "Qwen/Qwen2.5-3B-Instruct": 3.09e9,
    "Qwen/Qwen2.5-7B-Instruct": 7.61e9,
    "Qwen/Qwen2.5-14B-Instruct": 14.7e9,
    "Qwen/Qwen2.5-32B-Instruct": 32.5e9,
    "Qwen/Qwen2.5-72B-Instruct": 72.7e9,
    "Qwen/Qwen3-4B": 4.0e9,
    "Qwen/Qwen3-8B": 8.2e9,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1.54e9,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": 7.61e9,
    "openai/gpt-oss-20b": 3.6e9,
    "meta-llama/Llama-3.2-1B-Instruct": 1.23e9,
    "meta-llama/Llama-3.2-3B-Instruct": 3.21e9,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03e9,
    "peiyi9979/math-shepherd-mistral-7b-prm": 7.24e9,
    "RLHFlow/Llama3.1-8B-PRM-Mistral-Data": 8.03e9,
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": 8.03e9,
    "UW-Madison-Lee-Lab/VersaPRM": 8.03e9,
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B": 1.54e9,
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B": 7.61e9,
    "Qwen/Qwen2.5-Math-7B-PRM800K": 7.61e9,
    "Qwen/Qwen2.5-Math-PRM-7B": 7.61e9,
    "Qwen/Qwen2.5-Math-PRM-72B": 72.7e9,
}


@dataclass(frozen=True)
class Assumptions:
    """The assumptions of an estimate.

    Utilisation is the share of an accelerator's peak that a model reaches: a policy writes a token at a time, which
    memory and the engine's own loop bound, a PRM reads many at once. A mean of 679 tokens is what the published beam
    search of Qwen2.5-1.5B on MATH-500 drew for each of its N = 4 (2,715.15 tokens a problem).
    """

    tokens_per_rollout: float = 679
    prompt_tokens: float = 200
    policy_utilisation: float = 0.1
    prm_utilisation: float = 0.4


@dataclass(frozen=True)
class Needs:
    """Tokens, FLOPs and hours of one accelerator that a policy and a PRM take. NaN where a model's size is unknown."""

    policy_tokens: float = 0.0
    prm_tokens: float = 0.0
    policy_flops: float = 0.0
    prm_flops: float = 0.0
    policy_hours: float = 0.0
    prm_hours: float = 0.0

    def __add__(self, other: "Needs") -> "Needs":
        return Needs(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))


def tokens_computed(problems: int, n: int, further: int, assumed: Assumptions) -> float:
    """The tokens of a budget of n: each problem's prompt once, and n solutions with `further` texts of their length."""
    return problems * (assumed.prompt_tokens + n * (1 + further) * assumed.tokens_per_rollout)


def needs(
    policy_tokens: float,
    prm_tokens: float,
    policy_parameters: float,
    prm_parameters: float,
    accelerator: Accelerator,
    assumed: Assumptions,
) -> Needs:
    """The cost of some tokens of a policy and a PRM: 2·N FLOPs per token, hours at the assumed utilisation."""
    policy = inference_flops(policy_parameters, policy_tokens) if policy_tokens else 0.0
    prm = inference_flops(prm_parameters, prm_tokens) if prm_tokens else 0.0
    return Needs(
        policy_tokens,
        prm_tokens,
        policy,
        prm,
        policy / (accelerator.peak * assumed.policy_utilisation) / 3600,
        prm / (accelerator.peak * assumed.prm_utilisation) / 3600,
    )
