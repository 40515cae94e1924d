"""The files of recipes: found, read from YAML with the user's changes, and every mistake told with its key."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from overthink.tasks.closest import closest
from overthink.tasks.datasets.few_shot import read_shots
from overthink.tasks.datasets.input_files import bounded_bytes
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.complaints import Complaint, blamed, complaints
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe, PrmTrainRecipe
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe
from overthink.tasks.recipes.safe_yaml import LARGEST, safe_yaml
from overthink.tasks.recipes.sweep_recipe import SweepRecipe

KINDS: tuple[type[AnyRecipe], ...] = (SweepRecipe, Recipe, PrmEvalRecipe, PrmTrainRecipe)
MAPPING = "a recipe is a mapping of keys to values; see `overthink recipes`"
FROM_FILES = ("family", "preset")  # keys whose value may be the name of a YAML file
Kind = TypeVar("Kind", bound=AnyRecipe)


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with Overthink, by name."""
    folder = Path(str(files("overthink.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of a shipped one. Raises UserError with what there is."""
    path = Path(name)
    if path.exists() and not path.is_dir():
        return path
    shipped = shipped_recipes()
    if path.parent in (Path(), Path("recipes")) and path.stem in shipped:
        return shipped[path.stem]
    meant = closest(path.stem, shipped) if path.parent in (Path(), Path("recipes")) else None
    what = f"the folder {name} is no recipe" if path.is_dir() else f"there is no recipe {name!r}"
    if meant is not None and not path.is_dir():
        raise UserError(f"{what}: did you mean {meant}?")
    raise UserError(f"{what}: name a YAML file, or one of {', '.join(shipped)}")


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe of `overthink run`. See `read_recipe_of`."""
    return read_recipe_of(Recipe, path, changes)


def read_runs(path: Path, changes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of all runs that a recipe of `overthink run` or `overthink sweep` comes to. See `read_recipe_of`."""
    if SweepRecipe.own_key in read_mapping(path, MAPPING):
        return read_recipe_of(SweepRecipe, path, changes).recipes()
    return [read_recipe(path, changes)]


def read_asking(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of the rollouts that a recipe of `overthink run` or `overthink prm-train` begins with."""
    if PrmTrainRecipe.own_key in read_mapping(path, MAPPING):
        return read_recipe_of(PrmTrainRecipe, path, changes).rolling_out()
    return read_recipe(path, changes)


def read_recipe_of(kind: type[Kind], path: Path, changes: Sequence[str] = ()) -> Kind:
    """Read a recipe and apply `--set KEY=VALUE` changes. Raises UserError naming file, key and remedy."""
    return _checked(kind, read_mapping(path, MAPPING), str(path), changes)


def check_recipe(value: Mapping[str, Any], changes: Sequence[str] = ()) -> Recipe:
    """A recipe of `overthink run` that is given as a mapping. Raises UserError naming key and remedy."""
    return _checked(Recipe, deepcopy(dict(value)), "the recipe", changes)


def _checked(kind: type[Kind], value: dict[str, Any], place: str, changes: Sequence[str]) -> Kind:
    for other in KINDS:
        # A sweep has the own key of a run too, so that key does not say that it is one.
        is_ours = kind.own_key in value and kind.own_key not in other.model_fields
        if other is not kind and other.own_key in value and not is_ours:
            raise UserError(f"{place}: this recipe names {other.own_key}, so it is one of `overthink {other.command}`")
    wanted = deepcopy(value)
    for change in changes:
        _apply(wanted, change)
    try:
        return kind.model_validate(_with_data(wanted))
    except ValidationError as error:
        found = complaints(error, wanted, kind)
        without = _wrong_without_changes(kind, value) if changes else found
        raise UserError(blamed(found, without, place, changes)) from error


def _wrong_without_changes(kind: type[Kind], value: dict[str, Any]) -> list[Complaint]:
    try:
        kind.model_validate(_with_data(value))
    except ValidationError as error:
        return complaints(error, value, kind)
    except UserError:  # a file that it names, which the changes may have mended
        pass
    return []


def _with_data(value: Any, key: str = "") -> Any:
    """A recipe with what the files hold that it names for examples, a PRM family or a preset, in place of the names."""
    if isinstance(value, dict):
        return {name: _with_data(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_data(part) for part in value]
    if key == "few_shot" and isinstance(value, str):
        return read_shots(Path(value))
    if key in FROM_FILES and isinstance(value, str) and Path(value).suffix in (".yaml", ".yml"):
        return read_mapping(Path(value), f"a {key} is a mapping of keys to values; see docs/extending.md")
    return value


def read_mapping(path: Path, wanted: str) -> dict[str, Any]:
    """The keys and values of a YAML file; `wanted` says what it should hold. Raises UserError naming the file."""
    try:
        value = safe_yaml(bounded_bytes(path, 4 * LARGEST).decode())
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: mend its path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: {wanted}")
    return value


def _apply(value: dict[str, Any], change: str) -> None:
    key, mark, text = change.partition("=")
    if not mark:
        raise UserError(f"--set takes KEY=VALUE, not {change!r}; for example --set problems.count=20")
    place: Any = value
    *parents, last = key.split(".")
    for parent in parents:
        place = _child(place, parent, key)
    new = option_value(f"--set {key}", text)
    if isinstance(place, list):
        _child(place, last, key)
        place[int(last)] = new
    elif isinstance(place, dict):
        place[last] = new
    else:
        raise UserError(f"--set {key}: {parents[-1]!r} holds a plain value, so nothing can be set inside it")


def option_value(option: str, text: str) -> Any:
    """The value that a text of the command line is as YAML. Raises UserError naming the option."""
    try:
        return safe_yaml(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{option}: {text!r} is no YAML value: {' '.join(str(error).split())}") from error


def _child(place: Any, name: str, key: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(name, {})
    if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
        return place[int(name)]
    raise UserError(f"--set {key}: there is no {name!r} in the recipe")
