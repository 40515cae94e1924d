"""`overthink prompt`: exactly what a recipe puts to its policy."""

from typing import TYPE_CHECKING, Annotated

import typer

from overthink.flows.commands.options import RecipeArgument
from overthink.flows.commands.terminal import console, plain_errors, print_note, quiet
from overthink.tasks.closest import which_of_many
from overthink.tasks.errors import UserError

if TYPE_CHECKING:
    from overthink.tasks.recipes.recipe import Recipe
    from overthink.tasks.records import Problem


def prompt(
    recipe: RecipeArgument,
    problem_id: Annotated[
        str | None, typer.Argument(metavar="[PROBLEM]", help="A problem's id; the first problem by default.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as prompt.style=plain.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the token ids instead of the text.")] = False,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Print exactly what is sent to a recipe's policy about one problem, and how long it is; loads no weights."""
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_asking

    with plain_errors():
        quiet()
        from overthink.tasks.plan.sent_prompt import sent_prompt

        wanted = read_asking(find_recipe(recipe), changes or [])
        with naming(recipe, changes or []):
            problem = _problem(wanted, problem_id, skip_bad_rows)
            sent = sent_prompt(wanted.policy, problem)
        if ids and sent.ids is None:
            raise UserError("the policy's tokens are made elsewhere, so there are no --ids here: leave it out")
        shown = " ".join(map(str, sent.ids or ())) if ids else sent.text
        console().print(shown, soft_wrap=True, highlight=False)
        if sent.length is None:
            print_note(f"problem {problem.problem_id}: how many tokens these are is not known here")
            return
        special = "".join(f", {count} × {word}" for word, count in sent.special)
        print_note(f"problem {problem.problem_id}: {sent.length.tokens} tokens{special}")
        print_note(sent.length.room_for(wanted.sampling.max_tokens))


def _problem(recipe: "Recipe", problem_id: str | None, skip_bad_rows: bool) -> "Problem":
    """The problem to show. Raises UserError with the first ids where there is none of that id."""
    from overthink.tasks.datasets.problem_loading import load_problems

    problem_set = load_problems(recipe.problems, skip_bad_rows, recipe.asking)
    for complaint in problem_set.dropped:
        print_note(f"dropped: {complaint}")
    known = {problem.problem_id: problem for problem in problem_set.problems}
    if problem_id is None:
        return problem_set.problems[0]
    if problem_id not in known:
        among = f"among the {len(known)} of {recipe.name}"
        raise UserError(f"there is no problem {problem_id!r} {among}: {which_of_many(problem_id, [*known])}")
    return known[problem_id]
