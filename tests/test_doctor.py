"""`overthink doctor`: what is found, where, and what to do about it."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from model_server import ModelServer, policy_at, prm_at, serving
from storage_samples import run_named, write_rollouts
from strange_server import REPLIES, strange_server
from test_garbage import NEEDED, SHARED, uses, write_problems
from typer.testing import CliRunner

from overthink.flows.commands import doctor_findings as health
from overthink.flows.commands import seed_findings
from overthink.flows.commands.cli import app
from overthink.flows.commands.lease_findings import lease_findings
from overthink.storage.integrity import Finding, network_file_system, store_findings
from overthink.storage.leases import ShardLease
from overthink.storage.manifest import Extent
from overthink.storage.stages import Shard
from overthink.storage.store import StageUse, Store
from overthink.tasks.engines import engine_health as engines
from overthink.tasks.engines.engine_config import FakePolicyConfig
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.records import Part, Sample, Sampling


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.write_run(run_named("first-1", *uses(SHARED)))
    write_rollouts(store.stage(SHARED), "ab", 0, 2)
    write_problems(store)
    return store


def broken(store: Store) -> list[Finding]:
    return [finding for finding in store_findings(store) if finding.level == "broken"]


def test_a_whole_store_is_one_line(store: Store) -> None:
    (finding,) = store_findings(store)
    assert (finding.level, finding.what) == ("ok", "1 run, 2 stages, 2 parts: every byte is as it was written")


def test_a_flipped_byte_is_found_with_place_and_run(store: Store) -> None:
    (path,) = store.stage(SHARED).files("rollouts")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (finding,) = broken(store)
    assert finding.place == str(store.stage(SHARED).parts_folder)
    assert finding.what == f"{path.name} has other bytes than were written"
    assert finding.remedy == "run its recipe again, which rebuilds it (first-1)"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda store: next(iter(store.stage(SHARED).files("rollouts"))).unlink(), "is missing"),
        (lambda store: next(store.stage(SHARED).manifest_folder.iterdir()).write_text("{"), "is not whole JSON"),
        (
            lambda store: next(store.stage(SHARED).manifest_folder.iterdir()).unlink(),
            "but parts are missing",
        ),
        (lambda store: (store.run_folder("first-1") / "run.json").write_text("[]"), "is not a run's manifest"),
    ],
    ids=["part", "torn entry", "entry", "run"],
)
def test_each_damage_is_found_once_with_its_remedy(store: Store, damage: Any, what: str) -> None:
    damage(store)
    (finding,) = broken(store)
    assert what in finding.what and finding.remedy


def test_a_stage_that_a_run_counts_on_and_is_gone_is_found(store: Store) -> None:
    store.write_run(run_named("second-2", *uses(SHARED, NEEDED)))
    (finding,) = broken(store)
    assert finding.place == str(store.stage(NEEDED).folder)
    assert "run second-2 is complete, but parts are missing" in finding.what
    store.write_run(run_named("second-2", *uses(SHARED, NEEDED), status="running"))
    assert broken(store) == [], "a run that is not complete may still lack parts"


def test_a_trained_model_that_is_gone_is_found(store: Store) -> None:
    write_rollouts(store.stage("label-1"), "ab", 0, 1)
    store.write_run(run_named("prm-1", *uses(SHARED), StageUse("label", "label-1", "best_of_n-n2", 8)))
    (finding,) = broken(store)
    assert "the model that run prm-1 trained is missing" in finding.what
    store.model_folder("prm-1").mkdir(parents=True)
    assert broken(store) == []


def test_garbage_is_a_warning(store: Store) -> None:
    (store.stage(SHARED).parts_folder / "orphan.parquet").write_bytes(b"1234")
    _, finding = store_findings(store)
    assert (finding.level, finding.what) == ("warning", "4 bytes that no run refers to")


def test_network_file_systems_are_told_from_local_ones() -> None:
    mounts = "/dev/sda1 / ext4 rw 0 0\nserver:/x /mnt/shared nfs4 rw 0 0\ntmpfs /mnt/shared/fast tmpfs rw 0 0\n"
    assert network_file_system(Path("/mnt/shared/store"), mounts) == "nfs4"
    assert network_file_system(Path("/mnt/shared/fast/store"), mounts) is None
    assert network_file_system(Path("/mnt/sharedstore"), mounts) is None
    assert network_file_system(Path("/home"), "") is None


def test_packages_that_are_missing_or_too_old_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "absent":
            raise PackageNotFoundError(name)
        return "1.5"

    monkeypatch.setattr(health, "version", version)
    asked = ["absent>=1", "old>=2.0", "fine>=1", "extra>=9; extra == 'gpu'"]
    found = [(finding.level, finding.place, finding.remedy) for finding in health._unmet(asked)]
    assert found == [
        ("broken", "absent", "pip install 'absent>=1'"),
        ("broken", "old", "pip install 'old>=2.0'"),
    ]


def test_an_engine_that_is_not_installed_is_a_warning_and_one_that_is_torn_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def require(package: str, remedy: str) -> Any:
        if package == "vllm":
            raise EngineUnavailable("no module")
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(engines, "require", require)
    vllm, torch = engines.engine_findings()
    assert vllm.level == "warning" and "pip install '.[gpu]'" in vllm.remedy
    assert torch.level == "broken" and "RuntimeError: operator torchvision::nms does not exist" in torch.what


def test_gpus_are_told_with_memory_and_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        mem_get_info=lambda number: (60 * engines.GIB, 80 * engines.GIB),
        get_device_name=lambda number: "Large GPU",
    )
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="13.0"), __version__="2.13")
    monkeypatch.setattr(engines, "require", lambda *_: torch)
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 2\nGCC version: 12\n")
    monkeypatch.setattr(engines, "DRIVER", driver)
    (finding,) = engines.gpu_findings()
    assert finding.what == "Large GPU, 60.0 of 80.0 GiB free, CUDA 13.0, driver 570.86.15"
    cuda.is_available = lambda: False
    (finding,) = engines.gpu_findings()
    assert finding.level == "warning" and "torch 2.13 cannot use it" in finding.what
    driver.unlink()
    assert next(iter(engines.gpu_findings())).level == "ok"


def test_a_prefect_server_is_asked_where_one_is_named(real_prefect_server: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    def told(**settings: Any) -> Finding:
        with temporary_settings(**settings):
            (finding,) = health._prefect()
        return finding

    assert told().level == "ok" and real_prefect_server in told().what
    assert "need no server" in told(restore_defaults={PREFECT_API_URL}).what
    gone = told(updates={PREFECT_API_URL: "http://127.0.0.1:9/api"})
    assert gone.level == "broken" and "does not answer" in gone.what
    for answer in ("a page", "not found", "another API", "a word"):
        with strange_server(REPLIES[answer]) as port:
            other = told(updates={PREFECT_API_URL: f"http://127.0.0.1:{port}"})
        assert other.level == "broken" and "does not answer" in other.what


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the engines, whose packages take long to import."""
    for name in ("engine_findings", "gpu_findings", "_prefect"):
        monkeypatch.setattr(health, name, lambda: iter(()))
    yield


