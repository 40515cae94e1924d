"""Training of abacus-prm: is every step so far right? Labels are checked arithmetic on rollouts of abacus-1m.

The lower layers are abacus-5m's, frozen: at every digit they hold what abacus-5m would have written there, so they are
computed once for every rollout. Two layers more compare that with what was written and gather it at the step marks;
they and Qwen's two-class head are all that is trained. Only train chains are ever rolled out, so test problems stay unseen.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

from tasks.engines.chat import encode_text
from tasks.engines.config import Placement, VllmPolicyConfig
from tasks.engines.families import FAMILIES
from tasks.engines.models import locate_model
from tasks.engines.vllm_policy import VllmPolicy
from tasks.problems.chains import LONGEST_CHAIN, STEP_DELIMITER, Chain, generate_chains, right_steps
from tasks.records import Sampling
from zoo.policies import IGNORED, optimizers_of, warm_cosine

UPDATES = 2000
EXTRA_LAYERS = 2
BATCH_SIZE = 64
CHUNKS = 2
LEARNING_RATE = 2e-3
CHAINS = 3000
ROLLOUTS = 4
HELD_OUT = 400
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=256)
SEED = 7


@dataclass(frozen=True)
class Judged:
    """One rollout of a train chain with a label for each step."""

    chain: Chain
    steps: tuple[str, ...]
    labels: tuple[bool, ...]


async def roll_out(policy_folder: Path, chains: list[Chain], rollouts: int) -> list[Judged]:
    """Sample solutions of chains with a policy and check every step's arithmetic."""
    config = VllmPolicyConfig(model=str(policy_folder), max_model_len=512, placement=Placement(max_in_flight=256))
    policy = await VllmPolicy.open(config, locate_model(config))

    async def one(number: int, chain: Chain) -> Judged:
        sample = await policy.generate(chain.question, (), SAMPLING, SEED + number)
        steps = tuple(step.strip() for step in sample.text.split(STEP_DELIMITER) if step.strip())
        return Judged(chain, steps, tuple(right_steps(chain, list(steps))))

    wanted = [(chain, repeat) for chain in chains for repeat in range(rollouts)]
    judged = await asyncio.gather(*(one(number, chain) for number, (chain, _) in enumerate(wanted)))
    await policy.close()
    return [rollout for rollout in judged if rollout.steps]


@dataclass(frozen=True)
class Example:
    """One rollout as the upper layers see it: features (tokens, hidden size), targets and step marks (tokens)."""

    features: torch.Tensor
    targets: torch.Tensor
    marks: torch.Tensor


class UpperModel(torch.nn.Module):
    """The trained part: EXTRA_LAYERS layers with a norm, and Qwen's two-class head on top."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.model = Qwen2Model._from_config(shaped(config, EXTRA_LAYERS), attn_implementation="eager")
        self.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of wrong and right, (rollouts, tokens, 2), from features (rollouts, tokens, hidden size)."""
        hidden = self.model(inputs_embeds=features, use_cache=False).last_hidden_state
        logits: torch.Tensor = self.score(hidden)
        return logits


def shaped(config: Qwen2Config, layers: int) -> Qwen2Config:
    """The same architecture with another number of layers."""
    settings = {key: value for key, value in config.to_dict().items() if key not in ("architectures", "layer_types")}
    return Qwen2Config(**{**settings, "num_hidden_layers": layers})


def frozen_body(folder: Path) -> Qwen2Model:
    """A policy's layers without their last norm."""
    body = Qwen2Model.from_pretrained(str(folder), dtype=torch.bfloat16)
    body.norm = torch.nn.Identity()
    return body


