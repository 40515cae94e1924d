"""A run by workers on a Ray cluster, here one that is started on this machine."""

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from typer.testing import CliRunner

from benchmarks.kill import COUNTS, rows
from overthink.flows.commands.cli import app
from overthink.storage.store import Store

pytest.importorskip("prefect_ray", reason="the extra `ray` is not installed")


async def test_workers_on_ray_share_a_run(
    prefect_server: str, fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overthink.flows.on_ray import evaluate_on_ray

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)  # as the nodes of a cluster are told it
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    store = tmp_path / "store"
    run_id = await evaluate_on_ray(recipe_of(fake_recipe), store, workers=2)
    assert Store(store).find_run(run_id).status == "complete"
    (found,) = rows(store, COUNTS)
    assert found["rollouts"] == found["different"] == 8 * 9
    assert found["calls"] == found["different_calls"]
    assert found["scores"] == found["steps"]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    monkeypatch.delitem(sys.modules, "overthink.flows.on_ray", raising=False)
    result = CliRunner().invoke(app, ["run", "smoke", "--ray", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install '.[ray]'" in result.stderr