@pytest.mark.usefixtures("quick")
def test_the_command_exits_with_1_where_something_is_broken(store: Store) -> None:
    def told() -> tuple[int, str]:
        result = CliRunner().invoke(app, ["doctor", "--store", str(store.root)])
        return result.exit_code, result.output

    code, output = told()
    assert code == 0 and "every byte is as it was written" in output and "GiB free" in output and " sandbox: " in output
    (path,) = store.stage(SHARED).files("rollouts")
    path.write_bytes(b"")
    code, output = told()
    assert code == 1 and "broken" in output


@pytest.mark.usefixtures("quick")
async def test_endpoints_of_a_recipe_are_asked_for_their_models(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_KEY", "sk-secret")
    up, down, other = ModelServer(), ModelServer(), ModelServer()
    policy = policy_at(up, down, api_key_env="SERVED_KEY").model_dump(mode="json")
    prm = prm_at(other, model="another").model_dump(mode="json")
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(fake_recipe | {"policy": policy, "prm": prm}))
    async with serving(up, other):
        words = ["doctor", "--recipe", str(path), "--endpoint", other.url]
        told = await asyncio.to_thread(CliRunner().invoke, app, words)
    lines = [line for line in told.output.splitlines() if "endpoint" in line]
    assert told.exit_code == 1 and "sk-secret" not in told.output
    assert [line.split()[0] for line in lines] == ["ok", "broken", "broken", "ok"]
    assert f"endpoint {up.url}: serves served (512 tokens)" in lines[0]
    assert f"endpoint {down.url}: does not answer" in lines[1] and "start the server" in lines[1]
    assert "serves served (512 tokens), not another: mend `model` or `endpoints`" in lines[2]
    assert f"endpoint {other.url}: serves served" in lines[3]


