"""`overthink import`: imports rollouts that other tools stored."""

from pathlib import Path
from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption
from overthink.flows.commands.report import print_report
from overthink.flows.commands.terminal import carry_out, console, plain_errors, print_complete, quiet
from overthink.tasks.counted import counted
from overthink.tasks.domains.domain import Extraction
from overthink.tasks.importers.import_words import ANY, ImportFormat, WhichSelectors
from overthink.tasks.importers.score_transforms import ScoreTransform


def import_(
    layout: Annotated[ImportFormat, typer.Argument(metavar="FORMAT", help="The format of the tool that stored them.")],
    path: Annotated[Path, typer.Argument(help="The folder or file of the rollouts.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="KEY=COLUMN", help="For jsonl, lm-eval and inspect: the keys' columns."),
    ] = None,
    problems: Annotated[Path | None, typer.Option(help="For codet: the file of the problems.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name, instead of the format's.")] = None,
    domain: Annotated[str | None, typer.Option(help="The domain of the problems; math, of codet code.")] = None,
    domain_options: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What the domain takes, such as tolerance=0.01 or shuffle=true."),
    ] = None,
    extraction: Annotated[Extraction, typer.Option(help="How answers are extracted from the rollouts.")] = "lenient",
    reasoning: Annotated[
        str,
        typer.Option(
            help='The marks of reasoning, which is kept apart: any, none, a family such as think, or "OPEN CLOSE".'
        ),
    ] = ANY,
    selectors: Annotated[
        WhichSelectors, typer.Option(help="all: also those that choose by length, where tokens are known.")
    ] = "default",
    independent: Annotated[
        bool, typer.Option(help="The rollouts are independent samples: any n of them represent a budget of n.")
    ] = False,
    transform: Annotated[
        ScoreTransform,
        typer.Option(
            "--score-transform", help="For jsonl: how raw scores are mapped into [0, 1], each alone or per file."
        ),
    ] = "none",
    explode: Annotated[
        bool, typer.Option("--explode", help="For jsonl: each row holds lists, with one value per rollout.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Import rollouts that another tool stored; they are graded and selected from like any others."""
    from overthink.storage.opening import open_store
    from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe

    with plain_errors():
        quiet()
        read_as = ReadAs(mapping or [], transform, explode, problems)
        graded = GradedAs(domain, tuple(domain_options or ()), extraction, reasoning, selectors)
        recipe = import_recipe(layout, path, read_as, name, graded, independent)
        from overthink.flows.import_rollouts import import_rollouts
        from overthink.tasks.plan.import_plan import plan_imports
        from overthink.tasks.plan.run_plan import is_finished

        plans, opened = plan_imports(recipe), open_store(store)
        if not all(is_finished(plan, opened) for plan in plans):
            what = counted(sum(len(plan.problems.units) for plan in plans), "problem")
            carry_out(opened, plans[0].run_id, what, lambda: import_rollouts(recipe, store))
        else:
            print_complete(opened, plans[0].run_id)
        for plan in plans:
            print_report(console(), opened, opened.find_run(plan.run_id))
