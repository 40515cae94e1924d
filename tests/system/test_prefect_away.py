"""A Prefect server that is away, at the start, in the middle or at the end: the run goes on, and the server is told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import recipe_of
from cut_line import Line
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from search_runs import rows
from strange_server import REPLIES, reply, strange_server

from benchmarks.kill import COUNTS
from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import relay
from overthink.flows.orchestration.flow_run_reports import FlowRunReport
from overthink.flows.orchestration.run_flow import run_flow, send_kept_reports
from overthink.storage.files import write_json
from overthink.storage.store import Store
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import EngineDied
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages import prefect_faults, progress_artifact
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.prefect_faults import is_away
from overthink.tasks.stages.runner import StageRunner
from overthink.tasks.stages.shards import ENGINE_TASK

COMMAND = Path(sys.executable).parent / "overthink"
ROLLOUTS = 8 * (8 + 1)  # of the recipe on fakes


@pytest.fixture
def line(real_prefect_server: str) -> Iterator[Line]:
    port = urlsplit(real_prefect_server).port
    assert port is not None
    line = Line(port)
    yield line
    line.cut()


@pytest.fixture(autouse=True)
def nobody_was_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test learnt of its server is forgotten, and no event waits for a line that was cut."""
    monkeypatch.setattr(progress_artifact, "_alone_until", 0.0)
    yield


