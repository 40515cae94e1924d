"""Training of PRMs: what is learned from, that it learns, what is written, and that a new life goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoTokenizer

from overthink.tasks.datasets.chains import generate_chains, right_steps
from overthink.tasks.engines.engine_config import TorchPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.torch.torch_prm import TorchPrm
from overthink.tasks.errors import UserError
from overthink.tasks.training.batches import chunks
from overthink.tasks.training.examples import (
    LabelledRollout,
    TrainingRollouts,
    make_examples,
    of_solved_problems,
    split_problems,
)
from overthink.tasks.training.train import train_prm
from overthink.tasks.training.training_config import TrainingConfig

ZOO = Path(__file__).parents[1] / "zoo"
LAYOUT = FAMILIES["qwen"].layout(AutoTokenizer.from_pretrained(str(ZOO / "abacus-1m")))


def rollouts_of(problems: int) -> list[LabelledRollout]:
    """For each chain its solution, and one that goes wrong in its last sum."""
    rollouts = []
    for number, chain in enumerate(generate_chains("train", problems, 2, 4, seed=3)):
        slip = [*chain.steps[:-2], chain.steps[-2] + "7", "\\boxed{7}"]
        for steps in (chain.steps, slip):
            labels = tuple(map(float, right_steps(chain, steps)))
            rollouts.append(LabelledRollout(str(number), chain.question, tuple(steps), labels))
    return rollouts


def config_of(**changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {
        "base": {"model": "zoo/abacus-1m"},
        "part": "head",
        "updates": 4,
        "check_every": 2,
        "batch_rollouts": 8,
        "learning_rate": 1e-3,
        "held_out": 0.25,
    }
    return TrainingConfig.model_validate(settings | changes)


def train(config: TrainingConfig, folder: Path, on_progress: Callable[[int], None] = lambda _: None) -> None:
    provenance = {"name": "tiny", "labels": "stage label-1"}
    train_prm(config, TrainingRollouts(rollouts_of(8), "\n\n"), 5, folder, provenance, on_progress)


def test_examples_hold_a_target_at_each_labelled_step() -> None:
    labels = (1.0, None, 0.25)
    twins = [LabelledRollout("a", "Take 1.", ("1+1=2", "2+1=3", "\\boxed{3}"), labels)] * 2
    unlabelled = LabelledRollout("a", "Take 1.", ("1+1=2",), (None,))
    (hard,) = make_examples(LAYOUT, [*twins, unlabelled], "hard")
    assert hard.targets == (1.0, 1.0)
    assert [hard.ids[place] for place in hard.places] == [LAYOUT.mark] * 2  # type: ignore[attr-defined]
    (soft,) = make_examples(LAYOUT, twins, "soft")
    assert soft.targets == (1.0, 0.25)
    assert soft.ids[: soft.question_tokens] == LAYOUT.write("Take 1.", (), 0)[0].ids


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 5))
def test_no_problem_is_on_both_sides(count: int, held_out: float, seed: int) -> None:
    rollouts = [LabelledRollout(str(number % count), "q", (str(number),), (1.0,)) for number in range(3 * count)]
    learn, judging = split_problems(rollouts, held_out, seed)
    assert learn and judging
    assert not {one.problem_key for one in learn} & {one.problem_key for one in judging}
    assert sorted(map(str, learn + judging)) == sorted(map(str, rollouts))


def test_one_problem_cannot_judge_itself() -> None:
    with pytest.raises(UserError, match="two problems"):
        split_problems(rollouts_of(1), 0.5, 0)


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
def test_chunks_hold_everything_within_the_limit(lengths: list[int], limit: int) -> None:
    lengths.sort()
    found = list(chunks(lengths, lengths, limit))
    assert [length for chunk in found for length in chunk] == lengths
    assert all(len(chunk) == 1 or max(chunk) * len(chunk) <= limit for chunk in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"part": "head"},
        {"part": "head", "extra_layers": 2},
        {"part": "lora", "lora_rank": 4},
        {"part": "full"},
        {"part": "head", "family": "trl"},
        {"part": "full", "family": "trl", "labels": "soft"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
async def test_what_is_written_is_a_prm_like_any_other(changes: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(**changes)
    train(config, tmp_path / "prm")
    engine = TorchPrmConfig(model=str(tmp_path / "prm"), family=config.family)
    prm = TorchPrm(engine, locate_model(engine))
    scores = await prm.score("Take 12, plus 30. What is the result?", ("12+30=42", "\\boxed{42}"), 0)
    await prm.close()
    assert len(scores.values) == 2
    assert all(0 < value < 1 for value in scores.values)
    card = (tmp_path / "prm" / "README.md").read_text()
    assert "base_model: zoo/abacus-1m" in card
    assert "stage label-1" in card
    assert [path.name for path in tmp_path.iterdir()] == ["prm"], "no checkpoint is left"


async def test_it_learns_and_the_saved_model_is_the_one_that_learned(tmp_path: Path) -> None:
    train(config_of(part="full", updates=80, check_every=10, patience=8), tmp_path / "prm")
    engine = TorchPrmConfig(model=str(tmp_path / "prm"))
    prm = TorchPrm(engine, locate_model(engine))
    told = []
    for rollout in rollouts_of(8):
        scores = await prm.score(rollout.question, rollout.steps, 0)
        told += [(score > 0.5) == (label == 1) for score, label in zip(scores.values, rollout.labels, strict=True)]
    await prm.close()
    assert sum(told) / len(told) > 0.9


@pytest.mark.parametrize("changes", [{"part": "full"}, {"part": "head", "extra_layers": 1}], ids=["full", "extra"])
def test_a_new_life_goes_on_from_the_checkpoint(changes: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(**changes)
    train(config, tmp_path / "whole" / "prm")
    updates = 0

    def die(more: int) -> None:
        nonlocal updates
        updates += more
        if updates == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "killed" / "prm", die)
    assert not (tmp_path / "killed" / "prm").exists()
    seen: list[int] = []
    train(config, tmp_path / "killed" / "prm", seen.append)
    assert sum(seen) == 4
    whole, killed = (load_file(tmp_path / life / "prm" / "model.safetensors") for life in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_life_that_ended_while_it_wrote_leaves_nothing_half_done(tmp_path: Path, monkeypatch: Any) -> None:
    def torn(folder: Path, *_: Any) -> None:
        (folder / "README.md").write_text("half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("overthink.tasks.training.train.write_card", torn)
        with pytest.raises(OSError, match="disk full"):
            train(config_of(), tmp_path / "prm")
    assert not (tmp_path / "prm").exists()
    train(config_of(), tmp_path / "prm")
    assert "half" not in (tmp_path / "prm" / "README.md").read_text()


def test_fresh_layers_need_biases_in_attention(tmp_path: Path) -> None:
    from tiny_models import build_prm

    folder = build_prm("rlhflow", tmp_path / "llama")
    with pytest.raises(UserError, match="Qwen2"):
        train(config_of(base={"model": str(folder)}, family="trl", extra_layers=1), tmp_path / "prm")


def test_training_stops_where_it_no_longer_gets_better(tmp_path: Path) -> None:
    seen: list[int] = []
    config = config_of(part="full", learning_rate=0.5, updates=200, check_every=1, patience=3)
    train(config, tmp_path / "prm", seen.append)
    assert sum(seen) < 200


def test_problems_that_nothing_solved_teach_nothing(tmp_path: Path) -> None:
    hopeless = [
        LabelledRollout(str(number), "q", ("1+1=2",), (label,)) for number, label in enumerate([0.0, None, 0.0])
    ]
    solved = [LabelledRollout("a", "q", ("1+1=2", "x"), (0.25, 0.0)), LabelledRollout("a", "q", ("y",), (0.0,))]
    assert of_solved_problems([*hopeless, *solved]) == solved
    with pytest.raises(UserError, match="two problems at least of which anything ended right"):
        learned = TrainingRollouts([*hopeless, *solved], "\n\n")
        train_prm(config_of(), learned, 0, tmp_path / "prm", {"name": "x"}, lambda _: None)
    assert list(tmp_path.iterdir()) == []
