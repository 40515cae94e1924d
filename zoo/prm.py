"""Training of abacus-prm: is every step so far right? Labels are checked arithmetic on rollouts of abacus-1m.

The lower layers are abacus-5m's, frozen: before every digit they hold what abacus-5m would write there, so they are
computed once for every rollout. Two layers more compare that with what was written and gather it at the step marks;
they and Qwen's two-class head are all that is trained. Only train chains are ever rolled out, so test problems stay
unseen. Left alone, abacus-1m seldom gets late steps right, and a PRM of its rollouts doubts every late step; so half of
the rollouts begin with right steps, handed to the policy, and are its own from there on.

Left to itself that comparison is hardly found: the upper layers learn by heart which questions go wrong. Two things
help. Half of the first upper layer's heads begin as heads that look at the token before; and a probe on that layer,
dropped after training, learns from every token whether it follows from what was written before it.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

from tasks.engines.config import Placement, VllmPolicyConfig
from tasks.engines.models import locate_model
from tasks.engines.prm_prompts import MarkedChat
from tasks.engines.vllm_policy import VllmPolicy
from tasks.problems.chains import LONGEST_CHAIN, STEP_DELIMITER, Chain, generate_chains, right_steps
from tasks.records import Sample, Sampling
from tasks.training.optimizers import optimizers_of, warm_cosine
from tasks.training.upper_layers import look_back
from zoo.policies import IGNORED, padded
from zoo.tokenizer import STEP_MARK, build_tokenizer

UPDATES = 1_400
EXTRA_LAYERS = 2
RESIDUAL_SCALE = 1 / 8  # a power of two, so exact in bfloat16
MISTAKE_WEIGHT = 10.0  # a token that does not follow is rare
BATCH_SIZE = 64
CHUNKS = 2
LEARNING_RATE = 2e-3
CHAINS = 24_000
FEATURE_NOISE = 0.02  # relative: engines round differently, and that must not sway a score
HELD_OUT = 400
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=256)
SEED = 7


@dataclass(frozen=True)
class Judged:
    """One rollout of a train chain with a label for each step."""

    chain: Chain
    steps: tuple[str, ...]
    labels: tuple[bool, ...]


async def roll_out(policy_folder: Path, chains: list[Chain]) -> list[Judged]:
    """Sample a solution of each chain with a policy, every other one from right steps on; check every step."""
    config = VllmPolicyConfig(model=str(policy_folder), max_model_len=512, placement=Placement(max_in_flight=256))
    policy = await VllmPolicy.open(config, locate_model(config))
    tokenizer = build_tokenizer()
    source = random.Random(SEED)

    async def one(number: int, chain: Chain, given: Sequence[str]) -> Judged:
        begun = "".join(step + STEP_DELIMITER for step in given)
        tokens = tuple(tokenizer.encode(begun, add_special_tokens=False))
        path = (Sample(begun, tokens, (), (), "delimiter", 0),) if given else ()
        sample = await policy.generate(chain.question, path, SAMPLING, SEED + number)
        own = (step.strip() for step in sample.text.split(STEP_DELIMITER))
        steps = (*given, *(step for step in own if step))
        return Judged(chain, steps, tuple(right_steps(chain, list(steps))))

    begun = [number % 2 * source.randint(1, len(chain.operations)) for number, chain in enumerate(chains)]
    judged = await asyncio.gather(
        *(one(number, chain, chain.steps[: begun[number]]) for number, chain in enumerate(chains))
    )
    await policy.close()
    return [rollout for rollout in judged if rollout.steps]


@dataclass(frozen=True)
class Example:
    """One rollout as the upper layers see it: features (tokens, hidden size), and for each token three facts.

    `right`: 1 where all up to it is right. `follows`: 1 where it follows from what was written before it. Both are
    IGNORED in the prompt. `marks`: whether it is a step mark.
    """

    features: torch.Tensor
    right: torch.Tensor
    follows: torch.Tensor
    marks: torch.Tensor


class UpperModel(torch.nn.Module):
    """The trained part: EXTRA_LAYERS layers with a norm, Qwen's two-class head on top, and the probe."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.model = Qwen2Model._from_config(shaped(config, EXTRA_LAYERS), attn_implementation="eager").float()
        self.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))
        self.probe = torch.nn.Linear(size, 2)
        for layer in self.model.layers:
            for matrix in layer.parameters():
                if matrix.ndim == 2:  # the default, 0.02, is so small at this width that layers are slow to matter
                    torch.nn.init.orthogonal_(matrix)
        look_back(self.model.layers[0].self_attn, config)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of head and probe, (rollouts, tokens, 2) each, from features (rollouts, tokens, hidden size)."""
        output = self.model(inputs_embeds=features, use_cache=False, output_hidden_states=True)
        return self.score(output.last_hidden_state), self.probe(output.hidden_states[1])


def shaped(config: Qwen2Config, layers: int) -> Qwen2Config:
    """The same architecture with another number of layers."""
    settings = {key: value for key, value in config.to_dict().items() if key not in ("architectures", "layer_types")}
    return Qwen2Config(**{**settings, "num_hidden_layers": layers})


@torch.no_grad()
def frozen_body(folder: Path, tokenizer: Qwen2Tokenizer, mark: int) -> Qwen2Model:
    """A policy's layers without their last norm, to which a step mark reads like the blank line it has learned."""
    body = Qwen2Model.from_pretrained(str(folder), dtype=torch.bfloat16, attn_implementation="eager")
    body.norm = torch.nn.Identity()
    (delimiter,) = tokenizer.encode(STEP_DELIMITER, add_special_tokens=False)
    body.embed_tokens.weight[mark] = body.embed_tokens.weight[delimiter]
    # The norms make these layers blind to the size of what they hand on; fresh layers learn best where that is about 1.
    for writer in (body.embed_tokens, *(part for x in body.layers for part in (x.self_attn.o_proj, x.mlp.down_proj))):
        writer.weight *= RESIDUAL_SCALE
    return body