@pytest.mark.usefixtures("quick")
def test_an_endpoint_without_its_key_and_a_url_that_is_none_are_told(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVED_KEY", raising=False)
    policy = policy_at(ModelServer(), api_key_env="SERVED_KEY").model_dump(mode="json")
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(fake_recipe | {"policy": policy}))
    told = CliRunner().invoke(app, ["doctor", "--recipe", str(path)])
    assert told.exit_code == 1 and "SERVED_KEY holds no key: set it" in told.output
    told = CliRunner().invoke(app, ["doctor", "--endpoint", "not-a-url"])
    assert told.exit_code == 2 and "an endpoint is an http or https URL" in told.output


def test_a_store_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path / "nowhere")])
    assert result.exit_code == 2 and "there is no store" in result.output


class Forgetful(FakePolicy):
    """Writes something else where others ask too, or, without a memory for seeds, each time."""

    def __init__(self, always: bool) -> None:
        super().__init__(FakePolicyConfig())
        self.always, self.asked, self.asking = always, 0, 0

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        self.asking += 1
        self.asked += 1
        await asyncio.sleep(0)
        other = self.asked if self.always or self.asking > 1 else 0
        sample = await super().generate(f"{question}{other or ''}", path, sampling, seed)
        self.asking -= 1
        return sample


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (FakePolicy(FakePolicyConfig()), "ok      seeds of fake: the same seed wrote the same in 4 of 4, also among"),
        (Forgetful(False), "warning seeds of fake: the same seed wrote the same in 4 of 4 alone, and in 0 of 4 among"),
        (Forgetful(True), "warning seeds of fake: the same seed wrote the same in 0 of 4 alone, and in 0 of 4 among"),
    ],
)
def test_a_policy_is_asked_twice_with_the_same_seeds(
    policy: FakePolicy, told: str, fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened(_: Any) -> FakePolicy:
        return policy

    monkeypatch.setattr(seed_findings, "open_policy", opened)
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(fake_recipe))
    result = CliRunner().invoke(app, ["doctor", "--recipe", str(path), "--seeds"])
    assert result.exit_code == 0
    assert told in result.output


@pytest.mark.usefixtures("quick")
def test_seeds_need_a_recipe_whose_policy_can_be_asked(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--seeds"])
    assert result.exit_code == 2 and "name it with --recipe" in result.output
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(fake_recipe | {"policy": {"engine": "scripted", "script": str(tmp_path / "none")}}))
    result = CliRunner().invoke(app, ["doctor", "--recipe", str(path), "--seeds"])
    assert result.exit_code == 1 and "the policy cannot be asked" in result.output


def test_who_works_on_which_shard_is_listed(store: Store) -> None:
    stage = store.stage(SHARED)
    shard = Shard(("c",), (Extent(("c",), 0, 2),))
    assert list(lease_findings(store)) == []
    with stage.lease(shard):
        (finding,) = lease_findings(store)
        told = CliRunner().invoke(app, ["doctor", "--store", str(store.root)])
    assert (finding.level, finding.place) == ("ok", f"{SHARED}, shard {shard.name}")
    assert finding.what.startswith(f"process {os.getpid()} on {socket.gethostname()} has worked on it since ")
    assert finding.what.endswith(" s; its lease ends with the process")
    assert f"shard {shard.name}: process {os.getpid()} on " in told.output


@pytest.mark.parametrize(
    ("left", "level", "words"),
    [(14.2, "ok", "14 s are left of its lease, which it renews"), (-3.1, "warning", "its lease ran out 3 s ago")],
)
def test_what_is_left_of_a_lease_is_told(left: float, level: str, words: str) -> None:
    lease = ShardLease("000000-000002-aaaaaaaaaaaa", "process 7 on node-2", time.time() - 35, left)
    (finding,) = lease_findings(cast(Store, SimpleNamespace(stages=lambda: [StageOf(lease)])))
    assert finding.level == level and words in finding.what and "process 7 on node-2" in finding.what
    assert bool(finding.remedy) == (level == "warning")


@dataclass
class StageOf:
    """A stage of which one shard is held."""

    lease: ShardLease
    key: str = SHARED

    def leases(self) -> list[ShardLease]:
        return [self.lease]
