"""`overthink validate`: whether a recipe of any command is right, before anything starts."""

from typing import Annotated

import typer

from overthink.flows.commands.options import RecipeArgument
from overthink.flows.commands.terminal import console, plain_errors


def validate(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
) -> None:
    """Check the keys and values of a recipe of any command, or of a strategy; one line when they are right.

    Loads no engine and reads no problems: `overthink run RECIPE --dry-run` checks those too.
    """
    from overthink.tasks.recipes.any_kind import read_any
    from overthink.tasks.recipes.loading import find_recipe
    from overthink.tasks.recipes.strategy_file import Strategy

    with plain_errors():
        found = read_any(find_recipe(recipe), changes or [])
        command = "solve" if isinstance(found, Strategy) else found.command
        what = "strategy" if isinstance(found, Strategy) else "recipe"
        console().print(f"{recipe}: a valid {what} of `overthink {command}`", soft_wrap=True, highlight=False)
