"""The model card of a trained PRM: its base, its training data and its accuracy on held-out problems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overthink.tasks.training.trainer import Judgement
from overthink.tasks.training.training_config import TrainingConfig


def write_card(
    folder: Path,
    config: TrainingConfig,
    provenance: dict[str, Any],
    judgements: Sequence[Judgement],
    learned_from: int,
    judged_on: int,
) -> None:
    """Write README.md into the model's folder. `provenance` names the stages and settings behind the labels."""
    best = min(judgements, key=lambda judgement: judgement.loss)
    (folder / "README.md").write_text(
        f"""---
base_model: {config.base.model}
library_name: transformers
tags: [process-reward-model, overthink]
---
# {provenance["name"]}

A process reward model of family `{config.family}`, trained by `overthink prm-train`: {described(config)} of
`{config.base.model}`, learned from {learned_from} different rollouts and judged on {judged_on} of other problems.
Problems that nothing solved are left out.

## Where its labels come from
{_lines(provenance)}

## How it judged the held-out problems
The weights are those after update {best.update} of at most {config.updates}. Told: on the right side of 1/2.

| update | loss | right steps told | wrong steps told | AUC |
|--:|--:|--:|--:|--:|
{"".join(map(_row, judgements))}
## How to use it
    prm: {{engine: auto, model: path/to/this/folder, family: {config.family}}}
""",
        encoding="utf-8",
    )


def described(config: TrainingConfig) -> str:
    """What was trained, in words."""
    match config.part:
        case "head" if config.extra_layers:
            return f"the head and {config.extra_layers} fresh layers on the frozen body"
        case "head":
            return "the head on the frozen body"
        case "lora":
            return f"the head and LoRA adapters of rank {config.lora_rank} (merged)"
        case "full":
            return "all weights"


def _lines(provenance: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: `{value}`" for name, value in provenance.items() if name != "name")


def _row(judgement: Judgement) -> str:
    cells = (judgement.right_told, judgement.wrong_told, judgement.auc)
    shown = " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells)
    return f"| {judgement.update} | {judgement.loss:.4f} | {shown} |\n"
