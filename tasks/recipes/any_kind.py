"""A file that a user wrote, checked as what its keys say that it is: a recipe of any command, or a strategy."""

from collections.abc import Sequence
from pathlib import Path

from overthink.tasks.errors import UserError
from overthink.tasks.recipes.complaints import naming
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.loading import KINDS, MAPPING, read_mapping, read_recipe_of
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe
from overthink.tasks.recipes.strategy_file import Strategy, read_strategy

OF_A_STRATEGY = "choices"


def read_any(path: Path, changes: Sequence[str] = ()) -> AnyRecipe | Strategy:
    """The recipe or the strategy in a file, and the strategies that it names. Raises UserError with all mistakes.

    What says nothing of its kind is read as a recipe of `overthink run`, whose mistakes are then told.
    """
    value = read_mapping(path, MAPPING)
    if OF_A_STRATEGY in value:
        if changes:
            raise UserError(f"{path}: --set changes recipes, and this is a strategy: leave it out")
        return read_strategy(path)
    kinds: tuple[type[AnyRecipe], ...] = (*KINDS, ImportRecipe)
    kind = next((kind for kind in kinds if kind.own_key in value), Recipe)
    recipe = read_recipe_of(kind, path, changes)
    if isinstance(recipe, Recipe):
        with naming(str(path), changes):
            for method in recipe.strategies:
                read_strategy(method.strategy)
    return recipe
