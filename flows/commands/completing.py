"""What a shell completes: the names of recipes and of runs."""

import os
from contextlib import suppress
from pathlib import Path

import typer


def recipe_names(incomplete: str) -> list[str]:
    """The shipped recipes and the YAML files that begin with what is typed."""
    from overthink.tasks.recipes.loading import shipped_recipes

    files = sorted(map(str, Path(incomplete.rpartition("/")[0]).glob("*.yaml")))
    return [name for name in (*shipped_recipes(), *files) if name.startswith(incomplete)]


def run_names(context: typer.Context, incomplete: str) -> list[str]:
    """The runs of the store that is named, newest first; none of a bucket, which would have to be asked."""
    from overthink.flows.commands.options import DEFAULT_STORE
    from overthink.storage.opening import is_in_bucket, open_store
    from overthink.storage.storage_errors import StorageError

    place = str(context.params.get("store") or os.environ.get("OVERTHINK_STORE") or DEFAULT_STORE)
    with suppress(StorageError):  # a damaged store is told by the command, not while its words are typed
        runs = [] if is_in_bucket(place) else open_store(place).runs()
        return [run.run_id for run in reversed(runs) if run.run_id.startswith(incomplete)]
    return []
