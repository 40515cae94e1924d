"""The body of abacus-prm: abacus-5m with two layers more, taught to check what is written instead of writing it.

Every layer has its own thing to learn, in the order in which a check needs them, from probes that are dropped
afterwards: how long a result must be; which digits stand in a column; the column's carries; whether a token fits; last,
whether a step and all before it are right. The stream of train chains never repeats, so nothing is learned by heart.
Most solutions lack their question: their tokens are steps alone, and arithmetic is what takes longest to learn.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

from overthink.tasks.datasets.chains import LONGEST_CHAIN, STEP_DELIMITER, generate_chains
from overthink.tasks.engines.prm.layouts import MarkedChat
from overthink.tasks.training.optimizers import optimizers_of, warm_cosine
from overthink.tasks.training.upper_layers import look_back
from overthink.zoo.columns import UNKNOWN, truth_of
from overthink.zoo.mistakes import Solution, write_solution
from overthink.zoo.policies import draw_train_chain
from overthink.zoo.tokenizer import STEP_MARK

UPDATES = 540
WITH_QUESTION, WITHOUT_QUESTION = 24, 48  # solutions in an update
CHUNKS = 4
LEARNING_RATE = 2e-3
EXTRA_LAYERS = 2
RESIDUAL_SCALE = 1 / 4  # the norms make the policy's layers blind to it; fresh layers matter sooner beside smaller sums
OPENING = 3  # tokens that open the assistant's turn
HELD_OUT = 192
SEED = 7


@dataclass(frozen=True)
class Probe:
    """How a question of `Truth` is asked: after how many layers, with how many answers, at what weight.

    `no` is the weight of the answer 0 beside the others: what does not fit is rare, and soon left alone at 1.
    """

    layers: int
    answers: int
    weight: float
    no: float = 1.0


PROBES = {
    "length": Probe(3, 5, 0.3),
    "left": Probe(5, 11, 0.3),
    "right": Probe(5, 11, 0.3),
    "carry_in": Probe(6, 10, 0.5),
    "carry_out": Probe(6, 10, 0.5),
    "fits": Probe(7, 2, 2.0, no=5.0),
    "step": Probe(8, 2, 1.0, no=2.0),
    "so_far": Probe(8, 2, 1.0),
}


@dataclass(frozen=True)
class Written:
    """A solution as the model reads it: token ids and what is true of each; or a batch, with one more axis in front."""

    ids: torch.Tensor
    truth: dict[str, torch.Tensor]


class Checker(torch.nn.Module):
    """The body with its probes."""

    def __init__(self, body: Qwen2Model) -> None:
        super().__init__()
        size = body.config.hidden_size
        self.body = body
        self.probes = torch.nn.ModuleDict(
            {name: torch.nn.Linear(size, probe.answers) for name, probe in PROBES.items()}
        )

    def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (solutions, tokens, answers) for each question."""
        *states, last = self.body(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        normed = [*(torch.nn.functional.rms_norm(state, (state.shape[-1],)) for state in states), last]
        return {name: self.probes[name](normed[probe.layers]) for name, probe in PROBES.items()}


@torch.no_grad()
def deepened(policy_folder: Path) -> Qwen2Model:
    """A policy's layers with fresh ones on top, the first of which looks back."""
    policy = Qwen2Model.from_pretrained(str(policy_folder), dtype=torch.float32)
    settings = {
        key: value for key, value in policy.config.to_dict().items() if key not in ("architectures", "layer_types")
    }
    depth = policy.config.num_hidden_layers
    config = Qwen2Config(**{**settings, "num_hidden_layers": depth + EXTRA_LAYERS})
    body = Qwen2Model._from_config(config, attn_implementation="eager").float()
    body.load_state_dict(policy.state_dict(), strict=False)
    old, fresh = body.layers[:depth], body.layers[depth:]
    for writer in (
        body.embed_tokens,
        *(part for layer in old for part in (layer.self_attn.o_proj, layer.mlp.down_proj)),
    ):
        writer.weight *= RESIDUAL_SCALE
    for matrix in fresh.parameters():
        if matrix.ndim == 2:  # the default, 0.02, is so small at this width that layers are slow to matter
            torch.nn.init.orthogonal_(matrix)
    look_back(fresh[0].self_attn, config)
    torch.nn.init.ones_(body.norm.weight)
    return body


class Scribe:
    """Writes solutions as token ids. A blank line ends each step; in a PRM's prompt, a mark that reads like it does."""

    def __init__(self, tokenizer: Qwen2Tokenizer) -> None:
        self._layout = MarkedChat(tokenizer, STEP_MARK)
        (self._delimiter,) = tokenizer.encode(STEP_DELIMITER)

    def written(self, solution: Solution, asked: bool) -> Written:
        """A solution beneath its question, or beneath the opening of the assistant's turn alone."""
        (prompt,) = self._layout.write(solution.chain.question, (), 0)
        ids = list(prompt.ids if asked else prompt.ids[-OPENING:])
        truth = truth_of(solution, lambda value: self._layout.step(f"\\boxed{{{value}}}"), asked)
        before = [UNKNOWN] * len(ids)
        for step in solution.steps:
            ids += [*self._layout.step(step), self._delimiter]
        return Written(torch.tensor(ids), {name: torch.tensor(before + row) for name, row in vars(truth).items()})


def draw_solutions(source: random.Random) -> list[tuple[Solution, bool]]:
    """The solutions of one update, each with whether its question is shown."""
    return [
        (write_solution(draw_train_chain(source, source.randint(1, LONGEST_CHAIN)), source), number < WITH_QUESTION)
        for number in range(WITH_QUESTION + WITHOUT_QUESTION)
    ]


def batched(rows: list[Written]) -> Written:
    """Solutions padded on the right to one batch; nothing is known of what is padded."""

    def pad(tensors: list[torch.Tensor], filler: int) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=filler)

    return Written(
        pad([row.ids for row in rows], 0), {name: pad([row.truth[name] for row in rows], UNKNOWN) for name in PROBES}
    )


