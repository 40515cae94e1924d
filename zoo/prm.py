"""Training of abacus-prm: is every step so far right? Labels are checked arithmetic on rollouts of abacus-1m.

The lower layers are abacus-5m's, frozen: at every digit they hold what abacus-5m would have written there. Two layers
more compare that with what was written and gather it at the step marks; they and Qwen's two-class head are all that is
trained. Only train chains are ever rolled out, so test problems stay unseen.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from zoo.policies import IGNORED, optimizers_of, padded, warm_cosine

UPDATES = 200
EXTRA_LAYERS = 2
BATCH_SIZE = 64
CHUNKS = 2
LEARNING_RATE = 2e-3
CHAINS = 3000
ROLLOUTS = 4
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


def extended_body(folder: Path) -> Qwen2Model:
    """A policy's body, frozen, with EXTRA_LAYERS fresh layers and a fresh norm on top."""
    config = Qwen2Config.from_pretrained(str(folder))
    frozen = config.num_hidden_layers
    config.num_hidden_layers = frozen + EXTRA_LAYERS
    config.layer_types = ["full_attention"] * config.num_hidden_layers
    body = Qwen2Model.from_pretrained(str(folder), config=config, dtype=torch.float32, attn_implementation="eager")
    for module in (body.embed_tokens, *body.layers[:frozen]):
        module.requires_grad_(False)
    return body


class RewardModel(torch.nn.Module):
    """Qwen2 body with the process-reward head; (batch, tokens) ids to (batch, tokens, 2) logits."""

    def __init__(self, body: Qwen2Model) -> None:
        super().__init__()
        size = body.config.hidden_size
        self.model = body
        self.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of wrong and right at every token; only those at step marks mean anything."""
        logits: torch.Tensor = self.score(self.model(input_ids=ids, use_cache=False).last_hidden_state)
        return logits


def train_prm(policy_folder: Path, body_folder: Path, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Sample, label, train, and save in the layout of Qwen2.5-Math-PRM."""
    torch.manual_seed(SEED)
    started = time.monotonic()
    chains = generate_chains("train", CHAINS, 1, LONGEST_CHAIN, seed=SEED)
    judged = asyncio.run(roll_out(policy_folder, chains, ROLLOUTS))
    print(f"abacus-prm: {len(judged)} labelled rollouts, {time.monotonic() - started:.0f} s", flush=True)
    held_out, judged = judged[:400], judged[400:]
    model = RewardModel(extended_body(body_folder))
    compiled = torch.compile(model, dynamic=True)
    optimizers = optimizers_of(model, LEARNING_RATE)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: warm_cosine(update, UPDATES, 20))
        for optimizer in optimizers
    ]
    source = random.Random(SEED)
    for update in range(UPDATES):
        mark_loss, token_loss = _update(compiled, tokenizer, source.sample(judged, BATCH_SIZE))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if (update + 1) % 50 == 0:
            losses = f"marks {mark_loss:.4f}, tokens {token_loss:.4f}"
            print(f"  update {update + 1}: loss of {losses}, {time.monotonic() - started:.0f} s", flush=True)
    _report(model, tokenizer, held_out)
    _save(model, tokenizer, folder)


def _encoded(tokenizer: Qwen2Tokenizer, rollouts: list[Judged]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, the label of every token of the solution, and whether it is a step mark; each (rollouts, tokens)."""
    family = FAMILIES["qwen"]
    mark = family.mark_id(tokenizer)
    rows = [family.encode(tokenizer, rollout.chain.question, rollout.steps) for rollout in rollouts]
    targets = []
    for ids, rollout in zip(rows, rollouts, strict=True):
        labels = _token_labels(tokenizer, rollout)
        targets.append([IGNORED] * (len(ids) - len(labels)) + labels)
    inputs = padded(rows, 0)
    return inputs, padded(targets, IGNORED), inputs == mark


def _token_labels(tokenizer: Qwen2Tokenizer, rollout: Judged) -> list[int]:
    """For each token of the solution, marks included, whether all up to it is right."""
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


def _update(
    model: Callable[[torch.Tensor], torch.Tensor], tokenizer: Qwen2Tokenizer, batch: list[Judged]
) -> tuple[float, float]:
    """Accumulate the gradient of one batch; returns the mean loss of the step marks and of all tokens.

    Only marks are ever read, but the label of every token says where a solution goes wrong: without them the comparison
    of written with expected digits is hardly found.
    """
    batch = sorted(batch, key=lambda rollout: len(rollout.steps))
    encoded = [
        _encoded(tokenizer, batch[begin : begin + len(batch) // CHUNKS])
        for begin in range(0, len(batch), len(batch) // CHUNKS)
    ]
    all_marks = sum(int(marks.sum()) for _, _, marks in encoded)
    all_tokens = sum(int((targets != IGNORED).sum()) for _, targets, _ in encoded)
    mark_loss = token_loss = 0.0
    for inputs, targets, marks in encoded:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(inputs)
        losses = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        of_marks, of_tokens = losses[marks.flatten()].sum() / all_marks, losses.sum() / all_tokens
        torch.autograd.backward(of_marks + of_tokens)
        mark_loss, token_loss = mark_loss + of_marks.item(), token_loss + of_tokens.item()
    return mark_loss, token_loss


@torch.no_grad()
def _report(model: RewardModel, tokenizer: Qwen2Tokenizer, held_out: list[Judged]) -> None:
    """Print how often the label of a right and of a wrong step is found, on train chains that were held out."""
    hits: dict[int, list[bool]] = {0: [], 1: []}
    for begin in range(0, len(held_out), BATCH_SIZE):
        inputs, targets, marks = _encoded(tokenizer, held_out[begin : begin + BATCH_SIZE])
        guesses = model(inputs).argmax(-1)
        for label in hits:
            hits[label] += (guesses[marks & (targets == label)] == label).tolist()
    wrong, right = (sum(found) / len(found) for found in hits.values())
    print(f"  held out: {right:.3f} of right steps and {wrong:.3f} of wrong steps told", flush=True)


def _save(model: RewardModel, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = model.model.config.to_dict()
    config = Qwen2Config(**{key: value for key, value in settings.items() if key != "architectures"})
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.dtype = "bfloat16"
    config.num_labels = 2
    config.save_pretrained(str(folder))
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert stored["architectures"] == ["Qwen2ForProcessRewardModel"]
    tokenizer.save_pretrained(str(folder))
