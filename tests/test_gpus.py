"""Which GPUs a stage takes, and that policy and PRM of a search, loaded at once, fit on those they share."""

from pathlib import Path
from typing import Any, get_args

import pytest
from plans import DVTS, plan

import overthink.tasks.plan.gpus
from overthink.storage.stage_kinds import ENGINES_OF, Role, StageKind
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.plan.checks import check_devices
from overthink.tasks.plan.gpus import gpus_taken
from overthink.tasks.plan.run_plan import Plan


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overthink.tasks.plan.gpus, "gpu_is_there", lambda: True)
    monkeypatch.setattr(overthink.tasks.plan.gpus, "gpu_count", lambda: 4)


def on_gpus(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], engine: str = "vllm", method: dict[str, Any] = DVTS
) -> Plan:
    return plan(
        policy={"engine": "vllm", "model": str(model), "placement": policy},
        prm={"engine": engine, "model": str(model), "placement": prm},
        methods=[{"method": "best_of_n", "n": 8}, method],
    )


@pytest.mark.parametrize(
    ("policy", "prm", "together", "gpu"),
    [
        ({}, {}, "1.8", 0),
        ({"gpu_memory": 0.6}, {"gpu_memory": 0.5}, "1.1", 0),
        ({"gpus": [0]}, {}, "1.8", 0),
        ({}, {"gpus": [0]}, "1.8", 0),
        ({"gpus": [1, 2], "data_parallel": 2}, {"gpus": [2, 3], "tensor_parallel": 2}, "1.8", 2),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "torch"])
@pytest.mark.usefixtures("with_gpu")
def test_a_search_whose_models_do_not_fit_on_one_gpu_together_is_refused_with_the_remedy(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], together: str, gpu: int, engine: str
) -> None:
    expected = (
        rf"dvts-n8-m4 has policy and prm loaded at once, and together they ask for {together} of the memory of GPU "
        rf"{gpu}: lower placement.gpu_memory, or give each its own placement.gpus"
    )
    with pytest.raises(EngineUnavailable, match=expected):
        check_devices(on_gpus(model, policy, prm, engine))


@pytest.mark.parametrize(
    ("policy", "prm"),
    [
        ({"gpu_memory": 0.3}, {"gpu_memory": 0.7}),
        ({"gpus": [0]}, {"gpus": [1]}),
        ({"gpus": [1]}, {}),
        ({"gpus": [0, 1], "tensor_parallel": 2}, {"gpus": [2]}),
    ],
)
@pytest.mark.usefixtures("with_gpu")
def test_models_that_fit_together_or_have_gpus_of_their_own_are_accepted(
    model: Path, policy: dict[str, Any], prm: dict[str, Any]
) -> None:
    check_devices(on_gpus(model, policy, prm))


@pytest.mark.usefixtures("with_gpu")
def test_without_a_search_the_models_are_loaded_in_turn_and_may_have_all(model: Path) -> None:
    check_devices(on_gpus(model, {}, {}, method={"method": "adaptive", "n": 8}))


@pytest.mark.usefixtures("with_gpu")
def test_a_fake_takes_no_memory(model: Path) -> None:
    check_devices(plan(policy={"engine": "vllm", "model": str(model)}, methods=[DVTS]))
    check_devices(plan(prm={"engine": "vllm", "model": str(model)}, methods=[DVTS]))


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overthink.tasks.plan.gpus, "gpu_is_there", lambda: False)
    monkeypatch.setattr(overthink.tasks.plan.gpus, "gpu_count", lambda: 0)


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize(
    ("policy", "prm", "message"),
    [
        ({"gpus": [4]}, {}, r"policy\.placement: gpus takes GPU 4, and this machine has 4, from 0 to 3"),
        ({}, {"gpus": [2, 7], "data_parallel": 2}, r"prm\.placement: gpus takes GPU 7"),
        ({"tensor_parallel": 8}, {}, r"policy\.placement: tensor_parallel × data_parallel takes GPU 4"),
    ],
)
def test_gpus_that_are_not_there_are_told(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        check_devices(on_gpus(model, policy, prm))


@pytest.mark.usefixtures("without_gpu")
def test_an_engine_that_was_told_its_gpu_does_not_run_on_the_cpu(model: Path) -> None:
    message = r"prm\.placement\.gpus names GPU 1, and this machine has none.*leave gpus out to run .* on the CPU"
    for engine in ("vllm", "torch"):
        with pytest.raises(EngineUnavailable, match=message):
            check_devices(on_gpus(model, {}, {"gpus": [1]}, engine))


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_nothing_is_shared(model: Path) -> None:
    check_devices(on_gpus(model, {}, {}))


@pytest.mark.usefixtures("with_gpu")
def test_a_model_over_two_gpus_without_ids_takes_the_first_two(model: Path) -> None:
    with pytest.raises(EngineUnavailable, match="GPU 1"):
        check_devices(on_gpus(model, {"tensor_parallel": 2}, {"gpus": [1]}))


@pytest.mark.parametrize(
    ("policy", "prm", "taken"),
    [
        ({}, {}, {"sample": 1, "score": 1, "search": 1}),
        ({"gpus": [0]}, {"gpus": [1]}, {"sample": 1, "score": 1, "search": 2}),
        ({"tensor_parallel": 2, "data_parallel": 2}, {"gpus": [3]}, {"sample": 4, "score": 1, "search": 4}),
    ],
)
@pytest.mark.usefixtures("with_gpu")
def test_a_stage_takes_the_gpus_of_its_engines_each_once(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], taken: dict[str, int]
) -> None:
    recipe = on_gpus(model, policy, prm).recipe
    assert {stage: gpus_taken(recipe, ENGINES_OF[StageKind(stage)]) for stage in taken} == taken


@pytest.mark.usefixtures("with_gpu")
def test_of_stages_without_engines_nothing_is_said(model: Path) -> None:
    uses = {use.kind: use.gpus for use in on_gpus(model, {}, {}).uses()}
    assert [uses[kind] for kind in (StageKind.PROBLEMS, StageKind.GRADE, StageKind.SELECT)] == [None] * 3


@pytest.mark.usefixtures("with_gpu")
def test_a_fake_takes_no_gpu_and_a_sandbox_is_none_that_could() -> None:
    taken = {role: gpus_taken(plan().recipe, [role]) for role in get_args(Role)}
    assert taken == {"policy": 0, "prm": 0, "sandbox": None}


def test_on_a_cpu_no_gpu_is_taken(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overthink.tasks.plan.gpus, "gpu_is_there", lambda: False)
    assert gpus_taken(on_gpus(model, {}, {}).recipe, ["policy", "prm"]) == 0
