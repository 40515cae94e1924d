"""The gate's verdict as a Prefect event."""

from dataclasses import asdict

from overthink.storage.store import Store
from overthink.tasks.recipes.recipe import GateConfig
from overthink.tasks.reporting.gate import Verdict, judge, raise_fallen

PASSED, FAILED = "overthink.gate.passed", "overthink.gate.failed"


def emit_verdict(verdict: Verdict, recipe_name: str) -> None:
    """Emit the verdict as an event, for automations to act on. An unreachable server is ignored."""
    from prefect.events import emit_event

    emit_event(
        event=FAILED if verdict.fallen else PASSED,
        resource={
            "prefect.resource.id": f"overthink.run.{verdict.run_id}",
            "prefect.resource.name": verdict.run_id,
            "overthink.recipe": recipe_name,
        },
        payload={"message": verdict.message, **asdict(verdict)},
    )


def apply_gate(store: Store, run_id: str, gate: GateConfig) -> None:
    """Judge a finished run and emit the verdict. Raises Regression where the run is less accurate."""
    run = store.find_run(run_id)
    verdict = judge(store, run, gate)
    emit_verdict(verdict, run.name)
    raise_fallen(verdict)
