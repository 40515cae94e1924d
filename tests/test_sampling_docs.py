"""docs/sampling.md tells the truth: its recipes are valid, and it names every key, column and refused minimum."""

import re
from pathlib import Path
from typing import Any

import yaml
from plans import BASE
from test_readme import blocks, commands, help_of

from overthink.storage.schemas import SCHEMAS
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.vllm.engine_args import SAME_OUTPUTS
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.recipes.sampling_config import RepetitionConfig, SamplingConfig

PAGE = (Path(__file__).parents[1] / "docs" / "sampling.md").read_text(encoding="utf-8")


def test_its_recipes_are_valid_and_show_every_key() -> None:
    shown: list[dict[str, Any]] = [yaml.safe_load(block) for block in blocks("yaml", PAGE)]
    recipes = [check_recipe(BASE | one) for one in shown]
    said = {name for one in shown for name in one.get("sampling", {})}
    assert said == set(SamplingConfig.model_fields)
    (engine,) = [recipe.policy for recipe in recipes if isinstance(recipe.policy, VllmPolicyConfig)]
    assert engine.lora is not None
    assert {"quantization", "max_num_batched_tokens"} < set(engine.engine_args)


def test_the_defaults_it_tells_are_the_defaults() -> None:
    plain = SamplingConfig()
    for name, told in re.findall(r"^  (\w+): .*?# ([\d.]+)(?:$|:)", PAGE, re.MULTILINE):
        assert getattr(plain, name) == float(told), name
    first = yaml.safe_load(blocks("yaml", PAGE)[0])["sampling"]
    for name in (
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "max_tokens",
        "step_delimiter",
    ):
        assert getattr(plain, name) == first[name], name
    assert RepetitionConfig.model_validate(first["repetition"]) == RepetitionConfig()
    assert SamplingConfig.model_validate({"confidence": first["confidence"]}) == plain
    assert f"shorter than {RepetitionConfig.model_fields['min_pattern'].metadata[0].ge} tokens" in PAGE


def test_it_has_every_column_of_confidence_and_only_real_names() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert told < set(SCHEMAS["rollouts"].names)
    assert {name for name in SCHEMAS["steps"].names if "confidence" in name or "entropy" in name} < told
    line = re.search(r"is in no key: (.*?) and their like", PAGE, re.DOTALL)
    assert line is not None
    assert set(re.findall(r"`(\w+)`", line[1])) < SAME_OUTPUTS


def test_its_commands_exist() -> None:
    for words in commands(PAGE):
        assert words[0] == "overthink"
        assert all(option in help_of(words[1]) for option in words if option.startswith("--"))
