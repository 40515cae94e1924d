"""Runs into a bucket as users meet them: every command, other machines, kill -9, cut networks, mistakes, secrets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import recipe_of
from object_store import KEYS, BucketView, Network, s3_server

from benchmarks.kill import COUNTS
from overthink.flows.evaluate import evaluate
from overthink.storage.integrity import store_findings
from overthink.storage.opening import open_store
from overthink.storage.sql import query

COMMAND = Path(sys.executable).parent / "overthink"
SLOW = ["policy.latency_ms=60", "prm.latency_ms=60", "problems.count=24", "methods.1.n=8", "budgets=[1, 4, 8]"]
SLOW_RUN = ["run", "smoke", *(word for change in SLOW for word in ("--set", change)), "--set", "shard_size=4"]


class Machine:
    """The command on one machine: with its own working folder, and its own way to the bucket."""

    def __init__(self, bucket: BucketView, cache: Path, **changes: str) -> None:
        self.cache = cache
        self._environment = bucket.environment(cache, OVERTHINK_STORE=bucket.place, **changes)

    def overthink(self, *words: str) -> subprocess.CompletedProcess[str]:
        return overthink(*words, **self._environment)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [COMMAND, *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | self._environment,
            start_new_session=True,
        )

    def rows(self, sql: str) -> list[dict[str, Any]]:
        told = self.overthink("sql", sql, "--format", "json")
        assert told.returncode == 0, told.stderr
        return list(json.loads(told.stdout))


@pytest.fixture
def machine(bucket: BucketView, prefect_server: str, tmp_path: Path) -> Callable[..., Machine]:
    def made(name: str, **changes: str) -> Machine:
        return Machine(bucket, tmp_path / name, **changes)

    return made


def wait_for(condition: Callable[[], object], life: "subprocess.Popen[str]") -> None:
    while not condition() and life.poll() is None:
        time.sleep(0.1)
    assert life.poll() is None, "the run ended too soon"


def kill(life: "subprocess.Popen[str]") -> None:
    os.killpg(life.pid, signal.SIGKILL)
    life.communicate()


@pytest.fixture
def named(prefect_server: str, bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket is the store that is meant where none is named."""
    monkeypatch.setenv("OVERTHINK_STORE", bucket.place)