def train_prm(policy_folder: Path, body_folder: Path, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Sample, label, train, and save in the layout of Qwen2.5-Math-PRM."""
    torch.manual_seed(SEED)
    started = time.monotonic()
    chains = generate_chains("train", CHAINS, 1, LONGEST_CHAIN, seed=SEED)
    judged = asyncio.run(roll_out(policy_folder, chains))
    print(f"abacus-prm: {len(judged)} labelled rollouts, {time.monotonic() - started:.0f} s", flush=True)
    prompts = MarkedChat(tokenizer, STEP_MARK)
    body = frozen_body(body_folder, tokenizer, prompts.mark)
    held_out = _all_examples(body, prompts, judged[:HELD_OUT])
    examples = _all_examples(body, prompts, judged[HELD_OUT:])
    print(f"  features of {len(examples)} rollouts, {time.monotonic() - started:.0f} s", flush=True)
    model = UpperModel(body.config)
    compiled = torch.compile(model, dynamic=True)
    optimizers = optimizers_of(model.named_parameters(), LEARNING_RATE)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: warm_cosine(update, UPDATES))
        for optimizer in optimizers
    ]
    source = random.Random(SEED)
    for update in range(UPDATES):
        mark_loss, probe_loss = _update(compiled, source.sample(examples, BATCH_SIZE))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if (update + 1) % 50 == 0:
            losses = f"marks {mark_loss:.4f}, probe {probe_loss:.4f}"
            print(f"  update {update + 1}: loss of {losses}, {time.monotonic() - started:.0f} s", flush=True)
        if (update + 1) % 200 == 0:
            _report(model, held_out)
    _save(body, model, tokenizer, folder)


def _all_examples(body: Qwen2Model, prompts: MarkedChat, judged: list[Judged]) -> list[Example]:
    by_length = sorted(judged, key=lambda rollout: len(rollout.steps))
    return [
        example
        for begin in range(0, len(by_length), BATCH_SIZE)
        for example in _examples(body, prompts, by_length[begin : begin + BATCH_SIZE])
    ]


@torch.no_grad()
def _examples(body: Qwen2Model, prompts: MarkedChat, rollouts: list[Judged]) -> list[Example]:
    rows = [list(prompts.write(rollout.chain.question, rollout.steps, 0)[0].ids) for rollout in rollouts]
    features = body(input_ids=padded(rows, 0), use_cache=False).last_hidden_state
    examples = []
    for row, rollout, feature in zip(rows, rollouts, features, strict=True):
        right, follows = _token_labels(prompts, rollout)
        unlabelled = [IGNORED] * (len(row) - len(right))
        examples.append(
            Example(
                features=feature[: len(row)].clone(),
                right=torch.tensor(unlabelled + right),
                follows=torch.tensor(unlabelled + follows),
                marks=torch.tensor(row) == prompts.mark,
            )
        )
    return examples


def _token_labels(prompts: MarkedChat, rollout: Judged) -> tuple[list[int], list[int]]:
    """For each token of the solution, marks included: whether all up to it is right, and whether it follows."""
    right: list[int] = []
    follows: list[int] = []
    right_before, value = True, str(rollout.chain.start)
    for index, (step, label) in enumerate(zip(rollout.steps, rollout.labels, strict=True)):
        written = prompts.step(step)
        expected = prompts.step(_following_step(rollout.chain, index, value))
        for token, due in zip_longest(written, expected[: len(written)]):
            follows.append(int(token == due))
            right_before = right_before and token == due
            right.append(int(right_before))
        follows.append(int(len(written) == len(expected)))
        right.append(int(label))
        right_before, value = label, step.rpartition("=")[2]
    return right, follows


def _following_step(chain: Chain, index: int, value: str) -> str:
    """The step that follows from a running value, as it was written: right arithmetic, whatever went before."""
    if index >= len(chain.operations):
        return f"\\boxed{{{value}}}"
    operation = chain.operations[index]
    result = operation.apply(int(value)) if value.isdecimal() else ""
    return f"{value}{operation.symbol}{operation.operand}={result}"


def _batched(examples: list[Example]) -> Example:
    """Examples padded on the right to one; each field gains the rollouts' axis in front."""
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return Example(
        pad([example.features for example in examples]),
        pad([example.right for example in examples], padding_value=IGNORED),
        pad([example.follows for example in examples], padding_value=IGNORED),
        pad([example.marks for example in examples]),
    )


def _update(model: Callable[..., tuple[torch.Tensor, torch.Tensor]], batch: list[Example]) -> tuple[float, float]:
    """Accumulate the gradient of one batch; returns the mean losses of step marks and probe.

    The loss learned from is the mean over marks, plus the mean over all tokens, plus the probe's.
    """
    batch = sorted(batch, key=lambda example: len(example.right))
    chunks = [
        _batched(batch[begin : begin + len(batch) // CHUNKS]) for begin in range(0, len(batch), len(batch) // CHUNKS)
    ]
    all_marks = sum(int(chunk.marks.sum()) for chunk in chunks)
    all_tokens = sum(int((chunk.right != IGNORED).sum()) for chunk in chunks)
    mark_loss = probe_loss = 0.0
    for chunk in chunks:
        noisy = chunk.features * (1 + FEATURE_NOISE * torch.randn_like(chunk.features))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, probed = model(noisy)
        losses = _token_losses(logits, chunk.right)
        of_marks = losses[chunk.marks.flatten()].sum() / all_marks
        weights = torch.where(chunk.follows == 0, MISTAKE_WEIGHT, 1.0).flatten()
        of_probe = (weights * _token_losses(probed, chunk.follows)).sum() / all_tokens
        torch.autograd.backward(of_marks + losses.sum() / all_tokens + of_probe)
        mark_loss, probe_loss = mark_loss + of_marks.item(), probe_loss + of_probe.item()
    return mark_loss, probe_loss


def _token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )


@torch.no_grad()
def _report(model: UpperModel, held_out: list[Example]) -> None:
    """Print how often the label of a right and of a wrong step is found, on train chains that were held out."""
    hits: dict[int, list[bool]] = {0: [], 1: []}
    for begin in range(0, len(held_out), BATCH_SIZE):
        batch = _batched(held_out[begin : begin + BATCH_SIZE])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guesses = model(batch.features)[0].argmax(-1)
        for label in hits:
            hits[label] += (guesses[batch.marks & (batch.right == label)] == label).tolist()
    wrong, right = (sum(found) / len(found) for found in hits.values())
    print(f"  held out: {right:.3f} of right steps and {wrong:.3f} of wrong steps told", flush=True)


def _save(body: Qwen2Model, upper: UpperModel, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Save body and upper layers as the one model they are."""
    folder.mkdir(parents=True, exist_ok=True)
    frozen = body.config.num_hidden_layers
    weights = {f"model.{name}": tensor for name, tensor in body.state_dict().items()}
    for name, tensor in upper.state_dict().items():
        if not name.startswith(("model.embed_tokens", "probe.")):
            weights[re.sub(r"(?<=^model\.layers\.)\d+", lambda layer: str(frozen + int(layer[0])), name)] = tensor
    stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = shaped(body.config, frozen + EXTRA_LAYERS)
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.dtype = "bfloat16"
    config.num_labels = 2
    config.save_pretrained(str(folder))
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForProcessRewardModel"]
    tokenizer.save_pretrained(str(folder))
