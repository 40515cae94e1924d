"""Training of the abacus policies: next-token prediction of reference solutions, those of train chains first of all.

They are meant to be imperfect: each stops at a number of updates where long chains still go wrong, so that sampling,
scoring and searching have something to win.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from overthink.tasks.datasets.chains import LONGEST_CHAIN, Chain, draw_chain, generate_chains
from overthink.tasks.training.optimizers import optimizers_of, warm_cosine
from overthink.zoo.tokenizer import SYSTEM_PROMPT

BATCH_SIZE = 64
CHUNKS = 4  # a batch sorted by length is computed in this many pieces, so that short chains are not padded to long ones
IGNORED = -100
Example = tuple[list[int], list[int]]  # token ids and labels


@dataclass(frozen=True)
class PolicySize:
    """Architecture and training length of one policy."""

    name: str
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    updates: int
    learning_rate: float
    seed: int


ABACUS_1M = PolicySize("abacus-1m", 128, 384, 4, 4, updates=700, learning_rate=4e-3, seed=1)
ABACUS_5M = PolicySize("abacus-5m", 256, 704, 6, 4, updates=700, learning_rate=3e-3, seed=5)
PRM_START = replace(ABACUS_5M, updates=1000)  # not shipped: what the body of abacus-prm is trained from


def qwen2_config(size: PolicySize, tokenizer: Qwen2Tokenizer) -> Qwen2Config:
    """The Hugging Face configuration of a policy."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def chat_prompt(tokenizer: Qwen2Tokenizer, question: str) -> str:
    """The prompt up to and including the opening of the assistant's turn, in Qwen's style."""
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@dataclass(frozen=True)
class Course:
    """What a policy is taught, batch by batch; `report` prints how well it does on so many held-out problems."""

    batches: Iterable[list[Example]]
    report: Callable[[Qwen2ForCausalLM, int], None]


def chain_course(size: PolicySize, tokenizer: Qwen2Tokenizer) -> Course:
    """Solutions of chains."""
    drawn = draw_train_batches(random.Random(f"{size.name} {size.seed}"), size.updates)
    return Course(
        batches=([training_example(tokenizer, chain) for chain in batch] for batch in drawn),
        report=lambda model, count: report_greedy(model, tokenizer, count),
    )


def training_example(tokenizer: Qwen2Tokenizer, chain: Chain) -> Example:
    """Token ids and labels of one chain; only the solution and its end-of-turn token are learned."""
    prompt = tokenizer.encode(chat_prompt(tokenizer, chain.question))
    solution = [*tokenizer.encode(chain.solution), tokenizer.eos_token_id]
    return prompt + solution, [IGNORED] * len(prompt) + solution


def draw_train_batches(source: random.Random, updates: int) -> Iterator[list[Chain]]:
    """Batches of train chains: up to 4 operations in the first quarter, up to 8 in the second, then all lengths."""
    for update in range(updates):
        longest = min(LONGEST_CHAIN, 4 + 4 * (4 * update // updates))
        yield [draw_train_chain(source, source.randint(1, longest)) for _ in range(BATCH_SIZE)]


def draw_train_chain(source: random.Random, length: int) -> Chain:
    """One chain of the train split."""
    while True:
        chain = draw_chain(source, length)
        if chain.split == "train":
            return chain


def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    """Rows padded on the right to one (rows, longest) tensor."""
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def train_policy(size: PolicySize, tokenizer: Qwen2Tokenizer, course: Course, folder: Path) -> None:
    """Train one policy from random weights and save it in bfloat16 with its tokenizer."""
    torch.manual_seed(size.seed)
    # Plain matmul attention trains twice as fast as SDPA here: its CPU backward is slow on short sequences.
    model = Qwen2ForCausalLM._from_config(qwen2_config(size, tokenizer), attn_implementation="eager")
    compiled = torch.compile(model, dynamic=True)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{size.name}: {parameters / 1e6:.2f} M parameters, {size.updates} updates", flush=True)
    optimizers = optimizers_of(model.named_parameters(), size.learning_rate)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: warm_cosine(update, size.updates))
        for optimizer in optimizers
    ]
    started = time.monotonic()
    for update, batch in enumerate(course.batches):
        loss = _update(compiled, batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if (update + 1) % 50 == 0:
            print(f"  update {update + 1}: loss {loss:.4f}, {time.monotonic() - started:.0f} s", flush=True)
        if (update + 1) % 200 == 0:
            course.report(model, 96)
    course.report(model, 240)
    model.to(torch.bfloat16).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _update(model: Qwen2ForCausalLM, batch: list[Example]) -> float:
    examples = sorted(batch, key=lambda example: len(example[0]))
    learned = sum(label != IGNORED for _, labels in examples for label in labels)
    total, chunk_size = 0.0, len(examples) // CHUNKS
    for begin in range(0, len(examples), chunk_size):
        chunk = examples[begin : begin + chunk_size]
        inputs = padded([ids for ids, _ in chunk], 0)
        labels = padded([labels for _, labels in chunk], IGNORED)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        torch.autograd.backward(loss / learned)
        total += float(loss)
    return total / learned


@torch.no_grad()
def report_greedy(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, count: int) -> None:
    """Print greedy accuracy on validation chains, by length."""
    model.eval()
    chains = generate_chains("validation", count, 1, LONGEST_CHAIN, seed=0)
    right = {length: [] for length in range(1, LONGEST_CHAIN + 1)}  # type: dict[int, list[bool]]
    for length, hits in right.items():
        group = [chain for chain in chains if len(chain.operations) == length]
        prompts = [chat_prompt(tokenizer, chain.question) for chain in group]
        for chain, text in zip(group, greedy(model, tokenizer, prompts), strict=True):
            hits.append(text == chain.solution)
    model.train()
    overall = sum(map(sum, right.values())) / count
    by_length = " ".join(f"{sum(hits) / len(hits):.2f}" for hits in right.values())
    print(f"  greedy accuracy {overall:.3f}; by length {by_length}", flush=True)


def greedy(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, prompts: list[str]) -> list[str]:
    """Greedy solutions behind several prompts, left-padded into one batch."""
    encoded = [tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, encoded))
    inputs = torch.tensor([[tokenizer.pad_token_id] * (longest - len(prompt)) + prompt for prompt in encoded])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in encoded])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model.generate(input_ids=inputs, attention_mask=mask, do_sample=False, max_new_tokens=220)
    return [str(tokenizer.decode(row[longest:], skip_special_tokens=True)) for row in output]
