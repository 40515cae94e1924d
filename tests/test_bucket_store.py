"""A store in a bucket of a real S3 server: written, read and continued by other machines, mended, swept."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from object_store import KEYS, BucketView, Network
from storage_samples import rollouts_of, run_named, write_rollouts
from viewed_store import a_report

from overthink.storage.exporting import Export
from overthink.storage.garbage import find_garbage, remove_garbage
from overthink.storage.integrity import Finding, store_findings
from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.opening import open_store, working_folder
from overthink.storage.part_tables import rows_table
from overthink.storage.query_limits import QueryLimits
from overthink.storage.sql import query
from overthink.storage.storage_errors import BucketUnreachable, QueryError, StorageError
from overthink.storage.store import StageUse, Store, Sweep

KINDS = (("sample", 1), ("sample", 2), ("problems", 0))
IDENTITIES = {labelled_key(kind, {"stage": kind, "seed": seed}): {"stage": kind, "seed": seed} for kind, seed in KINDS}
STAGE, UNUSED, PROBLEMS = IDENTITIES


@pytest.fixture
def store(bucket: BucketView) -> Store:
    """One run on one stage of two problems with two samples each."""
    store = open_store(bucket.place)
    fill(store)
    return store


def fill(store: Store) -> None:
    for key in (PROBLEMS, STAGE):
        store.stage(key).describe(IDENTITIES[key])
    rows = [{"problem_set": "sums", "problem_key": key, "problem_id": key, "question": key} for key in "ab"]
    store.stage(PROBLEMS).write_part(Extent(("a", "b"), 0, 1), {"problems": rows_table("problems", rows)})
    write_rollouts(store.stage(STAGE), "ab", 0, 2)
    store.write_run(run_named("first-1", StageUse("problems", PROBLEMS), StageUse("sample", STAGE, "cot", 2)))


@pytest.fixture
def elsewhere(bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """Opens the store as a machine does that has nothing of it yet."""

    def opened() -> Store:
        monkeypatch.setenv("OVERTHINK_CACHE", str(bucket.cache.with_name("elsewhere")))
        return open_store(bucket.place)

    return opened


def part_key(bucket: BucketView) -> str:
    (key,) = bucket.list_keys(f"stages/{STAGE}/parts/")
    return key


def made_again(store: Store) -> list[Extent]:
    """What a run would make again, after it has looked at what is there."""
    stage = store.stage(STAGE)
    stage.verify()
    return stage.missing("ab", 2, 9)


def broken(store: Store) -> list[Finding]:
    return [finding for finding in store_findings(store) if finding.level == "broken"]


def local_parts(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*.parquet"))


# What lies where


def test_objects_are_named_by_their_bytes_and_records_as_in_a_folder(store: Store, bucket: BucketView) -> None:
    ((entry,), (problems,)) = (store.stage(key).entries() for key in (STAGE, PROBLEMS))
    part, problem_part = f"{entry.extent.name}.rollouts", f"{problems.extent.name}.problems"
    assert bucket.list_keys() == [
        "runs/first-1/run.json",
        f"stages/{PROBLEMS}/manifest/{problems.extent.name}.json",
        f"stages/{PROBLEMS}/parts/{problem_part}-{problems.files[0].sha256[:16]}.parquet",
        f"stages/{PROBLEMS}/stage.json",
        f"stages/{STAGE}/manifest/{entry.extent.name}.json",
        f"stages/{STAGE}/parts/{part}-{entry.files[0].sha256[:16]}.parquet",
        f"stages/{STAGE}/stage.json",
    ]
    assert not list((store.root / "unsent").rglob("*.json"))


def test_another_machine_sees_what_is_there_and_fetches_what_it_reads(
    store: Store, elsewhere: Callable[[], Store]
) -> None:
    there = elsewhere()
    assert [run.run_id for run in there.runs()] == ["first-1"]
    assert there.stage(STAGE).missing("abc", 2, 9) == [Extent(("c",), 0, 2)]
    assert local_parts(there) == []
    assert there.stage(STAGE).table("rollouts") == store.stage(STAGE).table("rollouts")
    assert len(local_parts(there)) == 1


def test_sql_fetches_the_tables_that_it_reads_and_no_others(store: Store, elsewhere: Callable[[], Store]) -> None:
    there = elsewhere()
    assert query(there, "SELECT run_id FROM runs").to_pylist() == [{"run_id": "first-1"}]
    assert local_parts(there) == []
    assert query(there, "SELECT count(*) AS n FROM problems").to_pylist() == [{"n": 2}]
    assert [path.split("/")[1] for path in local_parts(there)] == [PROBLEMS]
    assert query(there, "SELECT count(*) AS n FROM rollouts").to_pylist() == [{"n": 4}]
    assert len(local_parts(there)) == 2


def test_an_export_fetches_the_stages_of_its_runs(store: Store, elsewhere: Callable[[], Store], tmp_path: Path) -> None:
    there = elsewhere()
    counts = Export(there, there.runs(), QueryLimits(), lambda _: None).to_parquet(tmp_path / "tables")
    assert (counts["runs"], counts["problems"], counts["rollouts"]) == (1, 2, 4)
    assert {path.split("/")[1] for path in local_parts(there)} == {PROBLEMS, STAGE}
    assert pq.read_table(tmp_path / "tables" / "rollouts.parquet").num_rows == 4


@pytest.mark.parametrize("sql", ["FROM main.ROLLOUTS", 'FROM (WITH x AS (FROM "rollouts") FROM x)'])
def test_no_way_to_name_a_table_finds_it_empty(sql: str, store: Store, elsewhere: Callable[[], Store]) -> None:
    assert query(elsewhere(), f"SELECT count(*) AS n {sql}").to_pylist() == [{"n": 4}]


def test_what_changes_elsewhere_is_known_at_the_next_opening(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    there = elsewhere()
    there.write_run(run_named("first-1", status="failed"))
    there.write_run(run_named("second-2"))
    there.write_sweep(Sweep("grid-1", "grid", ("first-1", "second-2")))
    write_rollouts(there.stage(STAGE), "ab", 2, 3)
    store.refresh()
    assert {run.run_id: run.status for run in store.runs()} == {"first-1": "failed", "second-2": "complete"}
    assert [sweep.sweep_id for sweep in store.sweeps()] == ["grid-1"]
    assert store.stage(STAGE).missing("ab", 3, 9) == []


def test_an_opening_that_learns_nothing_fetches_nothing(
    store: Store, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overthink.storage.s3.bucket.Bucket.read", lambda _, key: pytest.fail(key))
    assert [run.run_id for run in open_store(bucket.place).runs()] == ["first-1"]


def test_the_working_folder_is_one_of_its_own_for_each_address_and_server(
    bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [("s3://a/b-c", "h"), ("s3://a-b/c", "h"), ("s3://a/b/c", "h"), ("s3://a/b/c", "other"), ("s3://a", "h")]
    folders = {working_folder(address, host) for address, host in asked}
    assert len(folders) == len(asked)
    assert {folder.parent for folder in folders} == {bucket.cache / "stores"}
    monkeypatch.delenv("OVERTHINK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(working_folder("s3://a", "h")).startswith("/somewhere/overthink/stores/a-")


# What the bucket refuses


WITH_KEYS = ["s3://key:secret@bucket/x", "s3://ok-bucket/x?key=secret"]


@pytest.mark.parametrize(
    "place", ["s3://", "s3://Upper/x", "s3://ok-bucket/../x", "s3:/ok-bucket/x", "gs://ok-bucket", *WITH_KEYS]
)
def test_an_address_that_is_none_is_refused_without_being_repeated(place: str) -> None:
    with pytest.raises(StorageError, match="a store in a bucket is named s3://BUCKET") as told:
        open_store(place)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://host", "http://key:secret@host", "http://host/path"])
def test_an_endpoint_that_is_none_is_refused_without_being_repeated(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL is not an endpoint") as told:
        open_store("s3://some-bucket")
    assert "secret" not in str(told.value)


def test_a_store_that_was_never_written_to_is_none(bucket: BucketView) -> None:
    assert not open_store(bucket.place).exists()
    with pytest.raises(QueryError, match=f"there is no store at {bucket.place}"):
        query(open_store(bucket.place), "SELECT 1")


def test_a_bucket_may_be_one_store(bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(open_store(f"s3://{bucket.name}"))
    monkeypatch.setenv("OVERTHINK_CACHE", str(bucket.cache.with_name("elsewhere")))
    there = open_store(f"s3://{bucket.name}/")
    assert there.address == f"s3://{bucket.name}"
    assert query(there, "SELECT count(*) AS n FROM rollouts").to_pylist() == [{"n": 4}]


def test_a_prefix_is_not_reached_from_one_that_begins_alike(store: Store, bucket: BucketView) -> None:
    assert not open_store(f"{bucket.place}-2").exists()
    assert not open_store(bucket.place.removesuffix("fix")).exists()


# Damage


def flipped(bucket: BucketView) -> None:
    bucket.flip(part_key(bucket))


def shortened(bucket: BucketView) -> None:
    bucket.put(part_key(bucket), bucket.read(part_key(bucket))[:-1])


def removed(bucket: BucketView) -> None:
    bucket.remove(part_key(bucket))


@pytest.mark.parametrize("damage", [flipped, shortened, removed])
def test_a_damaged_object_is_found_set_aside_and_made_again(
    damage: Callable[[BucketView], None], store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    good, before = bucket.read(part_key(bucket)), part_key(bucket)
    damage(bucket)
    there = elsewhere()
    (finding,) = [each for each in broken(there) if STAGE in each.place]
    assert before in finding.what
    with pytest.raises(StorageError, match="run its recipe again"):
        query(there, "SELECT * FROM rollouts")
    assert made_again(there) == [Extent(("a", "b"), 0, 2)]
    assert not bucket.list_keys(f"stages/{STAGE}/manifest/")
    assert len(bucket.list_keys(f"stages/{STAGE}/set-aside/")) == (damage is not removed)
    write_rollouts(there.stage(STAGE), "ab", 0, 2)
    assert bucket.read(part_key(bucket)) == good
    assert broken(open_store(bucket.place)) == []


@pytest.mark.parametrize("damage", [shortened, removed])
def test_an_object_that_is_damaged_is_sent_again_where_a_copy_of_it_lies(
    damage: Callable[[BucketView], None], store: Store, bucket: BucketView, caplog: pytest.LogCaptureFixture
) -> None:
    good = bucket.read(part_key(bucket))
    damage(bucket)
    opened = open_store(bucket.place)
    assert len(broken(opened)) > 0
    assert made_again(opened) == []
    assert "it is sent again" in caplog.text
    assert bucket.read(part_key(bucket)) == good


def test_a_damaged_copy_is_fetched_anew(store: Store, bucket: BucketView) -> None:
    (path,) = store.stage(STAGE).files("rollouts")
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    assert made_again(store) == []
    assert path.read_bytes() == good


def test_what_cannot_be_fetched_for_another_reason_is_not_set_aside(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, before = elsewhere(), bucket.list_keys()
    opened = Path.open
    full = lambda path, mode="r", **how: opened(Path("/dev/full") if mode == "wb" else path, mode, **how)  # noqa: E731
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="disk full while writing"):
        there.stage(STAGE).verify()
    assert bucket.list_keys() == before


def test_what_another_machine_made_again_takes_the_place_of_a_copy(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    flipped(bucket)
    there = elsewhere()
    assert made_again(there) != []
    time.sleep(1.1)  # a bucket dates objects in whole seconds
    extent = Extent(("a", "b"), 0, 2)
    other = rollouts_of(extent).drop_columns("text").append_column("text", [["other"] * 4]).select(ROLLOUT_COLUMNS)
    there.stage(STAGE).write_part(extent, {"rollouts": other})
    store.refresh()
    assert set(store.stage(STAGE).table("rollouts")["text"].to_pylist()) == {"other"}
    assert made_again(store) == []
    assert broken(store) == []


ROLLOUT_COLUMNS = rollouts_of(Extent((), 0, 0)).column_names


def test_the_first_of_two_machines_counts_and_no_object_is_written_over(
    bucket: BucketView, elsewhere: Callable[[], Store], caplog: pytest.LogCaptureFixture
) -> None:
    here = open_store(bucket.place)
    there = elsewhere()
    extent = Extent(("a",), 0, 1)
    first = here.stage(STAGE).write_part(extent, {"rollouts": rollouts_of(extent)})
    before = {key: bucket.read(key) for key in bucket.list_keys()}
    empty = rollouts_of(extent).slice(0, 0)
    assert there.stage(STAGE).write_part(extent, {"rollouts": empty}) == first
    assert {key: bucket.read(key) for key in bucket.list_keys()} == before
    assert there.stage(STAGE).table("rollouts").num_rows == 1
    assert "another machine wrote this part first" in caplog.text


# A network that is cut


@pytest.fixture
def network(bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.endpoint)
    return network


def test_what_could_not_be_sent_is_safe_and_is_sent_at_the_next_opening(bucket: BucketView, network: Network) -> None:
    store = open_store(bucket.place)
    fill(store)
    there = bucket.list_keys()
    network.cut()
    with pytest.raises(BucketUnreachable, match=r"cannot be reached at .* \(Connect error\)") as told:
        write_rollouts(store.stage(STAGE), "ab", 2, 4)
    assert f"what it lacks is safe in {store.root}" in str(told.value)
    store.write_run(run_named("first-1", status="failed"))
    with pytest.raises(BucketUnreachable):
        store.write_run(run_named("second-2"))
    assert store.stage(STAGE).table("rollouts").num_rows == 8
    with pytest.raises(BucketUnreachable):
        open_store(bucket.place)
    network.mend()
    assert bucket.list_keys() == there
    again = open_store(bucket.place)
    assert {run.run_id: run.status for run in again.runs()} == {"first-1": "failed", "second-2": "complete"}
    assert len(bucket.list_keys("manifest/")) == 3
    assert len(bucket.list_keys(f"stages/{STAGE}/parts/")) == 2
    assert json.loads(bucket.read("runs/first-1/run.json"))["status"] == "failed"
    assert not list((store.root / "unsent").rglob("*.json"))


def test_a_short_cut_is_ridden_out(bucket: BucketView, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERTHINK_BUCKET_PATIENCE", "60")
    store = open_store(bucket.place)
    network.cut()
    monkeypatch.setattr("overthink.storage.s3.bucket.time.sleep", lambda _: network.mend())
    write_rollouts(store.stage(STAGE), "ab", 0, 2)
    assert part_key(bucket)


def test_a_part_that_was_torn_before_it_was_sent_is_never_sent(bucket: BucketView, network: Network) -> None:
    store = open_store(bucket.place)
    network.cut()
    with pytest.raises(BucketUnreachable):
        write_rollouts(store.stage(STAGE), "ab", 0, 2)
    (path,) = store.root.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    network.mend()
    again = open_store(bucket.place)
    assert bucket.list_keys("stages/") == []
    assert made_again(again) == [Extent(("a", "b"), 0, 2)]


def test_what_another_process_has_just_sent_stays(
    store: Store, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list(store.root.glob("stages/*/manifest/*.json"))
    monkeypatch.setattr("overthink.storage.s3.mirror.Mirror.unsent", lambda _: sent)
    open_store(bucket.place)
    assert all(path.exists() for path in sent)
    assert len(sent) == 2


def test_what_another_process_is_writing_is_left_to_it(bucket: BucketView, network: Network) -> None:
    store = open_store(bucket.place)
    with store.lock_stage(store.stage(STAGE)):
        network.cut()
        with pytest.raises(BucketUnreachable):
            write_rollouts(store.stage(STAGE), "ab", 0, 2)
        network.mend()
        open_store(bucket.place)
        assert bucket.list_keys("stages/") == []
    open_store(bucket.place)
    assert part_key(bucket)


@pytest.mark.parametrize("name", ["/tmp/elsewhere.parquet", "../../../../elsewhere.parquet"])
def test_a_record_cannot_name_a_file_outside_of_the_store(name: str, store: Store, bucket: BucketView) -> None:
    (key,) = bucket.list_keys(f"stages/{STAGE}/manifest/")
    entry = json.loads(bucket.read(key))
    entry["files"][0]["name"] = name
    bucket.put(key, json.dumps(entry).encode())
    with pytest.raises(StorageError, match=f"was changed after it was written .*{bucket.place} holds this too"):
        query(open_store(bucket.place), "SELECT * FROM rollouts")
    del entry["digest"]
    bucket.put(key, json.dumps(entry, indent=1).encode())
    with pytest.raises(StorageError, match=r"does not name the files of its part.* so do it there"):
        query(open_store(bucket.place), "SELECT * FROM rollouts")


@pytest.mark.parametrize("text", ["long", "nan", "inf", "-1"])
def test_patience_is_a_number(text: str, bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERTHINK_BUCKET_PATIENCE", text)
    with pytest.raises(StorageError, match="OVERTHINK_BUCKET_PATIENCE is not a number of seconds"):
        open_store(bucket.place)


def test_keys_of_a_profile_are_used(bucket: BucketView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "credentials"
    profile.write_text("[default]\naws_access_key_id = somebody\naws_secret_access_key = something\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    for name in KEYS:
        monkeypatch.delenv(name)
    assert not open_store(bucket.place).exists()
    profile.unlink()
    with pytest.raises(StorageError, match="no keys.*check that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set"):
        open_store(bucket.place)


def test_empty_objects_that_mark_folders_are_none_of_ours(store: Store, bucket: BucketView) -> None:
    for folder in ("", "stages/", f"stages/{STAGE}/", f"stages/{STAGE}/parts/", f"stages/{UNUSED}/"):
        bucket.put(folder, b"")
    assert find_garbage(open_store(bucket.place)) == []
    assert broken(open_store(bucket.place)) == []


# Models


def train(store: Store, run_id: str = "first-1") -> None:
    folder = store.model_folder(run_id)
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "sub" / "config.json").write_bytes(b"{}")


def test_a_model_is_fetched_whole_where_it_is_asked_for(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    train(store)
    store.keep_model("first-1")
    there = elsewhere()
    assert there.has_model("first-1")
    assert there.model_damage("first-1") is None
    assert not there.model_folder("first-1").exists()
    folder = there.model("first-1")
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "model.safetensors": b"weights",
        "sub/config.json": b"{}",
    }


def test_a_models_record_is_sent_last_and_again(bucket: BucketView, network: Network) -> None:
    store = open_store(bucket.place)
    train(store)
    network.cut()
    with pytest.raises(BucketUnreachable):
        store.keep_model("first-1")
    network.mend()
    assert bucket.list_keys() == []
    open_store(bucket.place)
    assert len(bucket.list_keys("models/")) == 2
    assert bucket.list_keys("runs/") == ["runs/first-1/model.json"]


def test_a_damaged_model_is_told(store: Store, bucket: BucketView) -> None:
    assert store.model_damage("first-1") == "is not in the bucket"
    train(store)
    store.keep_model("first-1")
    bucket.flip(bucket.list_keys("models/first-1/model")[0])
    assert "has other bytes than were written" in str(open_store(bucket.place).model_damage("first-1"))


# Garbage


def test_what_no_run_refers_to_goes_from_the_bucket_too(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    store.stage(UNUSED).describe(IDENTITIES[UNUSED])
    write_rollouts(store.stage(UNUSED), "ab", 0, 2)
    kept = [key for key in bucket.list_keys() if UNUSED not in key]
    there = elsewhere()
    (stage,) = [item for item in find_garbage(there) if item.path == there.stage(UNUSED).folder]
    assert stage.size == sum(len(bucket.read(key)) for key in bucket.list_keys(UNUSED))
    remove_garbage(there)
    assert len(bucket.list_keys(UNUSED)) == 3, "what engines made is named first"
    remove_garbage(there, confirmed={UNUSED})
    assert bucket.list_keys() == kept
    assert [key for key in map(str, store.root.rglob("*.json")) if UNUSED in key] != []
    store.refresh()
    assert [stage.key for stage in store.stages() if stage.entries()] == [PROBLEMS, STAGE]


def test_a_run_that_was_forgotten_elsewhere_does_not_come_back(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    train(store)
    store.keep_model("first-1")
    remove_garbage(elsewhere(), {"first-1"}, {STAGE})
    assert bucket.list_keys() == []
    again = open_store(bucket.place)
    assert bucket.list_keys() == []
    assert again.runs() == []


def test_objects_that_no_entry_names_are_garbage(store: Store, bucket: BucketView) -> None:
    bucket.put(f"stages/{STAGE}/parts/x.rollouts-0123456789abcdef.parquet", b"12345")
    bucket.put(f"stages/{STAGE}/set-aside/y.rollouts-0123456789abcdef.parquet", b"123")
    opened = open_store(bucket.place)
    found = {str(item.path.relative_to(opened.stage(STAGE).folder)): item.size for item in find_garbage(opened)}
    assert found == {"parts/x.rollouts-0123456789abcdef.parquet": 5, "set-aside": 3}
    opened.stage(STAGE).verify()
    assert len(bucket.list_keys(f"stages/{STAGE}/parts/")) == 2, "another machine may be about to name it"
    remove_garbage(opened)
    assert len(bucket.list_keys(f"stages/{STAGE}/")) == 3


def test_nothing_goes_that_a_new_run_has_come_to_need(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    store.stage(UNUSED).describe(IDENTITIES[UNUSED])
    write_rollouts(store.stage(UNUSED), "ab", 0, 2)
    there = elsewhere()
    store.write_run(run_named("second-2", StageUse("sample", UNUSED, "cot", 2)))
    remove_garbage(there, confirmed={UNUSED})
    assert len(bucket.list_keys(f"stages/{UNUSED}")) == 3


def test_a_whole_store_is_told_by_its_address(store: Store, bucket: BucketView) -> None:
    (finding,) = store_findings(store)
    assert (finding.level, finding.place) == ("ok", bucket.place)


def test_another_machine_sees_how_far_a_run_is(
    store: Store, bucket: BucketView, elsewhere: Callable[[], Store]
) -> None:
    reports, first = store.reports("run-1"), a_report(written_at=1.0)
    reports.write(first)
    _until(lambda: bucket.list_keys("live/") == ["runs/run-1/live/node1-1.json"])
    there = elsewhere()
    assert there.reports("run-1").read() == [first]
    reports.write(a_report(written_at=2.0))
    assert there.reports("run-1").read() == [first], "it is sent every ten seconds"
    assert reports.read() == [a_report(written_at=2.0)], "what a process of this machine says is known at once"
    last = replace(first, written_at=3.0, has_ended=True)
    reports.write(last)
    assert there.reports("run-1").read() == [last], "the last word is waited for"
    other = replace(first, host="node2")
    there.reports("run-1").write(other)
    _until(lambda: len(bucket.list_keys("live/")) == 2)
    assert reports.read() == [last, other]
    there.reports("run-1").clear()
    assert bucket.list_keys("live/") == []


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
