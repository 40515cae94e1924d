"""Every PRM family gives the scores that its authors' recipe gives, computed here by transformers alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from tiny_models import SHAPES, build_prm, tensors
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from overthink.tasks.engines.engine_config import AutoPrmConfig, Placement, TorchPrmConfig, VllmPrmConfig
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.prm.family_data import PrmFamilyName
from overthink.tasks.engines.registry import chosen_engine, identify, open_prm
from overthink.tasks.errors import BadReply, EngineUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "What is 12 + 30?"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
STEPS = ("First add 12 + 30.", "The sum\nis 42.", "\\boxed{42}")
ROLLOUTS = [
    STEPS,
    STEPS[:1],
    ("Żółć, 中文 ≤ ∑ 🤔", "- + - Yes No", "ok"),
    ("<|im_end|><extra_0>[PRM]<|eot_id|>", "and on"),
    ("", "after an empty step", ""),
    tuple(f"Step {number}: {number} + 1 = {number + 1}" for number in range(60)),
]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> PrmFamilyName:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_prm(family, tmp_path_factory.mktemp(family))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prm(family: PrmFamilyName, folder: Path) -> AsyncIterator[Any]:
    engine = await open_prm(TorchPrmConfig(model=str(folder), family=family))
    yield engine
    await engine.close()


class Direct:
    """A family's published reading, written out once more with nothing but transformers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.weights = tensors(folder)
        self.config = AutoConfig.from_pretrained(str(folder))

    def encode(self, text: str, begin: bool = False) -> list[int]:
        """Text from outside: special tokens in it are spelled out."""
        return list(self.tokenizer.encode(text, add_special_tokens=begin, split_special_tokens=True))

    def special(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    @torch.inference_mode()
    def hidden(self, ids: list[int]) -> torch.Tensor:
        """(tokens, hidden size) after the body's last norm."""
        body = AutoModel.from_config(self.config).eval()
        body.load_state_dict({n[len("model.") :]: t for n, t in self.weights.items() if n.startswith("model.")})
        return body(input_ids=torch.tensor([ids])).last_hidden_state[0]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logits(self, kind: Any, ids: list[int]) -> torch.Tensor:
        model = kind.from_pretrained(str(self.folder)).eval()
        return model(input_ids=torch.tensor([ids])).logits[0]  # type: ignore[no-any-return]

    def two_tokens(self, logits: torch.Tensor, no: str, yes: str) -> float:
        (first,), (second,) = self.special(no), self.special(yes)
        return float(torch.softmax(logits[[first, second]], -1)[1])

    def value(self, ids: list[int], places: list[int]) -> list[float]:
        head = self.hidden(ids) @ self.weights["v_head.summary.weight"].T + self.weights["v_head.summary.bias"]
        return [float(torch.sigmoid(head[place, 0])) for place in places]


def qwen(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids = direct.special(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n")
    ids += direct.encode(question) + direct.special("<|im_end|>\n<|im_start|>assistant\n")
    places = []
    for step in steps:
        ids += direct.encode(step) + direct.special("<extra_0>")
        places.append(len(ids) - 1)
    weights = direct.weights
    inner = torch.relu(direct.hidden(ids)[places] @ weights["score.0.weight"].T + weights["score.0.bias"])
    return torch.softmax(inner @ weights["score.2.weight"].T + weights["score.2.bias"], -1)[:, 1].tolist()


def shepherd(after: str, no: str, yes: str) -> Callable[[Direct, str, Sequence[str]], list[float]]:
    def scores(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
        whole = direct.encode(f"{question} " + "".join(f"{step} ки{after}" for step in steps), begin=True)
        tail = direct.encode(" ки")
        logits = direct.logits(AutoModelForCausalLM, whole)
        places = [end - 1 for end in range(len(whole) + 1) if whole[max(0, end - len(tail)) : end] == tail]
        return [direct.two_tokens(logits[place], no, yes) for place in places]

    return scores


def rlhflow(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids = direct.special("<|begin_of_text|>")
    places = []
    for number, step in enumerate(steps):
        said = f"{question} {step}" if number == 0 else step
        ids += direct.special("<|start_header_id|>user<|end_header_id|>\n\n") + direct.encode(said.strip())
        ids += direct.special("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
        places.append(len(ids) - 1)
        ids += direct.special("+<|eot_id|>")
    logits = direct.logits(AutoModelForCausalLM, ids)
    return [direct.two_tokens(logits[place], "-", "+") for place in places]


def skywork(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids, places = direct.encode(question + "\n"), []
    for step in steps:
        ids += direct.encode(step.replace("\n", " ")) + direct.encode("\n")
        places.append(len(ids) - 1)
    return direct.value(ids, places)


def pqm(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids, places = direct.special("<|begin_of_text|>") + direct.encode(question + "\n"), []
    for step in steps:
        ids += direct.encode(step + " ") + direct.special("[PRM]")
        places.append(len(ids) - 1)
        ids += direct.encode("\n")
    return direct.value(ids, places)


def versaprm(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids, places = direct.special("<|begin_of_text|>") + direct.encode(question + " \n\n"), []
    for step in steps:
        ids += direct.encode(step) + direct.encode(" \n\n\n\n")
        places.append(len(ids) - 1)
    logits = direct.logits(AutoModelForCausalLM, ids)
    return [direct.two_tokens(logits[place], "-", "+") for place in places]


def trl(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    ids, places = direct.encode(question), []
    for step in steps:
        ids += direct.encode(step) + direct.encode("\n")
        places.append(len(ids) - 1)
    logits = direct.logits(AutoModelForTokenClassification, ids)
    return torch.softmax(logits[places], -1)[:, 1].tolist()


def verifier(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    scores = []
    for count in range(1, len(steps) + 1):
        solution = "\n\n".join(steps[:count])
        asked = (
            "Here is a problem and the beginning of a solution."
            f"\n\nProblem:\n{question}\n\nSolution so far:\n{solution}"
            "\n\nIs the last step of this solution correct? Answer with one word, Yes or No."
        )
        ids = direct.special("<|im_start|>user\n") + direct.encode(asked)
        ids += direct.special("<|im_end|>\n<|im_start|>assistant\n")
        scores.append(direct.two_tokens(direct.logits(AutoModelForCausalLM, ids)[-1], "No", "Yes"))
    return scores


def orm(direct: Direct, question: str, steps: Sequence[str]) -> list[float]:
    scores = []
    for count in range(1, len(steps) + 1):
        ids = direct.special("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n") + direct.encode(question)
        ids += direct.special("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
        ids += direct.encode("\n\n".join(steps[:count]).strip()) + direct.special("<|eot_id|>")
        kind = AutoModelForSequenceClassification
        scores.append(float(torch.sigmoid(direct.logits(kind, ids)[0])))
    return scores


DIRECT: dict[str, Callable[[Direct, str, Sequence[str]], list[float]]] = {
    "qwen": qwen,
    "math-shepherd": shepherd("\n", "-", "+"),
    "er-prm": shepherd("", " -", " +"),
    "rlhflow": rlhflow,
    "skywork": skywork,
    "pqm": pqm,
    "versaprm": versaprm,
    "trl": trl,
    "verifier": verifier,
    "orm": orm,
}


async def test_every_family_is_under_contract() -> None:
    assert set(FAMILIES) == set(SHAPES) == set(DIRECT)


@pytest.mark.parametrize("steps", ROLLOUTS[:5], ids=["three", "one", "unicode", "special", "empty"])
async def test_scores_equal_a_direct_computation(prm: Any, family: str, folder: Path, steps: tuple[str, ...]) -> None:
    scores = await prm.score(QUESTION, steps, 0)
    assert len(scores.values) == len(steps)
    assert scores.values == pytest.approx(DIRECT[family](Direct(folder), QUESTION, steps), abs=1e-4)


async def test_scores_of_different_steps_differ(prm: Any) -> None:
    values = (await prm.score(QUESTION, STEPS, 0)).values
    assert len({round(value, 6) for value in values}) == len(values)
    assert all(0 < value < 1 for value in values)


async def test_sixty_steps_are_sixty_scores(prm: Any, family: str, folder: Path) -> None:
    scores = await prm.score(QUESTION, ROLLOUTS[5], 0)
    assert len(scores.values) == 60
    few = 3 if family in ("verifier", "orm") else 60
    assert scores.values[:few] == pytest.approx(DIRECT[family](Direct(folder), QUESTION, ROLLOUTS[5][:few]), abs=1e-4)


async def test_alone_in_a_batch_and_padded_are_the_same(prm: Any) -> None:
    alone = [(await prm.score(QUESTION, steps, 0)).values for steps in ROLLOUTS]
    together = await asyncio.gather(*(prm.score(QUESTION, steps, 0) for steps in ROLLOUTS))
    for one, other in zip(alone, together, strict=True):
        assert other.values == pytest.approx(one, abs=1e-5)


async def test_step_by_step_is_the_same_as_at_once(prm: Any, family: str) -> None:
    question = "What is 1 + 1?"
    whole = (await prm.score(question, STEPS, 0)).values
    parts = [await prm.score(question, STEPS[: number + 1], number) for number in range(len(STEPS))]
    assert [value for part in parts for value in part.values] == pytest.approx(whole, abs=1e-4)
    if family not in ("verifier", "orm"):  # these write a new prompt for each step
        assert all(part.cached_tokens > 0 for part in parts[1:])


async def test_only_the_steps_asked_for_are_scored(prm: Any) -> None:
    whole = (await prm.score(QUESTION, STEPS, 0)).values
    for from_step in range(1, len(STEPS)):
        assert (await prm.score(QUESTION, STEPS, from_step)).values == pytest.approx(whole[from_step:], abs=1e-4)


async def test_a_prompt_that_does_not_fit_names_the_problem_and_the_limit(family: PrmFamilyName, folder: Path) -> None:
    prm = await open_prm(TorchPrmConfig(model=str(folder), family=family, max_model_len=40))
    with pytest.raises(BadReply, match=r"What is 12 \+ 30\?.* its limit is 40"):
        await prm.score(QUESTION, ROLLOUTS[5], 0)
    await prm.close()


async def test_batches_of_few_tokens_give_the_same(family: PrmFamilyName, folder: Path, prm: Any) -> None:
    small = await open_prm(TorchPrmConfig(model=str(folder), family=family, placement=Placement(batch_tokens=100)))
    expected = await asyncio.gather(*(prm.score(QUESTION, steps, 0) for steps in ROLLOUTS))
    found = await asyncio.gather(*(small.score(QUESTION, steps, 0) for steps in ROLLOUTS))
    for one, other in zip(expected, found, strict=True):
        assert other.values == pytest.approx(one.values, abs=1e-5)
    await small.close()


async def test_auto_takes_vllm_where_it_can_compute_the_head(family: PrmFamilyName, folder: Path) -> None:
    chosen = chosen_engine(AutoPrmConfig(model=str(folder), family=family, max_model_len=512))
    expected = TorchPrmConfig if family in ("skywork", "pqm") else VllmPrmConfig
    assert chosen == expected(model=str(folder), family=family, max_model_len=512)


async def test_auto_is_in_stage_keys_as_what_it_chose(family: PrmFamilyName, folder: Path) -> None:
    auto = AutoPrmConfig(model=str(folder), family=family)
    assert identify(auto) == identify(chosen_engine(auto))


@pytest.mark.engine
async def test_vllm_gives_the_same_scores_as_torch(
    forked_engines: None, family: PrmFamilyName, folder: Path, prm: Any
) -> None:
    config = VllmPrmConfig(model=str(folder), family=family, dtype="float32", max_model_len=4096)
    if family in ("skywork", "pqm"):
        with pytest.raises(EngineUnavailable, match="set engine: torch"):
            await open_prm(config)
        return
    vllm = await open_prm(config)
    for steps in ROLLOUTS:
        scores = await vllm.score(QUESTION, steps, 0)
        assert scores.values == pytest.approx((await prm.score(QUESTION, steps, 0)).values, abs=1e-3)
    for count in range(1, len(STEPS) + 1):
        one = await vllm.score(QUESTION, STEPS[:count], count - 1)
        assert one.values == pytest.approx((await prm.score(QUESTION, STEPS[:count], count - 1)).values, abs=1e-3)
    await vllm.close()


SPLIT_OF_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


async def test_versaprm_reads_the_tokens_of_its_authors_text() -> None:
    """They encode question, steps and marks as one text, and read wherever the token of the mark is."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_OF_LLAMA_3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    said = "What is 12 + 30? \n\nFirst \n\n\n\nadd - + \n\n\n\n"
    backend.train_from_iterator([said] * 4, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    (mark,) = tokenizer.encode(" \n\n\n\n")
    for steps in (STEPS, STEPS[:1], ("$x$", "\\[x\n\\]", "Is it 5?"), ROLLOUTS[2], ROLLOUTS[5]):
        (prompt,) = FAMILIES["versaprm"].layout(tokenizer).write(QUESTION, steps, 0)
        assert list(prompt.ids) == tokenizer.encode(f"{QUESTION} \n\n" + "".join(f"{one} \n\n\n\n" for one in steps))
        assert list(prompt.places) == [place for place, token in enumerate(prompt.ids) if token == mark]
