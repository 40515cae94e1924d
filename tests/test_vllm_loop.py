"""The loop beside a vLLM engine: what arrives between two steps, refusals, ends, and the words of a death."""

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest

from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.vllm import loop as vllm_loop
from overthink.tasks.engines.vllm.loop import Loaded, VllmLoop, main
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.records import Sampling

pytestmark = pytest.mark.usefixtures("without_vllm")
SAMPLING = Sampling(1.0, 1.0, 8)


class Engine:
    """Stands in for vLLM's engine: repeats each prompt, one request a step; refuses prompts of 9."""

    engine_core = SimpleNamespace(shutdown=lambda: None)
    vllm_config = SimpleNamespace(cache_config=SimpleNamespace(num_gpu_blocks=4, block_size=16))

    def __init__(self, death: Exception | None = None) -> None:
        self.death = death
        self.waiting: list[tuple[str, list[int]]] = []

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def add_request(self, name: str, prompt: dict[str, list[int]], _: Any, lora_request: None) -> None:
        if 9 in prompt["prompt_token_ids"]:
            raise ValueError("no nines")
        self.waiting.append((name, prompt["prompt_token_ids"]))

    def step(self) -> list[Any]:
        if self.death is not None:
            raise self.death
        if not self.waiting:
            return []
        name, ids = self.waiting.pop(0)
        completion = SimpleNamespace(token_ids=ids, finish_reason="stop", logprobs=None)
        return [SimpleNamespace(request_id=name, finished=True, outputs=[completion], num_cached_tokens=0)]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Connection]]:
    """Our end and the loop's."""
    monkeypatch.setattr(vllm_loop, "refusals", lambda: (ValueError,))
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()


def write(*ids: int) -> Write:
    return Write(list(ids), SAMPLING, [], seed=1)


def test_a_close_leaves_what_is_not_answered(pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    ours.send([(3, write(1, 2)), (4, write(9)), (5, write(7))])
    ours.send(None)
    engine = Engine()
    VllmLoop(Loaded(engine, None, None), theirs).run()
    assert ours.recv()[0][0] == 4, "a refusal waits for no step"
    assert len(engine.waiting) == 2


def test_answers_come_as_steps_end_them(pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    thread = threading.Thread(target=VllmLoop(Loaded(Engine(), None, None), theirs).run)
    thread.start()
    ours.send([(3, write(1, 2)), (4, write(9)), (5, write(7))])
    (refused,), (first,), (second,) = ours.recv(), ours.recv(), ours.recv()
    assert (refused[0], str(refused[1])) == (4, "no nines")
    assert first == (3, WrittenText([1, 2], [], "stop", 0))
    assert second == (5, WrittenText([7], [], "stop", 0))
    ours.send(None)
    thread.join(60)
    assert not thread.is_alive()


def start(monkeypatch: pytest.MonkeyPatch, ours: Connection, theirs: Connection, load: Any) -> threading.Thread:
    monkeypatch.setattr(vllm_loop, "load", load)
    ours.send(({"model": "m"}, False, None))
    thread = threading.Thread(target=main, args=[theirs])
    thread.start()
    return thread


# A broken pipe is vLLM's own there, and not to be taken for an asker who is gone.
@pytest.mark.parametrize("death", [RuntimeError("out of memory"), BrokenPipeError("to the core")])
def test_an_engine_that_dies_says_why(
    death: Exception, monkeypatch: pytest.MonkeyPatch, pipe: tuple[Connection, Connection]
) -> None:
    ours, theirs = pipe
    thread = start(monkeypatch, ours, theirs, lambda *_: Loaded(Engine(death), None, None))
    assert ours.recv() == 64
    ours.send([(1, write(1))])
    assert ours.recv() == f"{type(death).__name__}: {death}"
    thread.join(60)
    assert not thread.is_alive()


def test_a_loop_whose_asker_is_gone_ends(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[Connection, Connection], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pipe
    thread = start(monkeypatch, ours, theirs, lambda *_: Loaded(Engine(), None, None))
    assert ours.recv() == 64
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    assert caplog.messages == ["whoever asked is gone: the engine ends"]


def test_an_engine_whose_asker_went_while_it_loaded_is_shut_down(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[Connection, Connection], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pipe
    engine = Engine()
    ended: list[bool] = []
    monkeypatch.setattr(engine, "engine_core", SimpleNamespace(shutdown=lambda: ended.append(True)))

    def load(*_: Any) -> Any:
        ours.close()
        return Loaded(engine, None, None)

    monkeypatch.setattr(vllm_loop, "load", load)
    ours.send(({"model": "m"}, False, None))
    main(theirs)
    assert ended
    assert caplog.messages == ["whoever asked is gone: the engine ends"]


def test_whatever_loading_raises_names_the_model(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[Connection, Connection]
) -> None:
    def load(*_: Any) -> Any:
        raise MemoryError("2 GiB")

    ours, theirs = pipe
    thread = start(monkeypatch, ours, theirs, load)
    failure = ours.recv()
    assert isinstance(failure, EngineUnavailable)
    assert "vLLM cannot load m (MemoryError: 2 GiB)" in str(failure)
    thread.join(60)
