"""`overthink init`: a first recipe, with comments, from options or a few questions."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from overthink.flows.commands.options import check_writable, write_text
from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.errors import UserError

FILE = Path("recipe.yaml")
QUESTIONS = {
    "policy": "The model that writes (a hub name, a folder, zoo/abacus-1m, NAME@URL of a served one, fake)",
    "prm": "The model that scores its steps (the same; none)",
    "problems": "The problems (a preset of `overthink datasets`, a file, chains, specs)",
    "method": "The method (cot, best_of_n, beam_search, dvts, rebase, particle_filtering, mcts, adaptive)",
    "budget": "Its budget: solutions of each problem",
}


def init(
    file: Annotated[Path, typer.Argument(help="The recipe to write.")] = FILE,
    name: Annotated[str | None, typer.Option(help="The runs' name, instead of the file's.")] = None,
    policy: Annotated[str | None, typer.Option(help="A model, NAME@URL of a served one, or fake.")] = None,
    prm: Annotated[str | None, typer.Option(help="The model that scores steps, fake, or none.")] = None,
    problems: Annotated[str | None, typer.Option(help="A preset, a file, chains or specs.")] = None,
    method: Annotated[str | None, typer.Option(help="best_of_n, dvts, …")] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Solutions of each problem.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a first recipe with comments; asks in a terminal for what no option says, else takes what runs anywhere."""
    from overthink.tasks.recipes.loading import check_recipe
    from overthink.tasks.recipes.new_recipe import Wishes, recipe_text
    from overthink.tasks.recipes.safe_yaml import safe_yaml

    with plain_errors():
        check_writable(file)
        if file.exists() and not force:
            raise UserError(f"{file} is there already: name another file, or replace it with --force")
        said = {"policy": policy, "prm": prm, "problems": problems, "method": method, "budget": budget}
        text = recipe_text(Wishes(name or file.stem.lower(), **{key: _answer(key, one) for key, one in said.items()}))
        check_recipe(safe_yaml(text))
        write_text(file, text)
        console().print(
            f"wrote {file}; next: overthink run {file} --dry-run, then overthink run {file}",
            soft_wrap=True,
            highlight=False,
        )


def _answer(key: str, said: Any) -> Any:
    """What an option says, else what the user answers in a terminal, else the default."""
    from overthink.tasks.recipes.new_recipe import Wishes

    default = getattr(Wishes, key)
    if said is not None or not sys.stdin.isatty():
        return default if said is None else said
    return typer.prompt(QUESTIONS[key], default=default, value_proc=_number if isinstance(default, int) else None)


def _number(text: str) -> int:
    """A number of solutions. Raises BadParameter, so that it is asked again."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"a whole number is wanted, 1 at least, not {text!r}")
    return int(text)
