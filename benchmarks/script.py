"""What a script of a hundred lines does: beam search and DVTS on bare `vllm.LLM`, all problems at once, in lock-step.

Texts go in and come out, steps end at a stop string, and the PRM is shown the whole solution so far in each round; what
it has read before comes from its prefix cache. No seeds, no log-probabilities, no journal, no rows: where it is killed,
it begins anew.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import vllm

from benchmarks.bare import bare_llm
from benchmarks.beams import SEARCHES, Beam
from benchmarks.search_case import MethodName
from overthink.tasks.domains.prompts import BOXED, Message, chat
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.fakes.fake import hash_number
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.policy_prompts import chat_of
from overthink.tasks.engines.prm.families import checked_family
from overthink.tasks.engines.vllm.vllm_prm import pooling_settings
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.search_methods import BeamConfig

DELIMITER = "\n\n"
MARK = "<extra_0>"  # Qwen's PRMs are read at it
ROUNDS = 40


class FreePrm:
    """Costs nothing: a score is a hash of the text."""

    def prompt(self, question: str) -> str:
        """What stands before the steps."""
        return question

    def score(self, texts: Sequence[str]) -> list[float]:
        """A number in [0, 1] for each text."""
        return [hash_number(text) / 2**64 for text in texts]


class BarePrm:
    """A PRM of Qwen's family in a bare engine, asked for the last step of each text."""

    def __init__(self, config: VllmPrmConfig) -> None:
        model = locate_model(config)
        self._tokenizer = load_tokenizer(model)
        head = checked_family(config.family, model.config, model.name).head
        self._llm = bare_llm(config, pooling_settings(head, self._tokenizer))
        self._asked = vllm.PoolingParams(task="token_classify", skip_reading_prefix_cache=False)

    def prompt(self, question: str) -> str:
        """What stands before the steps."""
        return templated(self._tokenizer, chat(question, BOXED))

    def score(self, texts: Sequence[str]) -> list[float]:
        """A number in [0, 1] for each text, which ends with the mark of its last step."""
        outputs = self._llm.encode(texts, self._asked, pooling_task="token_classify", use_tqdm=False)
        rows = torch.stack([output.outputs.data[-1] for output in outputs])
        return torch.softmax(rows.float(), -1)[:, 1].tolist()


class Script:
    """A recipe's engines, bare, and the rounds that write and score; `tokens` are those written so far."""

    def __init__(self, recipe: Recipe) -> None:
        (method,) = recipe.fixed_methods
        policy, prm = recipe.policy, recipe.prm
        assert isinstance(policy, VllmPolicyConfig)
        assert isinstance(method, BeamConfig)
        self._n, self._width = method.n, method.beam_width
        self._config, self._model = policy, locate_model(policy)
        self._tokenizer = load_tokenizer(self._model)
        self._llm = bare_llm(policy, {})
        self._prm = BarePrm(prm) if isinstance(prm, VllmPrmConfig) else FreePrm()
        self._sampling = vllm.SamplingParams(
            temperature=recipe.sampling.temperature,
            max_tokens=method.step_tokens,
            stop=[DELIMITER],
            include_stop_str_in_output=True,
        )
        self.tokens = 0

    def measure(self, questions: Sequence[str], method: MethodName) -> tuple[float, int]:
        """Seconds taken and tokens written for all questions together."""
        before, begin = self.tokens, time.perf_counter()
        self.solve(questions, method)
        return time.perf_counter() - begin, self.tokens - before

    def solve(self, questions: Sequence[str], method: MethodName) -> list[list[Beam]]:
        """The finished solutions of each question that the method has kept."""
        searches = [SEARCHES[method](self._start(question), self._n, self._width) for question in questions]
        for _ in range(ROUNDS):
            live = [beam for search in searches for beam in search.live]
            if not live:
                break
            grown = iter(self._grown(live))
            for search in searches:
                search.advance([next(grown) for _ in search.live])
        return [search.finished for search in searches]

    def _start(self, question: str) -> Beam:
        asked = templated(self._tokenizer, chat_of(self._config, self._model, question))
        return Beam(asked, self._prm.prompt(question))

    def _grown(self, beams: Sequence[Beam]) -> list[Beam]:
        """Each beam with one more step, and its score."""
        outputs = self._llm.generate([beam.text for beam in beams], self._sampling, use_tqdm=False)
        steps = [output.outputs[0] for output in outputs]
        self.tokens += sum(len(step.token_ids) for step in steps)
        judged = [beam.judged + step.text.strip() + MARK for beam, step in zip(beams, steps, strict=True)]
        scores = self._prm.score(judged)
        return [
            Beam(beam.text + step.text, text, step.stop_reason != DELIMITER, score)
            for beam, step, text, score in zip(beams, steps, judged, scores, strict=True)
        ]


def templated(tokenizer: Any, messages: list[Message]) -> str:
    """A chat as text, up to where the assistant begins."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def load_script(recipe: Recipe) -> Callable[[Sequence[str], MethodName], tuple[float, int]]:
    """The script with a recipe's engines, loaded."""
    return Script(recipe).measure
