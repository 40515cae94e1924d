"""The `overthink` command with all its groups."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer

from overthink.flows.commands import ask, prm, upkeep
from overthink.flows.commands import import_command as imports
from overthink.flows.commands.compare import compare, gate
from overthink.flows.commands.datasets_command import list_datasets
from overthink.flows.commands.demo import demo
from overthink.flows.commands.deploy import deploy
from overthink.flows.commands.estimate import estimate
from overthink.flows.commands.export import export
from overthink.flows.commands.fit import fit
from overthink.flows.commands.init import init
from overthink.flows.commands.plugins_command import list_plugins
from overthink.flows.commands.prompt import prompt
from overthink.flows.commands.push import push
from overthink.flows.commands.report import report
from overthink.flows.commands.run import run
from overthink.flows.commands.show import show
from overthink.flows.commands.solve import solve
from overthink.flows.commands.status import status
from overthink.flows.commands.sweep_command import sweep
from overthink.flows.commands.usage import PlainGroup
from overthink.flows.commands.validate import validate
from overthink.flows.commands.view import view

app = typer.Typer(cls=PlainGroup, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overthink {version('overthink')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Test-time compute for language models: sample, score, select and grade; resumable, and open to SQL."""


# By their place in the help: each command's function, its name where that is not the function's, and an example.
COMMANDS: dict[str, tuple[tuple[Callable[..., Any], str | None, str], ...]] = {
    "Begin": (
        (demo, None, "overthink demo --problems 50"),
        (init, None, "overthink init night.yaml --problems math500 --method dvts --budget 16"),
        (validate, None, "overthink validate night.yaml"),
        (ask.recipes, None, "overthink recipes"),
        (list_datasets, "datasets", "overthink datasets --format json"),
        (list_plugins, "plugins", "overthink plugins"),
        (prompt, None, "overthink prompt demo --set prompt.style=plain"),
        (estimate, None, "overthink estimate math500 --gpu h100"),
        (upkeep.doctor, None, "overthink doctor --store store"),
    ),
    "Run": (
        (run, None, "overthink run demo --set problems.count=20 --store store"),
        (sweep, None, "overthink sweep sweep --set problems.0.count=20"),
        (fit, None, "overthink fit sweep --out strategy.yaml"),
        (solve, None, "overthink solve strategy.yaml --problems questions.jsonl --budget 16"),
        (imports.import_, "import", "overthink import jsonl rollouts.jsonl --map question=q --map text=completion"),
        (prm.prm_eval, None, "overthink prm-eval prm-eval --set solutions.count=20"),
        (prm.prm_train, None, "overthink prm-train prm-train --set rollouts=32"),
        (deploy, None, "overthink deploy nightly --cron '0 3 * * *' --timezone Europe/London"),
    ),
    "See": (
        (status, None, "overthink status --store store"),
        (view, None, "overthink view store"),
        (show, None, "overthink show demo chain-09-1a2b3c4d5e6f --sample 3"),
        (report, None, "overthink report demo --html report.html"),
        (compare, None, "overthink compare demo-1a2b demo-3c4d --selector majority"),
        (gate, None, "overthink gate nightly --against last"),
        (ask.sql, None, "overthink sql 'SELECT * FROM summary' --format csv"),
        (ask.tree, None, "overthink tree search chain-09-1a2b3c4d5e6f --method dvts"),
        (ask.cost, None, "overthink cost demo --price-per-hour 2.5"),
        (export, None, "overthink export demo --parquet tables"),
        (push, None, "overthink push demo me/abacus-rollouts --to data_set"),
    ),
    "Keep": ((upkeep.gc, None, "overthink gc --yes --run demo-1a2b"),),
}
for panel, commands in COMMANDS.items():
    for function, called, example in commands:
        app.command(name=called, rich_help_panel=panel, epilog=f"Example: {example}")(function)