def train_body(policy_folder: Path, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Train the body and save it in bfloat16 with its tokenizer."""
    torch.manual_seed(SEED)
    model, scribe, source = Checker(deepened(policy_folder)), Scribe(tokenizer), random.Random(f"body {SEED}")
    held_out = held_out_solutions(scribe)
    optimizers = optimizers_of(model.named_parameters(), LEARNING_RATE)
    started = time.monotonic()
    for update in range(UPDATES):
        losses = _update(model, [scribe.written(*drawn) for drawn in draw_solutions(source)])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * warm_cosine(update, UPDATES)
            optimizer.step()
            optimizer.zero_grad()
        if (update + 1) % 50 == 0:
            told = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
            print(f"  update {update + 1}: losses {told}; {time.monotonic() - started:.0f} s", flush=True)
        if (update + 1) % 100 == 0 or update + 1 == UPDATES:
            report(model, held_out)
    model.body.to(torch.bfloat16).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _update(model: Checker, rows: list[Written]) -> dict[str, float]:
    """Accumulate the gradient of one batch, in chunks of like length; returns each probe's mean loss."""
    rows = sorted(rows, key=lambda row: len(row.ids))
    size = len(rows) // CHUNKS
    means = dict.fromkeys(PROBES, 0.0)
    for begin in range(0, len(rows), size):
        chunk = batched(rows[begin : begin + size])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(chunk.ids)
        total = torch.zeros(())
        for name, probe in PROBES.items():
            weights = torch.ones(probe.answers)
            weights[0] = probe.no
            loss = torch.nn.functional.cross_entropy(
                logits[name].float().flatten(0, 1), chunk.truth[name].flatten(), weights, ignore_index=UNKNOWN
            )
            total = total + probe.weight * loss / CHUNKS
            means[name] += loss.item() / CHUNKS
        torch.autograd.backward(total)
    return means


def held_out_solutions(scribe: Scribe) -> list[Written]:
    """Solutions of validation chains beneath their questions, mistaken like those learned from."""
    source = random.Random(SEED)
    chains = generate_chains("validation", HELD_OUT, 1, LONGEST_CHAIN, seed=0)
    return [scribe.written(write_solution(chain, source), asked=True) for chain in chains]


@torch.no_grad()
def report(model: Checker, held_out: list[Written]) -> None:
    """Print how often each question is answered rightly on held-out solutions."""
    right = dict.fromkeys(PROBES, 0)
    asked = dict.fromkeys(PROBES, 0)
    for begin in range(0, HELD_OUT, WITHOUT_QUESTION):
        batch = batched(held_out[begin : begin + WITHOUT_QUESTION])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(batch.ids)
        for name in PROBES:
            known = batch.truth[name] != UNKNOWN
            right[name] += int((logits[name].argmax(-1) == batch.truth[name])[known].sum())
            asked[name] += int(known.sum())
    told = ", ".join(f"{name} {right[name] / asked[name]:.4f}" for name in PROBES)
    print(f"  held out, answered rightly: {told}", flush=True)
