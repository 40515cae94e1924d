"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from storage.errors import StorageError
from storage.store import Store

DEFAULT_STORE = Path("store")
StoreOption = Annotated[Path, typer.Option("--store", envvar="OVERTHINK_STORE", help="Folder that holds all results.")]
RecipeArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]


def existing(root: Path) -> Store:
    """The store in a folder that is there. Raises StorageError where it is not."""
    if not root.is_dir():
        raise StorageError(f"there is no store at {root}: name one with --store, or make it with `overthink run`")
    return Store(root)
