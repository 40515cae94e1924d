"""From labelled rollouts to a PRM in Hugging Face's layout."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import ModelFiles, locate_model
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.prm.layouts import Layout, MarkedChat
from overthink.tasks.training.batches import StepTarget, prepare
from overthink.tasks.training.card import write_card
from overthink.tasks.training.examples import (
    Example,
    TrainingRollouts,
    make_examples,
    of_solved_problems,
    split_problems,
)
from overthink.tasks.training.prm_model import PrmModel, load_base, load_writer, save_prm
from overthink.tasks.training.trainer import Trainer
from overthink.tasks.training.training_config import TrainingConfig
from overthink.tasks.training.upper_layers import scale_residual


def train_prm(
    config: TrainingConfig,
    learned: TrainingRollouts,
    seed: int,
    folder: Path,
    provenance: dict[str, Any],
    on_progress: Callable[[int], None],
) -> None:
    """Train a PRM and write it to `folder`, whole or not at all; resumes from the checkpoint beside it.

    `provenance` goes into the model's card. `on_progress` is called often, with the updates made since the last call;
    what it raises ends the training. Raises EngineUnavailable or UserError for what cannot be trained.
    """
    torch.manual_seed(seed)
    base = read_base(config)
    sides = split_problems(of_solved_problems(learned.rollouts), config.held_out, seed)
    learn, judging = (make_examples(base.layout, side, config.labels) for side in sides)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, expectation = begin(config, base, learned.delimiter, learn[0], device)
    work = folder.with_name(f".{folder.name}.training")
    ready = [
        prepare(model, part, expectation, config.chunk_tokens, device, lambda: on_progress(0))
        for part in (learn, judging)
    ]
    progress = Trainer(model, ready[0], ready[1], seed, device, work / "checkpoint.pt").run(on_progress)
    written = work / "model"
    shutil.rmtree(written, ignore_errors=True)  # left by a process that was killed while writing
    save_prm(model, base.tokenizer, written)
    write_card(written, config, provenance, progress.judgements, len(learn), len(judging))
    written.rename(folder)
    shutil.rmtree(work)


@dataclass(frozen=True)
class Base:
    """The base model of a training, and its family's layout."""

    files: ModelFiles
    tokenizer: Any
    layout: Layout


def read_base(config: TrainingConfig) -> Base:
    """Find the base. Raises EngineUnavailable where it is not there."""
    files = locate_model(ModelConfig(**config.base.model_dump()))
    tokenizer = load_tokenizer(files)
    return Base(files, tokenizer, FAMILIES[config.family].layout(tokenizer))


def begin(
    config: TrainingConfig, base: Base, delimiter: str, example: Example, device: str
) -> tuple[PrmModel, StepTarget | None]:
    """The model before its first update, and the body's expected tokens, which new layers learn as a second target."""
    tokenizer, layout = base.tokenizer, base.layout
    ends = [*tokenizer.encode(delimiter, add_special_tokens=False), tokenizer.eos_token_id]
    mark = layout.mark if isinstance(layout, MarkedChat) else None
    frozen = config.part == "head"
    body = load_base(base.files, frozen)
    if mark is not None:
        read_mark_as(body, mark, ends[:-1])
    if not config.extra_layers:
        return PrmModel(body, config).to(device), None
    expectation = StepTarget(body.norm.to(device), load_writer(base.files).to(device), mark, ends)
    model = PrmModel(body, config).to(device)
    ids = torch.tensor([example.ids], device=device)
    scale_residual(body, model.features(ids, torch.ones_like(ids)))
    return model, expectation


@torch.no_grad()
def read_mark_as(body: Any, mark: int, delimiter: Sequence[int]) -> None:
    """Initialise a new step mark's embedding with the mean of the tokens of the delimiter, which the base knows."""
    embedding = body.get_input_embeddings().weight
    embedding[mark] = embedding[list(delimiter)].mean(dim=0)
