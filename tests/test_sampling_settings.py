"""The settings of how tokens are drawn: what a recipe may say, where they go, in which keys they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, policy_at, serving
from plans import build_model, plan
from pydantic import ValidationError

from overthink.storage.stage_kinds import StageKind
from overthink.tasks.determinants import determinants
from overthink.tasks.engines.engine_config import FakePolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.fakes.fake import loop_end, text_sample
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.errors import UserError
from overthink.tasks.plan.model_generation import settled, taken
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.sampling_config import SamplingConfig
from overthink.tasks.records import Sampling

QUESTION = "Take 20, plus 11. What is the result?"
FURTHER = {
    "top_k": 20,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.25,
}
DRAWN = Sampling(1.0, 1.0, 64, **FURTHER, ends=("boxed",), repetition=(16, 512, 4))  # type: ignore[arg-type]


def keys_of(**sampling: Any) -> list[str]:
    """The keys of the stages of cot and of best_of_n that a policy makes."""
    made = plan(methods=[{"method": "cot"}, {"method": "best_of_n", "n": 8}], sampling=sampling)
    return [node.key for node in made.nodes if node.kind is StageKind.SAMPLE]


def test_defaults_change_nothing_and_other_values_are_in_every_key_that_they_determine() -> None:
    cot, drawn = keys_of()
    assert keys_of(top_k=0, min_p=0.0, repetition_penalty=1.0, stop=[], repetition=None) == [cot, drawn]
    for name, value in {**FURTHER, "stop": "Question:", "repetition": True}.items():
        changed_cot, changed = keys_of(**{name: value})
        assert changed != drawn
        assert (changed_cot == cot) == (name in ("top_k", "min_p")), "greedy takes the likeliest of any choice"
    assert DRAWN.greedy.identity == Sampling(0.0, 1.0, 64).identity | {
        name: getattr(DRAWN, name)
        for name in ("repetition_penalty", "presence_penalty", "frequency_penalty", "ends", "repetition")
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": -1},
        {"min_p": 1.5},
        {"repetition_penalty": 0},
        {"stop": [""]},
        {"repetition": {"min_pattern": 1}},
        {"repetition": {"min_pattern": 64, "max_pattern": 32}},
        {"repetition": {"count": 1}},
        {"generation": "vllm"},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate(wrong)


def recipe(**changes: Any) -> Recipe:
    base = {
        "name": "trial",
        "problems": {"source": "chains", "count": 3},
        "policy": {"engine": "fake"},
        "prm": {"engine": "fake"},
        "methods": [{"method": "dvts", "n": 8}],
        "budgets": [8],
    }
    return Recipe.model_validate(base | changes)


def test_an_end_that_a_search_would_cut_apart_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"dvts-n8-m4 cuts at the step_delimiter, which sampling\.stop"):
        recipe(sampling={"stop": "\n\nQuestion:"})
    recipe(sampling={"stop": "\n\nQuestion:"}, methods=[{"method": "best_of_n", "n": 8}])


def test_loops_of_tokens_are_not_seen_by_chat() -> None:
    policy = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    with pytest.raises(ValidationError, match="repetition looks at tokens.*name its `tokenizer`"):
        recipe(policy=policy, sampling={"repetition": True}, methods=[{"method": "cot"}], budgets=[1], prm=None)


def test_a_string_that_ends_the_solution_is_no_delimiter() -> None:
    sampling = Sampling(1.0, 1.0, 64, stop=("\n\n",), ends=("END",))
    step = text_sample("a\n\nbEND", sampling, 0)
    last = text_sample("bENDc", sampling, 0)
    assert (step.text, step.stop_reason) == ("a", "delimiter")
    assert (last.text, last.stop_reason, len(last.tokens)) == ("b", "stop", 4)


def test_a_loop_ends_a_solution_after_its_last_round() -> None:
    assert loop_end("1234123412341234", (4, 8, 3)) == 12
    assert loop_end("12341234123", (4, 8, 3)) is None
    assert loop_end("aaaaaaaa", (4, 8, 3)) is None
    looped = text_sample("x" + "ab" * 9, Sampling(1.0, 1.0, 64, repetition=(2, 4, 3)), 0)
    assert (looped.text, looped.stop_reason) == ("xababab", "repetition")


@pytest.mark.engine
def test_vllm_is_told_all_of_it() -> None:
    parameters = Write([1], DRAWN, [], seed=3).parameters()
    assert {name: getattr(parameters, name) for name in FURTHER} == FURTHER
    loops = parameters.repetition_detection
    assert (loops.min_pattern_size, loops.max_pattern_size, loops.min_count) == (16, 512, 4)
    assert Write([1], Sampling(1.0, 1.0, 8), [], seed=3).parameters().repetition_detection is None


async def test_a_server_of_tokens_is_told_all_of_it_and_ends_are_ends() -> None:
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        sample = await policy.generate(QUESTION, (), DRAWN, seed=0)
        await policy.close()
    (body,) = server.bodies[-1:]
    assert {name: body[name] for name in FURTHER} == FURTHER
    assert body["repetition_detection"] == {"min_pattern_size": 16, "max_pattern_size": 512, "min_count": 4}
    assert (sample.text[-1], sample.stop_reason) == ("\\", "stop")


async def test_a_chat_is_told_what_is_not_as_it_is_anyway() -> None:
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server, tokenizer=None))
        await policy.generate(QUESTION, (), Sampling(0.7, 1.0, 64, min_p=0.1, ends=("END",)), seed=0)
        await policy.close()
    (body,) = server.bodies[-1:]
    assert (body["min_p"], body["stop"]) == (0.1, ["END"])
    assert not {"top_k", "repetition_penalty", "repetition_detection"} & set(body)


def with_generation(folder: Path, **said: Any) -> VllmPolicyConfig:
    build_model(folder)
    (folder / "generation_config.json").write_text(json.dumps(said))
    return VllmPolicyConfig(model=str(folder))


def test_what_the_recipe_does_not_say_is_as_the_model_says(tmp_path: Path) -> None:
    policy = with_generation(tmp_path / "model", temperature=0.6, top_p=0.95, top_k=20, eos_token_id=2)
    sampling = SamplingConfig.model_validate({"generation": "model", "top_p": 0.8, "max_tokens": 64})
    asked = SamplingConfig(temperature=0.6, top_p=0.8, top_k=20, max_tokens=64)
    assert settled(sampling, policy) == asked
    assert determinants(settled(sampling, policy)) == determinants(asked)
    assert taken(sampling, policy) == (
        "sampling.generation: model took temperature 0.6, top_k 20 from model/generation_config.json"
    )
    sent = SamplingConfig.model_validate_json(sampling.model_dump_json())
    assert settled(sent, policy) == asked, "also after a recipe has gone to a worker"
    assert (settled(asked, policy), taken(asked, policy)) == (asked, None)


def test_a_plan_holds_the_numbers(tmp_path: Path) -> None:
    policy = with_generation(tmp_path / "model", temperature=0.6)
    with_numbers = plan(policy=policy.model_dump(), sampling={"temperature": 0.6})
    from_model = plan(policy=policy.model_dump(), sampling={"generation": "model"})
    assert from_model.run_id == with_numbers.run_id
    assert from_model.recipe == with_numbers.recipe


@pytest.mark.parametrize(
    ("said", "message"),
    [({"eos_token_id": 2}, "says nothing about drawing tokens"), ({"top_p": 3.0}, "has 3.0 for top_p")],
)
def test_a_model_that_says_nothing_or_nonsense_is_told_with_the_remedy(
    said: dict[str, Any], message: str, tmp_path: Path
) -> None:
    policy = with_generation(tmp_path / "model", **said)
    with pytest.raises(UserError, match=f"{message}.*name"):
        settled(SamplingConfig(generation="model"), policy)


def test_without_the_models_files_nothing_can_be_taken() -> None:
    with pytest.raises(UserError, match="reads the files of a vllm policy.*name temperature, top_p"):
        settled(SamplingConfig(generation="model"), FakePolicyConfig())
