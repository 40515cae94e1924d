"""Training of abacus-code: next-token prediction of the programs of train specs, drawn afresh for each update."""

import random
from collections.abc import Iterator

import torch
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

from overthink.tasks.datasets.specs import MOST_CLAUSES, Spec, draw_spec
from overthink.zoo.policies import BATCH_SIZE, IGNORED, Course, Example, PolicySize, greedy
from overthink.zoo.tokenizer import tokenizer_of

SPEC_VOCABULARY = 512
# Without a system message: the recipe asks it in the style `plain`.
ABACUS_CODE = PolicySize("abacus-code", 128, 208, 4, 4, updates=500, learning_rate=4e-3, seed=11)


def draw_train_spec(source: random.Random, clauses: int) -> Spec:
    """One spec of the train split."""
    while True:
        spec = draw_spec(source, clauses)
        if spec.split == "train":
            return spec


def written_program(spec: Spec) -> str:
    """The answer as the policy should write it: the program in a fence."""
    return f"```python\n{spec.program}```"


def spec_prompt(tokenizer: Qwen2Tokenizer, question: str) -> str:
    """The prompt up to and including the opening of the assistant's turn."""
    messages = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def spec_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer of the words and programs of train specs; deterministic."""
    source = random.Random("spec tokenizer")
    specs = [draw_train_spec(source, 1 + index % MOST_CLAUSES) for index in range(2000)]
    return tokenizer_of(
        [f"user\n{spec.question}\nassistant\n{written_program(spec)}" for spec in specs], SPEC_VOCABULARY
    )


def spec_example(tokenizer: Qwen2Tokenizer, spec: Spec) -> Example:
    """Token ids and labels of one spec; only the program and its end-of-turn token are learned."""
    prompt = tokenizer.encode(spec_prompt(tokenizer, spec.question))
    program = [*tokenizer.encode(written_program(spec)), tokenizer.eos_token_id]
    return prompt + program, [IGNORED] * len(prompt) + program


def draw_spec_batches(source: random.Random, updates: int) -> Iterator[list[Spec]]:
    """Batches of train specs of 1 to 6 clauses."""
    for _ in range(updates):
        yield [draw_train_spec(source, source.randint(1, MOST_CLAUSES)) for _ in range(BATCH_SIZE)]


def spec_course(size: PolicySize, tokenizer: Qwen2Tokenizer) -> Course:
    """Programs of specs."""
    drawn = draw_spec_batches(random.Random(f"{size.name} {size.seed}"), size.updates)
    return Course(
        batches=([spec_example(tokenizer, spec) for spec in batch] for batch in drawn),
        report=lambda model, count: report_programs(model, tokenizer, count),
    )


@torch.no_grad()
def report_programs(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, count: int) -> None:
    """Print how many greedy programs of validation specs are the reference, by number of clauses.

    No program is run here, so that one that does the same in other words counts as wrong.
    """
    model.eval()
    told, source = [], random.Random("validation programs")
    for clauses in range(1, MOST_CLAUSES + 1):
        specs = [_draw_validation_spec(source, clauses) for _ in range(count // MOST_CLAUSES)]
        texts = greedy(model, tokenizer, [spec_prompt(tokenizer, spec.question) for spec in specs])
        told.append(sum(text == written_program(spec) for text, spec in zip(texts, specs, strict=True)) / len(specs))
    model.train()
    by_clauses = " ".join(f"{share:.2f}" for share in told)
    print(f"  greedy programs as written {sum(told) / len(told):.3f}; by clauses {by_clauses}", flush=True)


def _draw_validation_spec(source: random.Random, clauses: int) -> Spec:
    while True:
        spec = draw_spec(source, clauses)
        if spec.split == "validation":
            return spec
