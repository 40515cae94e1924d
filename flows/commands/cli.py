"""The `overthink` command with all its groups."""

from importlib.metadata import version
from typing import Annotated

import typer

from overthink.flows.commands import ask, prm, upkeep
from overthink.flows.commands import import_command as imports
from overthink.flows.commands.compare import compare, gate
from overthink.flows.commands.datasets_command import list_datasets
from overthink.flows.commands.deploy import deploy
from overthink.flows.commands.estimate import estimate
from overthink.flows.commands.export import export
from overthink.flows.commands.fit import fit
from overthink.flows.commands.plugins_command import list_plugins
from overthink.flows.commands.prompt import prompt
from overthink.flows.commands.report import report
from overthink.flows.commands.run import run
from overthink.flows.commands.show import show
from overthink.flows.commands.solve import solve
from overthink.flows.commands.status import status
from overthink.flows.commands.sweep_command import sweep
from overthink.flows.commands.usage import PlainGroup
from overthink.flows.commands.view import view

app = typer.Typer(cls=PlainGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overthink {version('overthink')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Test-time compute for language models: sample, score, select and grade; resumable, and open to SQL."""


COMMANDS = (
    run,
    sweep,
    fit,
    solve,
    estimate,
    prompt,
    deploy,
    prm.prm_eval,
    prm.prm_train,
    compare,
    gate,
    status,
    view,
    show,
    ask.sql,
    export,
    report,
    ask.cost,
    ask.tree,
    upkeep.gc,
    upkeep.doctor,
)
for command in COMMANDS:
    app.command()(command)
app.command(name="import")(imports.import_)
app.command()(ask.recipes)
app.command(name="plugins")(list_plugins)
app.command(name="datasets")(list_datasets)