@pytest.mark.usefixtures("named")
def test_every_command_reads_what_another_machine_wrote(
    bucket: BucketView, machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = machine("here").overthink("run", "smoke")
    assert done.returncode == 0, done.stderr
    assert f'overthink sql --store {bucket.place} "SELECT * FROM summary"' in done.stdout
    for words, expected in (
        (["status"], "complete"),
        (["report", "smoke"], "prm_last_vote"),
        (["cost", "smoke"], "best_of_n-n16"),
        (["compare", "smoke", "smoke"], "best_of_n-n16"),
        (["gc"], "no garbage"),
        (["doctor"], f"{bucket.place}: 1 run, 9 stages"),
        (["sql", "SELECT count(*) AS n FROM rollouts", "--format", "csv"], "204"),
    ):
        told = overthink(*words)
        assert told.returncode == 0, told.stdout + told.stderr
        assert expected in told.stdout


@pytest.mark.usefixtures("named")
async def test_a_second_run_loads_no_engine(
    bucket: BucketView, fake_recipe: dict[str, Any], count_calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(fake_recipe)
    await evaluate(recipe, bucket.place)
    asked, there = dict(count_calls), {key: bucket.read(key) for key in bucket.list_keys("stages/")}
    assert asked["generate"] == 72
    monkeypatch.setenv("OVERTHINK_CACHE", str(bucket.cache.with_name("elsewhere")))
    await evaluate(recipe, bucket.place)
    assert count_calls == asked
    assert {key: bucket.read(key) for key in bucket.list_keys("stages/")} == there


@pytest.mark.usefixtures("named")
async def test_only_a_damaged_part_and_what_stands_on_it_is_made_again(
    bucket: BucketView, fake_recipe: dict[str, Any], count_calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(fake_recipe)
    await evaluate(recipe, bucket.place)
    count_calls.clear()
    part = bucket.list_keys(".rollouts-")[0]
    bucket.flip(part)
    monkeypatch.setenv("OVERTHINK_CACHE", str(bucket.cache.with_name("elsewhere")))
    await evaluate(recipe, bucket.place)
    assert 0 < count_calls["generate"] < 72
    assert all(finding.level == "ok" for finding in store_findings(open_store(bucket.place)) if "set" in finding.what)
    counted = query(open_store(bucket.place), "SELECT count(*) AS n, count(DISTINCT rollout_id) AS ids FROM rollouts")
    assert counted.to_pylist() == [{"n": 72, "ids": 72}]


def is_whole(machine: Machine) -> bool:
    """Whether every rollout, step and call of the slow run is there once, and nothing is left over."""
    (found,) = machine.rows(COUNTS)
    once = found["rollouts"] == found["different"] == 24 * 9 and found["calls"] == found["different_calls"]
    left = [*machine.cache.rglob("unsent/**/*.json"), *machine.cache.rglob("*.sqlite*")]
    return once and found["scores"] == int(found["steps"]) and found["calls"] > 24 * 9 and not left


def test_killed_here_and_continued_elsewhere(bucket: BucketView, machine: Callable[..., Machine]) -> None:
    here, there = machine("here"), machine("there")
    life = here.start(*SLOW_RUN)
    wait_for(lambda: len(bucket.list_keys("manifest/")) > 4, life)
    kill(life)
    done = {key: bucket.read(key) for key in bucket.list_keys("manifest/")}
    finished = there.overthink(*SLOW_RUN)
    assert finished.returncode == 0, finished.stderr
    assert {key: bucket.read(key) for key in done} == done, "what was there was not made again"
    assert is_whole(there)


def test_kill_nine_and_a_cut_network_lose_and_double_nothing(
    bucket: BucketView, machine: Callable[..., Machine]
) -> None:
    network = Network(bucket.endpoint)
    here = machine("here", AWS_ENDPOINT_URL=network.endpoint)
    life = here.start(*SLOW_RUN)
    wait_for(lambda: len(bucket.list_keys("manifest/")) > 3, life)
    kill(life)
    # What the killed life had not sent is sent when the store is opened; the network is cut after that.
    before = len(bucket.list_keys("manifest/")) + len([*here.cache.rglob("unsent/**/*.json")])
    life = here.start(*SLOW_RUN)
    wait_for(lambda: len(bucket.list_keys("manifest/")) > before, life)
    network.cut()
    told, _ = life.communicate(timeout=120)
    assert life.returncode == 1, told
    assert f"{bucket.place} cannot be reached" in told
    assert "what it lacks is safe in" in told
    assert "Run the same command again" in told
    written = [told.encode()] + [path.read_bytes() for path in here.cache.rglob("*") if path.is_file()]
    written += [bucket.read(key) for key in bucket.list_keys()]
    assert not any(value.encode() in each for value in KEYS.values() for each in written), "no key is written anywhere"
    network.mend()
    assert here.rows("SELECT count(*) AS n FROM runs") == [{"n": 1}]
    (folder,) = (here.cache / "stores").iterdir()
    made = sorted(str(path.relative_to(folder)) for path in folder.glob("stages/*/manifest/*.json"))
    assert made == bucket.list_keys("manifest/"), "what was only here was sent"
    finished = here.overthink(*SLOW_RUN)
    assert finished.returncode == 0, finished.stderr
    assert is_whole(here)


@pytest.fixture(scope="module")
def strict_server() -> Iterator[str]:
    """A server that knows no key."""
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="1") as endpoint:
        yield endpoint


MISTAKES = {
    "wrong bucket": ({"OVERTHINK_STORE": "s3://not-there/x"}, "there is no bucket 'not-there' at 127.0.0.1"),
    "wrong endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "mend the network, or AWS_ENDPOINT_URL"),
    "no endpoint": ({"AWS_ENDPOINT_URL": "127.0.0.1:9"}, "AWS_ENDPOINT_URL is not an endpoint: write it as http://"),
    "wrong scheme": ({"OVERTHINK_STORE": "gs://bucket/x"}, "a store in a bucket is named s3://BUCKET"),
}


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("words", [["run", "smoke"], ["sql", "SELECT 1"]])
def test_a_mistake_is_one_message_with_its_remedy(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    changes, message = MISTAKES[name]
    for variable, value in changes.items():
        monkeypatch.setenv(variable, value)
    told = overthink(*words)
    assert told.returncode == 2
    assert message in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


@pytest.mark.usefixtures("named")
def test_keys_that_are_refused_are_one_message_without_them(
    strict_server: str, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = BucketView(strict_server, "some-bucket", bucket.cache)
    refused.objects.create()
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_server)
    told = overthink("status", "--store", refused.place)
    assert told.returncode == 2
    assert "check that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
    assert not any(value in told.stdout + told.stderr for value in KEYS.values())


def test_two_processes_share_a_run_into_a_bucket(bucket: BucketView, machine: Callable[..., Machine]) -> None:
    here = machine("here")
    lives = [here.start(*SLOW_RUN, "--shared") for _ in range(2)]
    ends = [(life.communicate(timeout=280), life.returncode) for life in lives]
    assert [code for _, code in ends] == [0, 0], ends
    assert is_whole(here)
