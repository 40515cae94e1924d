"""The embedded models: honest size, honest tokenizer, honest imperfection, and no test problem in training."""

import hashlib
import random
from functools import cache
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from overthink.tasks.analysis.flops import PRETRAINING
from overthink.tasks.datasets.chains import STEP_DELIMITER, generate_chains
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.spec_tests import generate_specs
from overthink.tasks.datasets.specs import Spec
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.zoo.body import SEED, UPDATES, draw_solutions
from overthink.zoo.coding import ABACUS_CODE, draw_spec_batches, spec_example, spec_tokenizer
from overthink.zoo.policies import (
    ABACUS_1M,
    ABACUS_5M,
    BATCH_SIZE,
    PRM_START,
    PolicySize,
    draw_train_batches,
    training_example,
)
from overthink.zoo.tokenizer import build_tokenizer

ZOO = Path(__file__).parents[1] / "zoo"
MODELS = ["abacus-1m", "abacus-5m", "abacus-prm", "abacus-code"]


TAUGHT = "Take 65, times 6; keep it only if it is even.\n65*6=390\n\n        if x % 2 != 0:\n            continue"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def taught_specs() -> list[Spec]:
    """All that abacus-code was taught."""
    source = random.Random(f"{ABACUS_CODE.name} {ABACUS_CODE.seed}")
    return [spec for batch in draw_spec_batches(source, ABACUS_CODE.updates) for spec in batch]


def test_weights_stay_under_25_mebibytes() -> None:
    assert sum(path.stat().st_size for path in ZOO.rglob("*.safetensors")) < 25 * 2**20


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("abacus-1m", 0.8e6, 1.2e6), ("abacus-5m", 4e6, 6e6), ("abacus-code", 0.6e6, 1.2e6)],
)
def test_sizes_are_what_the_names_say(name: str, low: float, high: float) -> None:
    parameters = locate_model(ModelConfig(model=f"zoo/{name}")).parameters
    assert parameters is not None
    assert low < parameters < high


@pytest.mark.parametrize("size", [ABACUS_1M, ABACUS_5M, ABACUS_CODE], ids=lambda size: size.name)
def test_the_table_of_pretraining_has_their_parameters_and_tokens(size: PolicySize) -> None:
    """The tokens by every twentieth batch or spec."""
    row = PRETRAINING[size.name]
    assert row.parameters == locate_model(ModelConfig(model=f"zoo/{size.name}")).parameters
    if size is ABACUS_CODE:
        words = spec_tokenizer()
        lengths = [len(spec_example(words, spec)[0]) for spec in taught_specs()[::20]]
    else:
        tokenizer = build_tokenizer()
        batches = list(draw_train_batches(random.Random(f"{size.name} {size.seed}"), size.updates))[::20]
        chains = [chain for batch in batches for chain in batch]
        lengths = [len(training_example(tokenizer, chain)[0]) for chain in chains]
    assert row.tokens == pytest.approx(sum(lengths) / len(lengths) * size.updates * BATCH_SIZE, rel=0.03)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "text",
    [
        "Take 65, times 6. What is the result?",
        "65*6=390\n\n\\boxed{390}",
        "  a  b\n\n\nc\t",
        "ки é 中 \U0001f600 $x^2$",
    ],
)
def test_tokenizers_give_every_text_back(name: str, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(ZOO / name))
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("name", [name for name in MODELS if name != "abacus-code"])
def test_the_step_delimiter_and_the_digits_are_single_tokens(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(ZOO / name))
    assert len(tokenizer.encode(f"7{STEP_DELIMITER}8", add_special_tokens=False)) == 3


def test_the_tokenizer_is_the_one_that_zoo_builds() -> None:
    for name, built in (("abacus-1m", build_tokenizer()), ("abacus-code", spec_tokenizer())):
        shipped = AutoTokenizer.from_pretrained(str(ZOO / name))
        assert built.get_vocab() == shipped.get_vocab()
        assert built.encode(TAUGHT) == shipped.encode(TAUGHT)


def test_no_test_problem_is_among_those_trained_on() -> None:
    trained: set[str] = set()
    for size in (ABACUS_1M, ABACUS_5M, PRM_START):
        batches = list(draw_train_batches(random.Random(f"{size.name} {size.seed}"), size.updates))
        assert sum(map(len, batches)) == size.updates * BATCH_SIZE
        trained |= {digest(chain.question) for batch in batches for chain in batch}
    source = random.Random(f"body {SEED}")
    trained |= {digest(solution.chain.question) for _ in range(UPDATES) for solution, _asked in draw_solutions(source)}
    trained |= {
        digest(problem.question)
        for problem in load_problems(read_recipe_of(PrmTrainRecipe, find_recipe("prm-train")).problems).problems
    }
    for split in ("test", "validation"):
        held_out = {digest(chain.question) for chain in generate_chains(split, 2000, 2, 12, seed=0)}
        assert len(trained) > 50_000
        assert not trained & held_out


def test_no_test_spec_is_among_those_trained_on() -> None:
    trained = {digest(spec.body) for spec in taught_specs()}
    assert len(trained) > 20_000
    for split in ("test", "validation"):
        assert not trained & {digest(tested.spec.body) for tested in generate_specs(split, 200, 1, 6, seed=0)}