def train_prm(policy_folder: Path, body_folder: Path, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Sample, label, train, and save in the layout of Qwen2.5-Math-PRM."""
    torch.manual_seed(SEED)
    started = time.monotonic()
    chains = generate_chains("train", CHAINS, 1, LONGEST_CHAIN, seed=SEED)
    judged = asyncio.run(roll_out(policy_folder, chains, ROLLOUTS))
    print(f"abacus-prm: {len(judged)} labelled rollouts, {time.monotonic() - started:.0f} s", flush=True)
    body = frozen_body(body_folder)
    examples = [_example(body, tokenizer, rollout) for rollout in judged]
    print(f"  features of {len(examples)} rollouts, {time.monotonic() - started:.0f} s", flush=True)
    held_out, examples = examples[:HELD_OUT], examples[HELD_OUT:]
    model = UpperModel(body.config)
    compiled = torch.compile(model, dynamic=True)
    optimizers = optimizers_of(model, LEARNING_RATE)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: warm_cosine(update, UPDATES))
        for optimizer in optimizers
    ]
    source = random.Random(SEED)
    for update in range(UPDATES):
        loss = _update(compiled, source.sample(examples, BATCH_SIZE))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if (update + 1) % 50 == 0:
            print(f"  update {update + 1}: loss {loss:.4f}, {time.monotonic() - started:.0f} s", flush=True)
        if (update + 1) % 200 == 0:
            _report(model, held_out)
    _save(body, model, tokenizer, folder)


@torch.no_grad()
def _example(body: Qwen2Model, tokenizer: Qwen2Tokenizer, rollout: Judged) -> Example:
    family = FAMILIES["qwen"]
    ids = torch.tensor(family.encode(tokenizer, rollout.chain.question, rollout.steps))
    labels = _token_labels(tokenizer, rollout)
    targets = torch.tensor([IGNORED] * (len(ids) - len(labels)) + labels)
    features = body(input_ids=ids[None], use_cache=False).last_hidden_state[0]
    return Example(features, targets, ids == family.mark_id(tokenizer))


def _token_labels(tokenizer: Qwen2Tokenizer, rollout: Judged) -> list[int]:
    """For each token of the solution, marks included, whether all up to it is right.

    Only marks are ever read, but the label of every token says where a solution goes wrong: without them the comparison
    of written with expected digits is hardly found.
    """
    labels: list[int] = []
    right_before = True
    for index, (step, right) in enumerate(zip(rollout.steps, rollout.labels, strict=True)):
        written = encode_text(tokenizer, step)
        reference = encode_text(tokenizer, rollout.chain.steps[index]) if index < len(rollout.chain.steps) else []
        for end in range(1, len(written) + 1):
            labels.append(int(right_before and written[:end] == reference[:end]))
        labels.append(int(right))
        right_before = right
    return labels


def _batched(examples: list[Example]) -> Example:
    """Examples padded on the right to one; each field gains the rollouts' axis in front."""
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return Example(
        pad([example.features for example in examples]),
        pad([example.targets for example in examples], padding_value=IGNORED),
        pad([example.marks for example in examples]),
    )


def _update(model: Callable[[torch.Tensor], torch.Tensor], batch: list[Example]) -> float:
    """Accumulate the gradient of one batch; returns the mean loss of the step marks.

    The loss learned from is the mean over marks plus the mean over all tokens.
    """
    batch = sorted(batch, key=lambda example: len(example.targets))
    chunks = [
        _batched(batch[begin : begin + len(batch) // CHUNKS]) for begin in range(0, len(batch), len(batch) // CHUNKS)
    ]
    all_marks = sum(int(chunk.marks.sum()) for chunk in chunks)
    all_tokens = sum(int((chunk.targets != IGNORED).sum()) for chunk in chunks)
    mark_loss = 0.0
    for chunk in chunks:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(chunk.features)
        losses = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), chunk.targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        of_marks = losses[chunk.marks.flatten()].sum() / all_marks
        torch.autograd.backward(of_marks + losses.sum() / all_tokens)
        mark_loss += of_marks.item()
    return mark_loss


@torch.no_grad()
def _report(model: UpperModel, held_out: list[Example]) -> None:
    """Print how often the label of a right and of a wrong step is found, on train chains that were held out."""
    hits: dict[int, list[bool]] = {0: [], 1: []}
    for begin in range(0, len(held_out), BATCH_SIZE):
        batch = _batched(held_out[begin : begin + BATCH_SIZE])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guesses = model(batch.features).argmax(-1)
        for label in hits:
            hits[label] += (guesses[batch.marks & (batch.targets == label)] == label).tolist()
    wrong, right = (sum(found) / len(found) for found in hits.values())
    print(f"  held out: {right:.3f} of right steps and {wrong:.3f} of wrong steps told", flush=True)


def _save(body: Qwen2Model, upper: UpperModel, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Save body and upper layers as the one model they are."""
    folder.mkdir(parents=True, exist_ok=True)
    frozen = body.config.num_hidden_layers
    weights = {f"model.{name}": tensor for name, tensor in body.state_dict().items()}
    for name, tensor in upper.state_dict().items():
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        if layer:
            name = f"model.layers.{frozen + int(layer[1])}.{name[layer.end() :]}"
        if not name.startswith("model.embed_tokens"):
            weights[name] = tensor
    stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = shaped(body.config, frozen + EXTRA_LAYERS)
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.dtype = "bfloat16"
    config.num_labels = 2
    config.save_pretrained(str(folder))
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForProcessRewardModel"]
    tokenizer.save_pretrained(str(folder))
