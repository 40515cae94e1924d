"""The copies of one vLLM engine: the least busy one is asked, and where one cannot be loaded none stays."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from overthink.tasks.engines.engine_config import Placement, VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles, locate_model
from overthink.tasks.engines.vllm import copies as vllm_copies
from overthink.tasks.engines.vllm.copies import VllmCopies
from overthink.tasks.engines.vllm.cores import Seat
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.records import Sampling

CONFIG = VllmPolicyConfig(model="zoo/abacus-1m", max_model_len=64, placement=Placement(data_parallel=3))
ASKED = Write([1], Sampling(1.0, 1.0, 8), [], seed=0)


class Copy:
    """Stands in for a process: answers once it is released."""

    made: list["Copy"]
    broken: int | None

    def __init__(self) -> None:
        self.in_flight = 0
        self.closed = False
        self.released = asyncio.Event()

    @classmethod
    async def start(
        cls, settings: Mapping[str, Any], own_process: bool, environment: Mapping[str, str], seat: Seat | None
    ) -> "Copy":
        if len(cls.made) == cls.broken:
            raise EngineUnavailable("no memory is left")
        cls.made.append(cls())
        return cls.made[-1]

    async def submit(self, asked: Write) -> int:
        self.in_flight += 1
        await self.released.wait()
        self.in_flight -= 1
        return self.made.index(self)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Copy]:
    monkeypatch.setattr(Copy, "made", [], raising=False)
    monkeypatch.setattr(Copy, "broken", None, raising=False)
    monkeypatch.setattr(vllm_copies, "VllmProcess", Copy)
    monkeypatch.setattr(vllm_copies, "gpu_is_there", lambda: False)
    return Copy.made


@pytest.fixture
def model() -> ModelFiles:
    return locate_model(CONFIG)


async def test_requests_go_to_the_copy_with_the_fewest_in_flight(copies: list[Copy], model: ModelFiles) -> None:
    engine = await VllmCopies.start(CONFIG, model, {})
    first = [asyncio.ensure_future(engine.submit(ASKED)) for _ in range(6)]
    await asyncio.sleep(0)
    assert [copy.in_flight for copy in copies] == [2, 2, 2]
    copies[1].released.set()
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    assert await engine.submit(ASKED) == 1, "the copy that is free"
    for copy in copies:
        copy.released.set()
    assert sorted(await asyncio.gather(*first)) == [0, 0, 1, 1, 2, 2]
    await engine.close()
    assert [copy.closed for copy in copies] == [True] * 3


async def test_where_one_copy_cannot_be_loaded_the_others_are_closed(
    copies: list[Copy], model: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Copy, "broken", 2)
    with pytest.raises(EngineUnavailable, match="no memory is left"):
        await VllmCopies.start(CONFIG, model, {})
    assert [copy.closed for copy in copies] == [True, True]
