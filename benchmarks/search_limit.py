"""What the engines could do at all: bare `vllm.LLM`, given everything that a search asked, known in advance."""

import typer
import vllm

from benchmarks.bare import BareEngine
from benchmarks.search_case import SAMPLING
from benchmarks.search_ways import Watched
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.families import checked_family
from overthink.tasks.engines.prm.layouts import Layout
from overthink.tasks.engines.vllm.vllm_prm import pooling_settings
from overthink.tasks.recipes.recipe import Recipe


class BareReader:
    """A PRM in a bare engine, which reads each step once."""

    def __init__(self, prm: VllmPrmConfig) -> None:
        model = locate_model(prm)
        family = checked_family(prm.family, model.config, model.name)
        tokenizer = load_tokenizer(model, prm.trust_remote_code)
        self._layout: Layout = family.layout(tokenizer)
        self._engine = BareEngine(prm, pooling_settings(family.head, tokenizer))

    def seconds(self, scored: list[tuple[str, tuple[str, ...]]]) -> float:
        """To read the last step of each question and its steps."""
        return self._engine.score([list(self._layout.write(*asked, 0)[0].ids) for asked in scored])


class Limit:
    """Both engines of a recipe, bare; only the policy where the PRM costs nothing.

    Prompts and prefixes are read before the clock starts, as in a search a step's prefix has just been computed.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.policy, VllmPolicyConfig)
        self._policy = BareEngine(recipe.policy, {})
        self._prm = BareReader(recipe.prm) if isinstance(recipe.prm, VllmPrmConfig) else None

    def run(self, pattern: Watched) -> float:
        """Seconds to write as many tokens after the same prefixes, then to read the same steps once."""
        prefixes = [
            [*pattern.prompt(question), *(token for part in path for token in pattern.tokens_of(part))]
            for question, path, _ in pattern.written
        ]
        self._policy.generate(prefixes, [_exactly(1)] * len(prefixes))
        _, writing = self._policy.generate(prefixes, [_exactly(count) for _, _, count in pattern.written])
        reading = 0.0 if self._prm is None else self._prm.seconds(pattern.scored)
        typer.echo(f"limit: {writing:.1f} s to write {len(prefixes):,} steps, {reading:.1f} s to score")
        return writing + reading


def _exactly(count: int) -> vllm.SamplingParams:
    """`count` tokens, whatever they are, without stop tokens, texts or log-probabilities."""
    return vllm.SamplingParams(
        temperature=SAMPLING["temperature"], max_tokens=count, min_tokens=count, ignore_eos=True, detokenize=False
    )
