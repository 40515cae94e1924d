"""The notes in a store on final states of flow runs that no Prefect server has received."""

from pathlib import Path

from overthink.storage.store import Store


def note_path(folder: Path, flow_run_id: str) -> Path:
    """The note on a flow run, in the folder of its run."""
    return folder / f"untold-{flow_run_id}.json"


def notes(store: Store) -> list[Path]:
    """All notes of a store."""
    return sorted((store.root / "runs").glob("*/untold-*.json"))
