"""Select works some problems at a time: what it chooses is the same, and no more is in memory."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

import overthink.tasks.stages.graded
import overthink.tasks.stages.select
from benchmarks.made_up import write_store
from benchmarks.made_up_stages import MadeUpRun
from overthink.storage.manifest import Extent
from overthink.storage.store import Store
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.stages.graded import Graded, Pool, join_all

PROBLEMS, N = 7, 4


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    with MathJudge() as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("made-up") / "store", PROBLEMS, N, shard_size=3)


def chosen(store: Store, judge: MathJudge) -> dict[str, pa.Table]:
    run = MadeUpRun(store.root)
    node = run.select()
    return node.part(run.context(node, judge), Extent(node.problems.units, 0, N))


@pytest.mark.parametrize(
    ("rollouts", "batches"), [(1, [1] * 7), (N, [1] * 7), (2 * N + 1, [2, 2, 2, 1]), (99 * N, [7])]
)
def test_it_chooses_the_same_however_many_problems_it_reads_at_once(
    store: Store, judge: MathJudge, monkeypatch: pytest.MonkeyPatch, rollouts: int, batches: list[int]
) -> None:
    expected = chosen(store, judge)
    sizes: list[int] = []

    def counted(graded: dict[str, Graded], with_judge: MathJudge) -> dict[str, Pool]:
        sizes.append(len(graded))
        return join_all(graded, with_judge)

    monkeypatch.setattr(overthink.tasks.stages.graded, "ROLLOUTS_AT_ONCE", rollouts)
    monkeypatch.setattr(overthink.tasks.stages.select, "join_all", counted)
    assert chosen(store, judge) == expected
    assert sizes == batches
    assert {name: table.num_rows for name, table in expected.items()} == {
        "groups": PROBLEMS * N,
        "selections": PROBLEMS * 10 * 3,
        "estimates": 10 * 3,
    }
    assert expected["selections"]["n"].to_pylist()[: PROBLEMS * 3] == [1] * 7 + [2] * 7 + [4] * 7
