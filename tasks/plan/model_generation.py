"""`sampling.generation: model`: what a recipe does not say of drawing tokens is as the model's own files say."""

import json
from typing import Any

from pydantic import ValidationError

from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles, locate_model, locate_tokenizer
from overthink.tasks.errors import UserError
from overthink.tasks.pydantic_words import plain
from overthink.tasks.recipes.sampling_config import SamplingConfig

FILE = "generation_config.json"
TAKEN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def settled(sampling: SamplingConfig, policy: PolicyConfig) -> SamplingConfig:
    """The sampling with every number in it, so that keys hold numbers and not where they came from.

    Raises UserError where the model's files say nothing, or nothing that can be used.
    """
    if sampling.generation is None:
        return sampling
    said = {name: getattr(sampling, name) for name in sampling.model_fields_set - {"generation"}}
    try:
        return SamplingConfig.model_validate(_of_model(policy) | said)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(
            f"sampling.generation: {FILE} has {wrong['input']!r} for {wrong['loc'][0]} ({plain(wrong)}): name it in "
            "`sampling` yourself"
        ) from error


def taken(sampling: SamplingConfig, policy: PolicyConfig) -> str | None:
    """What came out of the model's files, for people; None where nothing was to."""
    if sampling.generation is None:
        return None
    found = {name: value for name, value in _of_model(policy).items() if name not in sampling.model_fields_set}
    numbers = ", ".join(f"{name} {value:g}" for name, value in found.items()) or "nothing that the recipe does not say"
    files = _files(policy)
    assert files is not None, "it was settled before"
    return f"sampling.generation: model took {numbers} from {files.name}/{FILE}"


def _of_model(policy: PolicyConfig) -> dict[str, Any]:
    files = _files(policy)
    if files is None:
        raise UserError(
            "sampling.generation: model reads the files of a vllm policy, or of the `tokenizer` of an openai policy: "
            f"name {', '.join(TAKEN)} in `sampling` instead"
        )
    path = files.folder / FILE
    try:
        said = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        said, reason = {}, f" ({error})"
    else:
        reason = ""
    found = {name: said[name] for name in TAKEN if said.get(name) is not None}
    if not found:
        raise UserError(
            f"sampling.generation: {path} says nothing about drawing tokens{reason}: name the numbers in `sampling` "
            "and leave `generation` out"
        )
    return found


def _files(policy: PolicyConfig) -> ModelFiles | None:
    if isinstance(policy, VllmPolicyConfig):
        return locate_model(policy)
    if isinstance(policy, OpenAIPolicyConfig) and policy.tokenizer is not None:
        return locate_tokenizer(policy.tokenizer)
    return None
