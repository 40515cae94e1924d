"""A stage in a bucket survives a crash before and after every request that changes the bucket, and every local mark.

Run as a script, this file forks the crashing lives: `BUCKET FOLDER`, a line of JSON a case.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crash_steps import KILLED, Steps
from object_store import BucketView
from storage_samples import ROOT, forked, rollouts_of, run_named, status_of

from overthink.storage.keys import labelled_key
from overthink.storage.opening import open_store
from overthink.storage.store import StageUse

IDENTITY = {"stage": "sample"}
STAGE = labelled_key("sample", IDENTITY)
USE = StageUse("sample", STAGE, "cot", 2)


def live(place: str, cache: Path) -> None:
    """One life of a run on one machine: what is missing is made, then the run is complete."""
    os.environ |= {"OVERTHINK_CACHE": str(cache), "OVERTHINK_BUCKET_LEASE": "0.3"}
    store = open_store(place)
    with store.lock_run("run-1"):
        store.write_run(run_named("run-1", USE, status="running"))
        stage = store.stage(STAGE)
        with store.lock_stage(stage):
            stage.describe(IDENTITY)
            stage.verify()
            for extent in stage.missing("abc", 2, 2):
                stage.write_part(extent, {"rollouts": rollouts_of(extent)})
        store.write_run(run_named("run-1", USE))


def crash(place: str, cache: Path, step: int) -> None:
    """A life that ends before the given one of the steps that are not the folder's own."""
    from overthink.storage.s3.bucket import Bucket
    from overthink.storage.s3.mirror import Mirror

    steps = Steps(step)
    for owner, names in ((Bucket, ("write", "upload", "move", "remove")), (Mirror, ("mark", "unmark"))):
        for name in names:
            setattr(owner, name, steps.around(getattr(owner, name)))
    os.replace = steps.around(os.replace)
    live(place, cache)


def tell(place: str, cache: Path, case: dict[str, Any]) -> None:
    """What the life after the crash leaves."""
    live(place, cache)
    store = open_store(place)
    unsent = [str(path) for path in store.root.glob("unsent/**/*.json")]
    statuses = [run.status for run in store.runs()]
    rows = sorted(row["rollout_id"] for row in store.stage(STAGE).table("rollouts").to_pylist())
    print(json.dumps(case | {"rows": rows, "statuses": statuses, "unsent": unsent, "place": place}), flush=True)


def crash_everywhere(bucket: str, folder: Path) -> None:
    """Crash at step 1, 2, … until a life ends by itself; each is gone on with by its machine, and by another."""
    for step in range(1, 1000):
        for next_life in ("same", "other"):
            name = f"{step}-{next_life}"
            place, cache = f"s3://{bucket}/{name}/some/prefix", folder / name
            crashed = status_of(forked(lambda: crash(place, cache, step)))  # noqa: B023
            after = cache if next_life == "same" else folder / f"{name}-machine"
            case = {"step": step, "next": next_life, "crashed": crashed}
            assert status_of(forked(lambda: tell(place, after, case))) == 0  # noqa: B023
        if crashed != KILLED:
            return


@pytest.fixture
def cases(bucket: BucketView, tmp_path: Path) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    words = [sys.executable, __file__, bucket.name, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_wherever_a_life_ends_the_next_one_finishes_what_it_began(
    cases: list[dict[str, Any]], bucket: BucketView
) -> None:
    assert len(cases) > 2 * 25
    assert {case["crashed"] for case in cases[:-2]} == {KILLED}
    expected = sorted(f"{unit}/{index}" for unit in "abc" for index in range(2))
    assert [case for case in cases if case["rows"] != expected] == []
    assert [case for case in cases if case["statuses"] != ["complete"]] == []
    assert [case for case in cases if case["unsent"]] == []
    objects = [each.key.partition("/") for each in bucket.objects.objects.all() if not each.key.endswith("/")]
    objects = [
        each for each in objects if "/sessions/" not in each[2]
    ]  # one that held nothing is removed an hour later
    left = {name: sorted(key for place, _, key in objects if place == name) for name, _, _ in objects}
    assert len(left) == len(cases)
    assert len({tuple(keys) for keys in left.values()}) == 1, "the same objects, whatever happened on the way"


if __name__ == "__main__":
    crash_everywhere(sys.argv[1], Path(sys.argv[2]))
