"""Runs as the flow carries them out but without Prefect, whose start would take seconds."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import overthink.flows.evaluate
import overthink.tasks.stages.runner
import overthink.tasks.strategy.apply_strategy
from overthink.flows.evaluate import Evaluation
from overthink.storage.store import Store
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages import decide as deciding
from overthink.tasks.stages.progress import RunProgress

TASKS = {
    overthink.flows.evaluate: ("sample", "search"),
    overthink.tasks.stages.runner: ("score", "grade", "select"),
    overthink.tasks.strategy.apply_strategy: ("choose_decided",),
    deciding: ("decide",),
}


class NoArtifact:
    async def advance(self) -> None:
        pass


async def no_artifact(*_: Any) -> NoArtifact:
    return NoArtifact()


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """A task's function, given what Prefect is given."""
    return lambda work, cover: function(work.unquote(), cover)


def without_prefect(replace: Callable[[Any, str, Any], object]) -> None:
    """Put the functions behind the tasks in their place, by `setattr` or a monkeypatch's."""
    for module, names in TASKS.items():
        for name in names:
            task = getattr(module, name)
            replace(module, name, bare(task.fn) if hasattr(task, "fn") else task)
    replace(overthink.tasks.stages.runner, "publish_progress", no_artifact)
    replace(overthink.flows.evaluate, "publish_summary", no_artifact)


def carry_out(plan: Plan, root: Path) -> None:
    """All stages of a run that are not there yet."""
    asyncio.run(Evaluation(plan, Store(root), RunProgress(None)).run())
