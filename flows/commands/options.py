"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from storage.errors import StorageError
from storage.store import Store
from tasks.errors import UserError

DEFAULT_STORE = Path("store")
StoreOption = Annotated[Path, typer.Option("--store", envvar="OVERTHINK_STORE", help="Folder that holds all results.")]
RecipeArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]


def existing(root: Path) -> Store:
    """The store in a folder that is there. Raises StorageError where it is not."""
    if not root.is_dir():
        raise StorageError(f"there is no store at {root}: name one with --store, or make it with `overthink run`")
    return Store(root)


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named. Raises UserError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; name a file in a folder that is there") from error
