"""A run by workers on a Ray cluster, here one that is started on this machine."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from benchmarks.kill import COUNTS, rows
from overthink.flows.commands.cli import app
from overthink.flows.orchestration.run_flow import run_flow
from overthink.storage.store import Store

pytest.importorskip("prefect_ray", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False)
    yield
    ray.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("is_there", [True, False])
async def test_workers_on_ray_share_a_run(
    is_there: bool, real_prefect_server: str, fake_recipe: dict[str, Any], tmp_path: Path
) -> None:
    """With a Prefect server, which the workers ask themselves, and without one."""
    from overthink.flows.on_ray import evaluate_on_ray

    recipe, store = recipe_of(fake_recipe, name=f"ray-{tmp_path.name}"), Store(tmp_path / "store")
    with temporary_settings({PREFECT_API_URL: real_prefect_server if is_there else None}):
        await run_flow(store, "night", lambda: evaluate_on_ray(recipe, store.root, workers=2), print)
    (run,) = store.runs()
    assert run.status == "complete"
    (found,) = rows(store.root, COUNTS)
    assert found["rollouts"] == found["different"] == 8 * 9
    assert found["calls"] == found["different_calls"]
    assert found["scores"] == found["steps"]
    async with get_client() as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[f"evaluate {recipe.name}"]))
        assert len(await client.read_flow_runs(flow_run_filter=named)) == (2 if is_there else 0), "one a worker"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    monkeypatch.delitem(sys.modules, "overthink.flows.on_ray", raising=False)
    result = CliRunner().invoke(app, ["run", "smoke", "--ray", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install '.[ray]'" in result.stderr
