"""its_hub's beam search over a plain `vllm serve`, all problems gathered, as its own pages have it.

Its class for a PRM, LocalVllmProcessRewardModel, asks reward-hub, which knows one model alone (Qwen2.5-Math-PRM-7B)
and wants transformers 4. So the PRM here is a subclass of its interface that does what reward-hub does: the steps of a
problem's round in one call of `vllm.LLM.encode`, in a thread, whole solutions with vLLM's STEP pooling, the last
step's score. One call at a time, since `vllm.LLM` takes no more.
"""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

try:
    from its_hub import OpenAICompatibleLanguageModel, StepGeneration
    from its_hub.api import AbstractProcessRewardModel, GenerationUsage
    from its_hub.core.algorithms.beam_search import BeamSearch
except ImportError as error:
    raise SystemExit(f"{error}: pip install 'its_hub[lm]==1.2.0', which fits beside what is installed here") from error

from benchmarks.bare import bare_llm
from benchmarks.script import DELIMITER, MARK, FreePrm
from overthink.tasks.domains.prompts import BOXED
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import VllmPrmConfig
from overthink.tasks.engines.models import locate_model

MOST_STEPS = 40


@dataclass(frozen=True)
class Endpoint:
    """Where the policy is served, and how it is asked."""

    url: str
    model: str
    temperature: float
    step_tokens: int


class CountingModel(OpenAICompatibleLanguageModel):  # type: ignore[misc]
    """its_hub's client, with the sum of the tokens that the server says it wrote."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(
            endpoint=endpoint.url,
            api_key="none",
            model_name=endpoint.model,
            system_prompt=BOXED,
            max_completion_tokens=endpoint.step_tokens,
        )
        self.usage = GenerationUsage()

    async def agenerate(self, messages: Any, **asked: Any) -> Any:
        """See its_hub."""
        return await super().agenerate(messages, usage_accumulator=self.usage, **asked)


class HashingPrm(AbstractProcessRewardModel):  # type: ignore[misc]
    """Costs nothing."""

    def score(self, prompt: str, solutions: list[str]) -> list[float]:
        """A number in [0, 1] for each solution."""
        return FreePrm().score([prompt + solution for solution in solutions])

    async def ascore(self, prompt: str, solutions: list[str]) -> list[float]:
        """See `score`."""
        return self.score(prompt, solutions)


class PooledPrm(AbstractProcessRewardModel):  # type: ignore[misc]
    """A PRM of Qwen's family in a bare engine, asked as reward-hub asks it."""

    def __init__(self, config: VllmPrmConfig) -> None:
        self._tokenizer = load_tokenizer(locate_model(config))
        mark = self._tokenizer.convert_tokens_to_ids(MARK)
        pooler = {"pooling_type": "STEP", "step_tag_id": mark}
        self._llm = bare_llm(config, {"runner": "pooling", "pooler_config": pooler})
        self._lock = threading.Lock()

    def score(self, prompt: str, solutions: list[str]) -> list[float]:
        """The score of each solution's last step."""
        texts = [self._text(prompt, solution) for solution in solutions]
        with self._lock:
            outputs = self._llm.encode(texts, pooling_task="token_classify", use_tqdm=False)
        return [float(output.outputs.data[-1][-1]) for output in outputs]

    async def ascore(self, prompt: str, solutions: list[str]) -> list[float]:
        """See `score`."""
        return await asyncio.to_thread(self.score, prompt, solutions)

    def _text(self, prompt: str, solution: str) -> str:
        steps = MARK.join(solution.split(DELIMITER)) + MARK
        chat = [("system", BOXED), ("user", prompt), ("assistant", steps)]
        messages = [{"role": role, "content": content} for role, content in chat]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False))


def load_its_hub(
    endpoint: Endpoint, prm: VllmPrmConfig | None
) -> Callable[[Sequence[str], int, int], tuple[float, int]]:
    """its_hub with a policy that is served and a PRM of its own, None: one that costs nothing."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="its_hub")
    verifier = HashingPrm() if prm is None else PooledPrm(prm)
    steps = StepGeneration(MOST_STEPS, DELIMITER, "\\boxed", temperature=endpoint.temperature)

    async def solve(questions: Sequence[str], n: int, width: int) -> int:
        async with CountingModel(endpoint) as model:
            search = BeamSearch(steps, verifier, width)
            await asyncio.gather(*(search.ainfer(model, question, n) for question in questions))
            return int(model.usage.completion_tokens)

    def measure(questions: Sequence[str], n: int, width: int) -> tuple[float, int]:
        begin = time.perf_counter()
        tokens = asyncio.run(solve(questions, n, width))
        return time.perf_counter() - begin, tokens

    return measure
