"""The engines of a sweep: each is loaded when first needed, and stays loaded until another needs its place."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from overthink.flows.orchestration.secret_blocks import open_policy, open_prm
from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.plan.gpus import overfull_gpu

Role = Literal["policy", "prm"]


class SweepEngines:
    """Loads at most one policy and one PRM at a time, and both only where they fit onto their GPUs.

    An engine that failed to load is not tried again: all stages that need it get the same error at once.
    """

    def __init__(self) -> None:
        self._slots: dict[tuple[Role, Any], EngineSlot[Any]] = {}
        self._refused: dict[tuple[Role, Any], EngineUnavailable] = {}

    def policy(self, config: PolicyConfig | None) -> EngineSlot[Policy] | None:
        """The slot of a policy; None without one."""
        return None if config is None else self._slot(("policy", config), open_policy)

    def prm(self, config: PrmConfig | None) -> EngineSlot[AnyPrm] | None:
        """The slot of a PRM; None without one."""
        return None if config is None else self._slot(("prm", config), open_prm)

    def _slot(self, place: tuple[Role, Any], opener: Callable[[Any], Awaitable[Any]]) -> EngineSlot[Any]:
        async def open_in_turn(config: Any) -> Any:
            if place in self._refused:
                raise self._refused[place]
            for other, slot in self._slots.items():
                if other != place and not _fit_together(place, other):
                    await slot.close()
            try:
                return await opener(config)
            except EngineUnavailable as error:
                self._refused[place] = error
                raise

        return self._slots.setdefault(place, EngineSlot(place[1], open_in_turn))


def _fit_together(place: tuple[Role, Any], other: tuple[Role, Any]) -> bool:
    configs = dict((place, other))
    return len(configs) == 2 and overfull_gpu(configs["policy"], configs["prm"]) is None
