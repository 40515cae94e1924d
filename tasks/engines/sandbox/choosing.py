"""Which sandbox holds on this machine."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from overthink.storage.integrity import Finding
from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.container_engine import ContainerEngine
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.engines.sandbox.isolation import Isolation
from overthink.tasks.engines.sandbox.probing import faults
from overthink.tasks.errors import EngineUnavailable

INSTALL = "apt install bubblewrap (0.7 or newer); in a container, and for docker and podman, see docs/sandbox.md"


def known() -> tuple[Isolation, ...]:
    """Those that are tried, the best first."""
    return (Bubblewrap(), ContainerEngine("docker"), ContainerEngine("podman"))


async def holding(isolations: Sequence[Isolation]) -> Isolation | str:
    """The first that holds, or why none does."""
    reasons = []
    for isolation in isolations:
        found = await faults(isolation)
        if not found:
            return isolation
        reasons.append(f"{isolation.name}: {', '.join(found)}")
    return f"no sandbox holds here, so no program is run ({'; '.join(reasons)})"


async def open_sandbox(isolations: Sequence[Isolation] | None = None) -> IsolatedSandbox:
    """The first that holds. Raises EngineUnavailable with the reasons where none does."""
    found = await holding(known() if isolations is None else isolations)
    if isinstance(found, str):
        raise EngineUnavailable(f"{found}: {INSTALL}")
    return IsolatedSandbox(found)


@cache
def sandbox_identity() -> Mapping[str, str]:
    """What outcomes depend on here; tried once a process, for plans, which must know it before anything is drawn.

    Raises EngineUnavailable where no sandbox holds.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:  # the caller's may have an event loop already
        return thread.submit(asyncio.run, open_sandbox()).result().identity()


async def sandbox_finding() -> Finding:
    """Whether programs can be run here; recipes without any need no sandbox."""
    found = await holding(known())
    if isinstance(found, str):
        return Finding("warning", "sandbox", found, INSTALL)
    return Finding("ok", "sandbox", ", ".join(found.identity().values()))
