"""A PRM family and a preset that a recipe spells out, or that lie in a file that it names."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import EXAMPLE
from tiny_models import build_prm

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import TorchPrmConfig
from overthink.tasks.engines.registry import identify, open_prm
from overthink.tasks.errors import EngineUnavailable, UserError
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.recipes.recipe import Recipe

FAMILY = EXAMPLE / "data" / "family.yaml"
PRESET = EXAMPLE / "data" / "preset.yaml"
CHAT = {"name": "chat", "architectures": ["Qwen2*"], "head": {"layers": ["score.0", "score.2"], "has_bias": True}}
# Named families, each spelled out.
SPELLED: dict[str, Any] = {
    "pqm": yaml.safe_load(FAMILY.read_text()),
    "qwen": CHAT | {"layout": {"kind": "marked_chat", "mark": "<extra_0>"}},
    "rlhflow": {
        "name": "said",
        "architectures": ["LlamaForCausalLM"],
        "layout": {"kind": "turns", "verdict": "+"},
        "head": {"layers": ["lm_head"], "tokens": ["-", "+"]},
    },
}


def recipe(**changes: Any) -> Recipe:
    value = {
        "name": "doors",
        "problems": {"source": "chains", "count": 2},
        "policy": {"engine": "fake"},
        "methods": [{"method": "best_of_n", "n": 2}],
        "budgets": [2],
    }
    return check_recipe(value | changes)


def prm(folder: Path, family: Any) -> TorchPrmConfig:
    config = recipe(prm={"engine": "torch", "model": str(folder), "family": family}).prm
    assert isinstance(config, TorchPrmConfig)
    return config


@pytest.mark.parametrize("name", SPELLED)
async def test_a_family_spelled_out_scores_as_the_named_one(name: str, tmp_path: Path) -> None:
    folder = build_prm(name, tmp_path)
    scores = []
    for family in (name, SPELLED[name]):
        engine = await open_prm(prm(folder, family))
        scores.append((await engine.score("What is 1 + 1?", ("1 + 1 = 2", "\\boxed{2}"), 0)).values)
        await engine.close()
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_its_content_is_in_the_key_and_its_file_is_not(tmp_path: Path) -> None:
    folder = build_prm("pqm", tmp_path / "model")
    elsewhere = tmp_path / "other.yaml"
    elsewhere.write_text(FAMILY.read_text())
    inline = identify(prm(folder, SPELLED["pqm"])).address
    assert identify(prm(folder, str(FAMILY))).address == identify(prm(folder, str(elsewhere))).address == inline
    elsewhere.write_text(FAMILY.read_text().replace('after_mark: "\\n"', 'after_mark: ""'))
    assert identify(prm(folder, str(elsewhere))).address != inline
    assert identify(prm(folder, "pqm")).address != inline


async def test_a_model_of_another_architecture_is_refused_by_the_familys_name(tmp_path: Path) -> None:
    folder = build_prm("qwen", tmp_path)
    with pytest.raises(EngineUnavailable, match="PRM family 'steps-prm' is a LlamaForCausalLM or LlamaModel"):
        await open_prm(prm(folder, str(FAMILY)))


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("nix", r"prm.family: 'nix' is unknown: name one of qwen, .*, orm"),
        ("nix.yaml", "there is no file nix.yaml"),
        (SPELLED["pqm"] | {"head": {"layers": []}}, "prm.family.head.layers: it is empty: give at least 1"),
        (SPELLED["pqm"] | {"layout": {"kind": "spoken"}}, "prm.family.layout.kind: 'spoken' is unknown"),
        (SPELLED["pqm"] | {"python": "os.system"}, "prm.family.python: unknown key"),
    ],
)
def test_a_mistake_in_a_family_is_told_by_its_key(family: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        prm(Path("model"), family)


def test_a_preset_lays_rows_out_and_columns_go_first(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = {"task": "1 + 1?", "solution": "Two: #### 2", "number": "a", "result": "3"}
    rows.write_text(json.dumps(row) + "\n")
    source = {"source": "file", "path": str(rows)}
    for preset in (str(PRESET), yaml.safe_load(PRESET.read_text())):
        (problem,) = load_problems(recipe(problems=source | {"preset": preset}).problems).problems
        assert (problem.question, problem.reference, problem.problem_id) == ("1 + 1?", "2", "a")
    over = source | {"preset": str(PRESET), "columns": {"reference": "result", "reference_after": None}}
    (problem,) = load_problems(recipe(problems=over).problems).problems
    assert (problem.question, problem.reference) == ("1 + 1?", "3")
    with pytest.raises(UserError, match="problems.preset.columns.task: unknown key"):
        recipe(problems=source | {"preset": {"columns": {"task": "task"}}})
    with pytest.raises(UserError, match="problems.preset: 'nix' is unknown: name one of math500"):
        recipe(problems=source | {"preset": "nix"})


def test_what_was_read_from_a_file_is_written_out_in_full(tmp_path: Path) -> None:
    found = recipe(prm={"engine": "torch", "model": str(tmp_path), "family": str(FAMILY)})
    again = Recipe.model_validate(json.loads(found.model_dump_json()))
    assert again == found and FAMILY.name not in found.model_dump_json()
