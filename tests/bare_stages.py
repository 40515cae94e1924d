"""Runs as the flow carries them out but without Prefect, whose start would take seconds."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import overthink.flows.evaluate
import overthink.tasks.stages.runner
from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.store import Store
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.progress import RunProgress
from overthink.tasks.stages.shards import make_part


class NoArtifact:
    async def advance(self) -> None:
        pass


async def no_artifact(*_: Any) -> NoArtifact:
    return NoArtifact()


def bare_task(_: StageNode, __: int) -> Callable[..., Any]:
    """The function of a stage's task, given what Prefect is given."""
    return lambda make, extent: make_part.fn(make.unquote(), extent)


def without_prefect(replace: Callable[[Any, str, Any], object]) -> None:
    """Put the function behind the tasks in their place, by `setattr` or a monkeypatch's."""
    replace(overthink.tasks.stages.runner, "part_task", bare_task)
    replace(overthink.tasks.stages.runner, "publish_progress", no_artifact)
    replace(overthink.flows.evaluate, "publish_summary", no_artifact)


def carry_out(plan: Plan, root: Path) -> None:
    """All stages of a run that are not there yet."""
    asyncio.run(execution(plan, root).run())


def execution(plan: Plan, root: Path, shared: bool = False) -> Execution:
    """A run that nobody watches."""
    return Execution(plan, Store(root), RunProgress(None), engines_of(plan), shared)
