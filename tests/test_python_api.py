"""The Python API, on a store that an earlier version wrote and on runs of engines that say what a file holds."""

import asyncio
import doctest
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

import overthink
from overthink.storage.storage_errors import QueryError, StorageError
from overthink.tasks.errors import UserError

GOLDEN = Path(__file__).parent / "golden_store" / "v0.1"
RECIPE = {
    "name": "api",
    "problems": {"source": "chains", "split": "test", "count": 3, "seed": 1},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 4}],
    "budgets": [1, 4],
}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / "store.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


def test_the_examples_of_its_page(golden: Path) -> None:
    names = {"overthink": overthink, "place": golden}
    found = doctest.testmod(overthink, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.usefixtures("prefect_server")
def test_a_run_from_a_mapping_is_the_run_of_the_command_and_is_not_made_twice(tmp_path: Path) -> None:
    made = overthink.run(RECIPE, tmp_path / "store", ["problems.count=2"])
    assert (made.status, made.name) == ("complete", "api")
    results = overthink.open_store(tmp_path / "store")
    calls = results.sql("SELECT count(*) AS calls FROM calls").to_pylist()
    assert overthink.run(RECIPE, tmp_path / "store", ["problems.count=2"]) == made
    assert results.sql("SELECT count(*) AS calls FROM calls").to_pylist() == calls
    frame = results.rollouts("api")
    assert frame.num_rows == 2 * 4
    assert all(len(row["steps"]) == len(row["scores"]) == row["step_count"] for row in frame.to_pylist())


@pytest.mark.usefixtures("prefect_server")
async def test_inside_a_loop_it_is_awaited_and_a_notebook_may_do_without(tmp_path: Path) -> None:
    made = await overthink.run_async(RECIPE, tmp_path / "store")
    assert overthink.run(RECIPE, tmp_path / "store") == made
    assert asyncio.get_running_loop().is_running()


def test_frames_of_pandas_and_what_is_missing_for_others(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = overthink.open_store(golden)
    assert isinstance(results.sql("SELECT 1 AS one"), pa.Table)
    assert results.sql("SELECT 1 AS one", "pandas")["one"].tolist() == [1]
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UserError, match="pip install polars"):
        results.sql("SELECT 1 AS one", "polars")


def test_mistakes_are_one_message(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no store at"):
        overthink.open_store(tmp_path / "nothing")
    with pytest.raises(QueryError):
        overthink.open_store(golden).sql("DROP TABLE runs")
    with pytest.raises(UserError, match=r"the recipe: metods"):
        overthink.read_recipe(RECIPE | {"metods": []})
    with pytest.raises(UserError, match="one of n, total_tokens, total_flops"):
        overthink.solve(tmp_path / "strategy.yaml", ["1+1?"], tmp_path, n=4, total_tokens=100)


def test_the_recipe_has_a_schema() -> None:
    assert "methods" in overthink.Recipe.model_json_schema()["properties"]


def test_importing_it_loads_neither_prefect_nor_an_engine() -> None:
    loaded = "import sys, overthink; overthink.open_store('.'); print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"prefect", "torch", "vllm", "transformers"}
