"""What several test files share: quiet Prefect on one server a session, and recipes on fake engines."""

import atexit
import fcntl
import os
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the machine's cores: threads that spin for one another's results would cost them most of it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts the tests in the background of a shell hands down that Ctrl-C be ignored, to every command too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# DuckDB's bindings print a page about reference counts when the interpreter ends; it says nothing about our tests.
atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)

import pytest

from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.vllm import messages as vllm_requests
from overthink.tasks.recipes.recipe import Recipe

if TYPE_CHECKING:
    from object_store import BucketView
    from preloaded import Preloaded

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


# Files whose tests use something that is costly to start and lives as long as a worker: one worker has them all.
TOGETHER = {
    "a Prefect server": (
        *("test_prefect_away", "test_deploying", "test_on_ray", "test_served_runs", "test_doctor", "test_stand_in"),
    ),
    "a process that has imported vLLM": (
        *("test_real_engines", "test_real_servers", "test_prm_families", "test_engine_contract", "test_prm_parity"),
        *("test_engine_failures",),
    ),
}
# The longest come first, so that no worker is left with one of them at the end.
SLOWEST = (
    "test_composed",
    *(name for names in TOGETHER.values() for name in names),
    *("test_over_postgres", "test_killed_commands", "test_killed_engine", "test_bucket_runs", "test_import_runs"),
    "test_every_domain",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, each as it was."""
    items.sort(key=lambda item: SLOWEST.index(item.path.stem) if item.path.stem in SLOWEST else len(SLOWEST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out whole files, or all files of a group, to the workers."""
    from xdist.scheduler import LoadFileScheduling

    group_of = {name: group for group, names in TOGETHER.items() for name in names}

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return group_of.get(Path(file).stem, file)

    return ByGroup(config, log)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """What stands in for a Prefect server, for all flows of the session; its address, for child processes."""
    from anyio.from_thread import start_blocking_portal
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    from overthink.flows.orchestration.stand_in import StandIn, served

    quiet = {PREFECT_LOGGING_TO_API_ENABLED: False}
    with (
        start_blocking_portal() as portal,
        served(StandIn(), portal) as address,
        temporary_settings({PREFECT_API_URL: address, **quiet}),
    ):
        yield address
        EventsWorker.drain_all(timeout=30)


@pytest.fixture(scope="session")
def real_prefect_server(prefect_server: str) -> Iterator[str]:
    """One temporary Prefect server for what asks it; its address."""
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}), prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def address(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes use the session's server instead of starting one each."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives the folder that a function fills, filled once a run of the tests for all its workers; read only."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        done = shared / name / "done"
        done.parent.mkdir(parents=True, exist_ok=True)
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                fill(done.parent)
                done.touch()
        return done.parent

    return folder


@pytest.fixture(scope="session")
def report_pages(prefect_server: str, made_once: Callable[..., Path]) -> Path:
    """A folder with a store of the runs `small` and `large`, the page of one (one.html) and of both (two.html)."""
    from report_runs import write_pages

    return made_once("report", write_pages)


@pytest.fixture(scope="session")
def site(made_once: Callable[..., Path]) -> Path:
    """The folder of the site of docs/."""
    from built_site import fill

    return made_once("built", fill) / "site"


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the fake engines were really asked."""
    counts = Counter(generate=0, score=0)

    def counted(kind: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            counts[kind] += 1
            return await method(*arguments)

        return call

    monkeypatch.setattr(FakePolicy, "generate", counted("generate", FakePolicy.generate))
    monkeypatch.setattr(FakePrm, "score", counted("score", FakePrm.score))
    return counts


@pytest.fixture
def whole(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The store that was never killed, of those that a file's `told` tells of (killed_runs.py)."""
    return told[0]


@pytest.fixture
def killed(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stores whose lives were killed."""
    return told[1:]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a model of a few weights."""
    from plans import build_model

    return build_model(tmp_path / "tiny")


@pytest.fixture(scope="session", params=["Qwen", "Llama-3"])
def prompts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PolicyPrompts:
    """The prompts of a small model of each family."""
    from step_writers import FAMILIES, prompts_of

    return prompts_of(FAMILIES[request.param](tmp_path_factory.mktemp("model")))


@pytest.fixture
def qwen(tmp_path: Path) -> PolicyPrompts:
    """The prompts of a small model like Qwen's."""
    from step_writers import like_qwen, prompts_of

    return prompts_of(like_qwen(tmp_path))


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters are plain namespaces here, so that vLLM itself need not be imported."""
    stand_in = SimpleNamespace(
        SamplingParams=SimpleNamespace,
        RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"),
    )
    monkeypatch.setattr(vllm_requests, "require", lambda *_: stand_in)


@pytest.fixture
def fake_recipe() -> dict[str, Any]:
    """A small recipe on fake engines, to be changed and validated."""
    return {
        "name": "fake",
        "problems": {"source": "chains", "count": 8},
        "policy": {"engine": "fake"},
        "prm": {"engine": "fake"},
        "methods": [{"method": "cot"}, {"method": "best_of_n", "n": 8}],
        "budgets": [1, 4, 8],
        "sampling": {"max_tokens": 256},
        "shard_size": 3,
    }


def recipe_of(value: dict[str, Any], **changes: Any) -> Recipe:
    """A validated recipe with top-level keys replaced."""
    return Recipe.model_validate(value | changes)


@pytest.fixture(scope="session")
def preloaded() -> "Iterator[Preloaded]":
    """A process that has imported vLLM."""
    from preloaded import Preloaded

    process = Preloaded()
    yield process
    process.end()


@pytest.fixture(scope="module")
def forked_engines(preloaded: "Preloaded") -> Iterator[None]:
    """vLLM's engines of a file are forked from a process that has imported it, which takes a quarter of the time."""
    with preloaded.used():
        yield


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A real S3 server that takes any key."""
    from object_store import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "BucketView":
    """An empty bucket, which this process reaches too."""
    from object_store import BucketView

    view = BucketView(s3_endpoint, f"bucket-{secrets.token_hex(8)}", tmp_path / "cache")
    view.objects.create()
    for name, value in view.environment().items():
        monkeypatch.setenv(name, value)
    return view
