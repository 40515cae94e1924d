"""What the parts of a stage are made with: stages, engines, the judge, and who counts what is done."""

from collections.abc import Callable
from dataclasses import dataclass, field

from overthink.storage.stages import Stage
from overthink.tasks.domains.domain import Judge
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy, Sandbox
from overthink.tasks.engines.engine_slot import EngineSlot, sandbox_slot
from overthink.tasks.stages.driver import EngineAccess

OpenStage = Callable[[str], Stage]  # by the stage's key


@dataclass(frozen=True)
class ShardContext:
    """What parts of a stage are made with: its own Stage, access to others, and the judge that compares answers."""

    stage: Stage
    stage_of: OpenStage
    judge: Judge
    on_problem: Callable[[str], None]  # its key


@dataclass(frozen=True)
class Engines:
    """The slots of a run's engines; None where the run has no such engine. A sandbox is there for those who ask."""

    policy: EngineSlot[Policy] | None = None
    prm: EngineSlot[AnyPrm] | None = None
    sandbox: EngineSlot[Sandbox] = field(default_factory=sandbox_slot)

    async def close(self) -> None:
        """Close all engines."""
        for slot in (self.policy, self.prm, self.sandbox):
            if slot is not None:
                await slot.close()


@dataclass(frozen=True)
class EngineContext(ShardContext):
    """The context of a stage that uses engines: also the engines, and how its calls are made."""

    engines: Engines
    access: EngineAccess

    @property
    def policy(self) -> EngineSlot[Policy]:
        """The slot of the policy, which the stage needs."""
        assert self.engines.policy is not None, "a run with a stage that draws has a policy"
        return self.engines.policy

    @property
    def prm(self) -> EngineSlot[AnyPrm]:
        """The slot of the PRM, which the stage needs."""
        assert self.engines.prm is not None, "a run with a stage that scores has a PRM"
        return self.engines.prm