@contextmanager
def asking_at(port: int) -> Iterator[None]:
    """Prefect's server is said to be at a port, and asked once."""
    settings = {PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(settings):
        yield


def asking(line: Line) -> AbstractContextManager[None]:
    """Prefect's server is at the other end of the line, and asked once."""
    return asking_at(line.port)


class Night:
    """A run into a store, and what was said on the way."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.store = Store(root)
        self.said: list[str] = []

    async def go(self) -> None:
        await run_flow(self.store, "night", lambda: evaluate(self.recipe, self.store.root), self.said.append)

    @property
    def kept(self) -> list[Any]:
        return [json.loads(path.read_text()) for path in self.store.root.glob("runs/*/untold-*.json")]

    def is_whole(self) -> bool:
        (found,) = rows(self.store.root, COUNTS)
        return found["rollouts"] == found["different"] == ROLLOUTS and found["calls"] == found["different_calls"]


@pytest.fixture
def night(fake_recipe: dict[str, Any], tmp_path: Path) -> Night:
    """Each test's run has a name of its own on the session's server."""
    return Night(recipe_of(fake_recipe, name=f"away-{tmp_path.name}"), tmp_path / "store")


async def known(name: str) -> list[FlowRun]:
    """The flow runs of a recipe that the server knows."""
    async with get_client() as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[f"evaluate {name}"]))
        return await client.read_flow_runs(flow_run_filter=named)


def state_of(run: FlowRun) -> tuple[str, str]:
    assert run.state is not None
    return run.state.name or "", run.state.message or ""


def before(monkeypatch: pytest.MonkeyPatch, kind: str, act: Callable[[], None]) -> None:
    """Do something each time before a stage of the run."""
    make = StageRunner.make

    async def acting(self: StageRunner, node: StageNode) -> None:
        if node.kind == kind:
            act()
        await make(self, node)

    monkeypatch.setattr(StageRunner, "make", acting)


async def test_a_server_that_is_down_from_start_to_end_is_told_by_the_next_run(night: Night, line: Line) -> None:
    with asking(line):
        await night.go()
    assert night.is_whole()
    first, last = night.said
    assert "does not answer (ConnectError). The run goes on without it" in first
    assert "has not heard that the run is Completed" in last
    assert await known(night.recipe.name) == []
    assert [report["state"] for report in night.kept] == ["Completed"]
    line.mend()
    with asking(line):
        await send_kept_reports(night.store, night.said.append)
    (run,) = await known(night.recipe.name)
    assert state_of(run)[0] == "Completed"
    assert run.parameters["recipe"]["name"] == night.recipe.name
    assert night.kept == []


async def test_a_server_that_comes_up_in_the_middle_is_told_in_the_middle(
    night: Night, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "TRIED_EVERY", 0.05)
    seen: list[tuple[str, str]] = []
    make = StageRunner.make

    async def wait_until_told(self: StageRunner, node: StageNode) -> None:
        if node.kind == "score" and not seen:
            line.mend()
            while len(night.said) < 2:
                await asyncio.sleep(0.05)
            seen.extend(map(state_of, await known(night.recipe.name)))
        await make(self, node)

    monkeypatch.setattr(StageRunner, "make", wait_until_told)
    with asking(line):
        await night.go()
    assert "is back, and has been told: Running" in night.said[1]
    assert [name for name, _ in seen] == ["Running"]
    assert [state_of(run)[0] for run in await known(night.recipe.name)] == ["Completed"]
    assert night.is_whole() and night.kept == [] and len(night.said) == 2


async def test_a_server_that_goes_in_the_middle_and_comes_back_knows_the_end(
    night: Night, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, "score", line.cut)
    before(monkeypatch, "select", lambda: None if line._listener else line.mend())
    line.mend()
    with asking(line):
        await night.go()
    assert [state_of(run)[0] for run in await known(night.recipe.name)] == ["Completed"]
    assert night.is_whole() and night.kept == []


async def test_a_server_that_is_down_at_the_end_is_told_by_the_next_run(
    night: Night, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.mend()
    with monkeypatch.context() as cutting, asking(line):
        before(cutting, "select", line.cut)
        await night.go()
    assert night.is_whole() and len(night.said) == 2
    assert [state_of(run)[0] for run in await known(night.recipe.name)] == ["Running"]
    line.mend()
    with asking(line):
        await night.go()  # a finished run, run again
    assert sorted(state_of(run)[0] for run in await known(night.recipe.name)) == ["Completed", "Completed"]
    assert night.kept == []


async def test_what_stops_a_run_is_told_as_itself_here_and_later_there(
    night: Night, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> Any:
        line.cut()
        raise EngineDied("out of memory")

    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])
    monkeypatch.setattr(FakePolicy, "generate", die)
    line.mend()
    with asking(line), pytest.raises(EngineDied, match="out of memory"):
        await night.go()
    (run,) = await known(night.recipe.name)
    assert state_of(run)[0] == "Running"
    line.mend()
    with asking(line):
        await send_kept_reports(night.store, night.said.append)
    (run,) = await known(night.recipe.name)
    assert state_of(run)[0] == "Failed" and "out of memory" in state_of(run)[1]


async def test_a_server_that_never_answers_holds_no_artifact_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_artifact, "SECONDS_TO_LISTEN", 0.01)
    asked = []

    async def never() -> None:
        asked.append(1)
        await asyncio.sleep(3600)

    assert [await progress_artifact.shown(never()) for _ in range(3)] == [None] * 3
    assert len(asked) == 1, "it is left alone for a while"


async def test_a_note_that_cannot_be_read_or_is_for_another_server_stops_nothing(night: Night, line: Line) -> None:
    folder = night.store.run_folder("old")
    folder.mkdir(parents=True)
    (folder / "untold-torn.json").write_text('{"api": ')
    other = FlowRunReport(api="http://elsewhere/api", flow="evaluate", name="x", parameters={}, flow_run_id=None)
    write_json(folder / "untold-other.json", other.model_dump(mode="json"))
    line.mend()
    with asking(line):
        await night.go()
    assert len(list(folder.glob("untold-*"))) == 2
    assert night.is_whole()


async def test_a_server_whose_database_was_lost_is_told_anew(night: Night, line: Line) -> None:
    line.mend()
    with asking(line):
        report = FlowRunReport(
            api=f"http://127.0.0.1:{line.port}/api",
            flow="evaluate",
            name=f"evaluate {night.recipe.name}",
            parameters={},
            flow_run_id="11111111-2222-3333-4444-555555555555",  # type: ignore[arg-type]
            type=StateType.COMPLETED,
            state="Completed",
        )
        write_json(night.store.run_folder("old") / "untold-1.json", report.model_dump(mode="json"))
        await send_kept_reports(night.store, night.said.append)
    assert [state_of(run)[0] for run in await known(night.recipe.name)] == ["Completed"]
    assert night.kept == []


@pytest.mark.parametrize("answer", REPLIES)
async def test_what_answers_and_is_not_prefect_is_away(
    night: Night, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_faults, "SECONDS_TO_ANSWER", 1.0)
    with strange_server(REPLIES[answer]) as port, asking_at(port):
        await night.go()
    assert night.is_whole()
    first, last = night.said
    assert f"http://127.0.0.1:{port}/api does not answer (" in first and "The run goes on without it" in first
    assert "has not heard that the run is Completed" in last
    assert [report["state"] for report in night.kept] == ["Completed"]


@pytest.mark.parametrize("address", ["https://127.0.0.1:{}/api", "nonsense"])
async def test_an_address_at_which_nothing_can_be_asked_is_away(night: Night, address: str) -> None:
    with strange_server(REPLIES["garbage"]) as port, temporary_settings({PREFECT_API_URL: address.format(port)}):
        await night.go()
    assert night.is_whole() and "does not answer" in night.said[0]


@pytest.mark.parametrize("answer", ["a page", "not found", "another API"])
async def test_a_note_is_kept_where_another_has_the_address(night: Night, answer: str) -> None:
    with strange_server(REPLIES[answer]) as port, asking_at(port):
        report = FlowRunReport(
            api=f"http://127.0.0.1:{port}/api", flow="evaluate", name="x", parameters={}, flow_run_id=None
        )
        write_json(night.store.run_folder("old") / "untold-1.json", report.model_dump(mode="json"))
        await send_kept_reports(night.store, night.said.append)
    assert len(night.kept) == 1


@pytest.mark.parametrize("answer", ["a page", "another API", "not found"])
async def test_another_that_takes_the_address_in_the_middle_stops_nothing(
    night: Night, answer: str, monkeypatch: pytest.MonkeyPatch, real_prefect_server: str
) -> None:
    """As where a proxy loses the server behind it."""
    with strange_server(REPLIES[answer]) as strange:
        line = Line(urlsplit(real_prefect_server).port or 0)
        line.mend()

        def lose() -> None:
            line.cut()
            line._server = ("127.0.0.1", strange)
            line.mend()

        with monkeypatch.context() as losing, asking(line):
            before(losing, "score", lose)
            await night.go()
        line.cut()
    assert night.is_whole() and [report["state"] for report in night.kept] == ["Completed"]


async def test_a_server_of_another_version_is_no_server_that_is_away(night: Night) -> None:
    with (
        strange_server(reply(200, "application/json", b'"2.20.1"')) as port,
        asking_at(port),
        pytest.raises(RuntimeError, match="incompatible versions"),
    ):
        await night.go()


@pytest.mark.parametrize(
    ("status", "away"), [(400, False), (404, False), (422, False), (429, True), (500, True), (503, True)]
)
def test_a_refusal_is_an_answer_and_a_broken_server_is_none(status: int, away: bool) -> None:
    reply = httpx.Response(status, request=httpx.Request("POST", "http://server/api"))
    assert is_away(httpx.HTTPStatusError("no", request=reply.request, response=reply)) == away
    assert is_away(httpx.ConnectError("refused"))


def overthink(line: Line, *words: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PREFECT_API_URL": f"http://127.0.0.1:{line.port}/api"}
    return subprocess.Popen(
        [COMMAND, *map(str, words)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_the_command_says_it_once_ends_well_and_tells_when_run_again(line: Line, tmp_path: Path) -> None:
    words = ("run", "smoke", "--set", f"name=command-{tmp_path.name}", "--store", tmp_path / "store")
    life = overthink(line, *words)
    told, _ = life.communicate(timeout=300)
    assert life.returncode == 0, told
    assert told.count("does not answer") == 1 and "oracle" in told
    line.mend()
    again = overthink(line, *words)
    told, _ = again.communicate(timeout=300)
    assert again.returncode == 0 and "does not answer" not in told
    assert [state_of(run)[0] for run in asyncio.run(known(f"command-{tmp_path.name}"))] == ["Completed"]


def test_a_run_that_is_stopped_while_the_server_is_away_is_told_as_crashed(line: Line, tmp_path: Path) -> None:
    name = f"stopped-{tmp_path.name}"
    words = ["run", "smoke", "--set", f"name={name}", "--store", tmp_path / "store"]
    slow = overthink(line, *words, "--set", "policy.latency_ms=300000")
    while not list(tmp_path.glob("store/stages/*/journals/*.sqlite")) and slow.poll() is None:
        time.sleep(0.2)
    slow.send_signal(signal.SIGTERM)
    told, _ = slow.communicate(timeout=300)
    assert slow.returncode == 143, told
    line.mend()
    quick = overthink(line, *words)
    told, _ = quick.communicate(timeout=300)
    assert quick.returncode == 0, told
    assert sorted(state_of(run)[0] for run in asyncio.run(known(name))) == ["Completed", "Crashed"]


@pytest.mark.usefixtures("real_prefect_server")
async def test_a_note_that_cannot_be_read_is_named_and_stops_nothing(night: Night) -> None:
    torn = night.store.run_folder("night") / "untold-1.json"
    torn.parent.mkdir(parents=True)
    torn.write_text("{", encoding="utf-8")
    await send_kept_reports(night.store, night.said.append)
    assert len(night.said) == 1
    assert str(torn) in night.said[0] and "delete it" in night.said[0]
    assert torn.exists(), "what it says may be of use to somebody"
