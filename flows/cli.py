"""The `overthink` command: its groups put together."""

from importlib.metadata import version
from typing import Annotated

import typer

from flows.commands import ask, imports, prm
from flows.commands.deploy import deploy
from flows.commands.report import report
from flows.commands.run import run
from flows.commands.status import status

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overthink {version('overthink')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Test-time compute for language models: sample, score, select and grade; resumable, and open to SQL."""


for command in (run, deploy, prm.prm_eval, prm.prm_train, imports.compare, status, ask.sql, report, ask.cost, ask.tree):
    app.command()(command)
app.command(name="import")(imports.import_)
app.command()(ask.recipes)
