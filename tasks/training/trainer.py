"""The training of a PRM: updates, evaluations on held-out problems, checkpoints to resume from, early stopping."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from overthink.storage.files import whole_file
from overthink.tasks.analysis.prm_quality import auc
from overthink.tasks.training.batches import IGNORED, UNLABELLED, Prepared, batched, chunks
from overthink.tasks.training.optimizers import optimizers_of, warm_cosine
from overthink.tasks.training.prm_model import PrmModel

UNEXPECTED_WEIGHT = 10.0  # a token that the body would not have written is rare


@dataclass(frozen=True)
class Judgement:
    """The evaluation of the model after some updates, on held-out problems.

    `loss` is the mean cross-entropy of a step; `right_told` and `wrong_told` are the shares of right and of wrong steps
    (target above 1/2, or not) that score on their side of 1/2; `auc` says how well they are ranked. None: there are no
    such steps.
    """

    update: int
    loss: float
    right_told: float | None
    wrong_told: float | None
    auc: float | None


@dataclass
class Progress:
    """The state of a training: updates made, evaluations so far, and the best weights."""

    update: int = 0
    judgements: list[Judgement] = field(default_factory=list)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def best(self) -> Judgement:
        """The judgement with the lowest loss."""
        return min(self.judgements, key=lambda judgement: judgement.loss)

    @property
    def stale(self) -> int:
        """Judgements since the best one."""
        return len(self.judgements) - 1 - self.judgements.index(self.best) if self.judgements else 0


class Trainer:
    """Trains one model; its state is in `checkpoint`, from which a new process resumes."""

    def __init__(
        self,
        model: PrmModel,
        examples: Sequence[Prepared],
        held_out: Sequence[Prepared],
        seed: int,
        device: str,
        checkpoint: Path,
    ) -> None:
        self.model = model.to(device)
        self.config = model.config
        self.examples = examples
        self.held_out = held_out
        self.seed = seed
        self.device = device
        self.checkpoint = checkpoint
        self.optimizers = optimizers_of(model.named_parameters(), self.config.learning_rate)
        self.progress = Progress()

    def run(self, on_progress: Callable[[int], None]) -> Progress:
        """Train to the end, and leave the best weights in the model; calls `on_progress` after every update."""
        if self.checkpoint.exists():
            self._load()
            on_progress(self.progress.update)
        while self.progress.update < self.config.updates and self.progress.stale < self.config.patience:
            self._update(self.progress.update)
            self.progress.update += 1
            if self.progress.update % self.config.check_every == 0 or self.progress.update == self.config.updates:
                self._judge()
                self._save()
            on_progress(1)
        self.model.load_state_dict(self.progress.best_weights, strict=False)
        return self.progress

    def _update(self, number: int) -> None:
        source = random.Random(f"update {self.seed} {number}")  # a resumed training draws the same batches
        torch.manual_seed(source.getrandbits(32))
        batch = source.sample(self.examples, min(len(self.examples), self.config.batch_rollouts))
        batch.sort(key=lambda example: len(example.mask))
        places = sum(int((example.targets != UNLABELLED).sum()) for example in batch)
        tokens = sum(int((example.expected != IGNORED).sum()) for example in batch)
        self.model.train()
        for chunk in chunks(batch, [len(example.mask) for example in batch], self.config.chunk_tokens):
            loss, probe_loss = self._losses(batched(chunk).to(self.device))
            torch.autograd.backward(loss / places + probe_loss / max(1, tokens))
        torch.nn.utils.clip_grad_norm_(self.model.learned().values(), 1.0)
        factor = warm_cosine(number, self.config.updates)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * factor
            optimizer.step()
            optimizer.zero_grad()

    def _losses(self, batch: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropies of steps and of the probe, each summed."""
        logits, probe = self._logits(batch)
        chosen = batch.targets != UNLABELLED
        right = batch.targets[chosen]
        loss = torch.nn.functional.cross_entropy(
            logits[chosen], torch.stack([1 - right, right], dim=-1), reduction="sum"
        )
        if probe is None:
            return loss, torch.zeros((), device=self.device)
        of_probe = torch.nn.functional.cross_entropy(
            probe.float().flatten(0, 1), batch.expected.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return loss, (torch.where(batch.expected == 0, UNEXPECTED_WEIGHT, 1.0).flatten() * of_probe).sum()

    def _logits(self, batch: Prepared) -> tuple[torch.Tensor, torch.Tensor | None]:
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            features = batch.inputs if self.model.frozen else self.model.features(batch.inputs, batch.mask)
            logits, probe = self.model(features, batch.mask)
        return logits.float(), probe

    @torch.no_grad()
    def _judge(self) -> None:
        self.model.eval()
        scores: list[torch.Tensor] = []
        targets: list[torch.Tensor] = []
        for chunk in chunks(self.held_out, [len(example.mask) for example in self.held_out], self.config.chunk_tokens):
            batch = batched(chunk).to(self.device)
            chosen = batch.targets != UNLABELLED
            scores.append(self._logits(batch)[0][chosen].log_softmax(-1).cpu())
            targets.append(batch.targets[chosen].cpu())
        judgement = judge(self.progress.update, torch.cat(scores), torch.cat(targets))
        self.progress.judgements.append(judgement)
        if self.progress.best is judgement:
            self.progress.best_weights = {
                name: weight.detach().cpu().clone() for name, weight in self.model.learned().items()
            }

    def _save(self) -> None:
        state = {
            "update": self.progress.update,
            "judgements": [asdict(judgement) for judgement in self.progress.judgements],
            "best_weights": self.progress.best_weights,
            "weights": copied(self.model.learned()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with whole_file(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        judgements = [Judgement(**judgement) for judgement in state["judgements"]]
        self.progress = Progress(state["update"], judgements, state["best_weights"])
        self.model.load_state_dict(state["weights"], strict=False)
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)


def copied(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they are now, on the CPU."""
    return {name: weight.detach().cpu().clone() for name, weight in weights.items()}


def judge(update: int, logs: torch.Tensor, targets: torch.Tensor) -> Judgement:
    """A judgement from log-probabilities of wrong and right, (steps, 2), and P(right) of each step, (steps,)."""
    loss = -((1 - targets) * logs[:, 0] + targets * logs[:, 1]).mean()
    score, right = logs[:, 1].exp().numpy().astype(np.float64), (targets > 0.5).numpy()
    told = (score > 0.5) == right
    return Judgement(
        update=update,
        loss=float(loss),
        right_told=float(told[right].mean()) if right.any() else None,
        wrong_told=float(told[~right].mean()) if not right.all() else None,
        auc=auc(score, right),
    )
