"""`overthink demo`: the whole of it in minutes, with what is installed along."""

from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption
from overthink.flows.commands.report import print_report
from overthink.flows.commands.run import run_to_end
from overthink.flows.commands.terminal import console, plain_errors, quiet

NEXT = """overthink view {store}   # problems, solutions and their scores, in a browser
overthink report demo --store {store} --html report.html   # curves, difficulty and cost, on one page
overthink init   # a recipe for your own model and problems"""


def demo(
    problems: Annotated[int, typer.Option(min=1, help="How many chains of arithmetic are solved.")] = 200,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Solve chains of arithmetic with the embedded models, greedily and by best-of-64: two minutes on two cores.

    The models come with the package: no checkout, no network and no GPU are needed, only vLLM (extra `cpu` or `gpu`).
    """
    from overthink.tasks.recipes.loading import read_recipe, shipped_recipes

    with plain_errors():
        quiet()
        recipe = read_recipe(shipped_recipes()["demo"], [f"problems.count={problems}"])
        opened, run_id = run_to_end(recipe, store, False)
        print_report(console(), opened, opened.find_run(run_id))
        console().print(NEXT.format(store=store), soft_wrap=True, highlight=False)
