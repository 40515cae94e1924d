"""How sure a policy was: per token, and as the columns of rollouts and steps."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from overthink.tasks.analysis.confidence import bottom_groups, confidence_columns, group_means, lowest_group
from overthink.tasks.determinants import determinants
from overthink.tasks.engines.token_signals import token_signals
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.recipes.sampling_config import ConfidenceConfig, SamplingConfig
from overthink.tasks.records import Given, Sample, Sampling
from overthink.tasks.stages.rollout_signals import RolloutSignals

NUMBERS = st.lists(st.floats(0, 20), min_size=1, max_size=40)
WINDOWS = ConfidenceConfig(group=2, tail=2)


def test_the_confidence_of_a_token_is_the_mean_negative_log_probability_of_the_likeliest() -> None:
    confidences, entropies = token_signals(np.log([[0.5, 0.25], [0.98, 0.01]]))
    assert confidences == [1.03972, 2.31269]  # -(ln 0.5 + ln 0.25) / 2
    assert entropies == [0.636514, 0.0564652]  # of 2/3 and 1/3; of 98/99 and 1/99


def test_a_vocabulary_with_fewer_tokens_has_the_confidence_of_all_of_them() -> None:
    confidences, entropies = token_signals(np.array([[math.log(0.5), math.log(0.5), -math.inf]]))
    assert confidences == entropies == [0.693147]


def test_a_token_that_is_certain_has_no_entropy() -> None:
    assert token_signals(np.array([[0.0, -800.0]])) == ([400.0], [0.0])
    assert token_signals(np.empty((0, 20))) == ([], [])


def test_a_drawn_token_that_is_none_of_the_likeliest_does_not_count() -> None:
    flat = SimpleNamespace(logprobs=[-9.0, -0.5, -1.5, -0.25, -0.25, -2.25])
    completion = SimpleNamespace(token_ids=[7, 8], logprobs=flat, finish_reason="stop")
    asked = Write([1], Sampling(1.0, 1.0, 8, top_logprobs=2), [], seed=0)
    written = asked.answer(SimpleNamespace(outputs=[completion], num_cached_tokens=0))
    assert (written.logprobs, written.confidences) == ([-9.0, -0.25], [1.0, 1.25])


@given(numbers=NUMBERS, group=st.integers(1, 50), tail=st.integers(1, 50))
def test_groups_slide_over_all_tokens(numbers: list[float], group: int, tail: int) -> None:
    means = [np.mean(numbers[at : at + group]) for at in range(max(1, len(numbers) - group + 1))]
    found = group_means(np.array(numbers), group)
    assert found == pytest.approx(means, abs=1e-9)
    assert lowest_group(found) == pytest.approx(min(means), abs=1e-9)
    tenth = sorted(means)[: max(1, len(means) // 10)]
    assert bottom_groups(found) == pytest.approx(np.mean(tenth), abs=1e-9)
    columns = confidence_columns(np.array(numbers), group, tail)
    assert columns["confidence_tail"] == pytest.approx(np.mean(numbers[-tail:]), abs=1e-9)
    assert columns["confidence_mean"] == pytest.approx(np.mean(numbers), abs=1e-9)


def written(text: str, confidences: list[float], **changes: Any) -> Sample:
    """One token a character."""
    count = len(text)
    sample = Sample(text, tuple(range(count)), tuple(range(1, count + 1)), (-0.5,) * count, "stop", 0)
    return replace(sample, confidences=tuple(confidences), entropies=(0.25,) * count, **changes)


def test_a_rollout_has_the_signals_of_all_it_wrote_and_a_step_of_its_own_tokens() -> None:
    thought = written("hm", [1.0, 2.0], is_reasoning=True)
    begun = written("a", [4.0], stop_reason="delimiter", ended_by="\n\n")
    answer = written("b\n\ncd", [5.0, 5.0, 5.0, 6.0, 8.0])
    signals = RolloutSignals(WINDOWS)
    assert signals.of_rollout([thought, begun, answer]) == {
        "logprob_mean": -0.5,
        "entropy_mean": 0.25,
        "confidence_mean": pytest.approx(36 / 8),
        "confidence_tail": 7.0,
        "confidence_lowest": 1.5,
        "confidence_bottom": 1.5,
    }
    steps = signals.of_steps([begun, answer], "\n\n")
    assert [step["confidence_mean"] for step in steps] == [4.0, 5.0, 7.0]
    interrupted = signals.of_steps([begun, Given("Wait"), answer], "\n\n")
    assert interrupted == steps, "a text that was given has no signals, and belongs to a step that has"


def test_what_one_sample_does_not_tell_is_unknown_of_the_whole() -> None:
    known, old = written("ab", [1.0, 2.0]), replace(written("cd", [1.0, 2.0]), confidences=None)
    chat = Sample("ab", (), (), (), "stop", 0, shown=False)
    empty = Sample("", (), (), (), "length", 9)
    signals = RolloutSignals(WINDOWS)
    assert set(signals.of_rollout([known, old])) == {"logprob_mean", "entropy_mean"}
    assert signals.of_rollout([chat]) == {}
    assert signals.of_steps([chat], "\n\n") == [{}]
    assert signals.of_rollout([known, empty]) == signals.of_rollout([known])
    assert set(RolloutSignals(None).of_rollout([known])) == {"logprob_mean", "entropy_mean"}


def test_a_recipe_switches_it_off_or_sets_its_windows() -> None:
    assert SamplingConfig().drawing().top_logprobs == 20
    assert SamplingConfig(confidence=True) == SamplingConfig()
    assert SamplingConfig(confidence=False).drawing().top_logprobs == 0
    assert SamplingConfig.model_validate({"confidence": {"group": 16}}).confidence == ConfidenceConfig(group=16)
    for wrong in ("off", {"group": 0}, {"window": 3}):
        with pytest.raises(ValidationError):
            SamplingConfig.model_validate({"confidence": wrong})


def test_it_is_in_no_key_of_a_call_and_by_default_in_none_of_a_stage() -> None:
    assert Sampling(1.0, 1.0, 8, top_logprobs=20).identity == Sampling(1.0, 1.0, 8).identity
    assert "confidence" not in determinants(SamplingConfig())
    assert determinants(SamplingConfig(confidence=False))["confidence"] is False
