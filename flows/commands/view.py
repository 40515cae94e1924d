"""`overthink view`: a store's runs, problems and rollouts in a browser."""

import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, STORE_HELP, existing
from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.addresses import LOOPBACK, PORT

if TYPE_CHECKING:
    from overthink.storage.store import Store

_TOKEN = re.compile(r"[\w-]{16,}", re.ASCII)


def view(
    store: Annotated[str, typer.Argument(metavar="[STORE]", envvar="OVERTHINK_STORE", help=STORE_HELP)] = DEFAULT_STORE,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where it listens, on loopback; 0: any free port.")
    ] = PORT,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="OVERTHINK_VIEW_TOKEN", help="The token in the address, so that links outlive it; else a new one."
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the pages to this new folder instead, for any browser.")
    ] = None,
    run_names: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="With --export: only this run or sweep; repeatable."),
    ] = None,
) -> None:
    """Show a store in a browser: runs, their problems, every rollout step by step, and why a problem was wrong."""
    with plain_errors():
        opened = existing(store)
        if token is not None and not _TOKEN.fullmatch(token):
            raise UserError("--token: 16 letters, digits, - or _ at least; or leave it out for a random one")
        if export is not None:
            _export(opened, export, run_names)
            return
        if run_names:
            raise UserError("--run goes with --export: the viewer itself shows all runs")
        with _listening(port) as listener:
            _serve(opened, listener, token or secrets.token_urlsafe(16))


def _export(store: "Store", folder: Path, run_names: Sequence[str] | None) -> None:
    from overthink.tasks.reporting.viewer.static_export import export_pages

    only = {run.run_id for name in run_names for run in store.find_runs(name)} if run_names else None
    count = export_pages(store, folder, only)
    console().print(f"{folder / 'index.html'}: {count} pages", soft_wrap=True, highlight=False)


def _listening(port: int) -> socket.socket:
    """A socket that listens on loopback. Raises UserError where the port is taken."""
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        taken = f"port {port} cannot be used: another program has it, or it is root's"
        raise UserError(f"{taken}; name another with --port, or 0 for any") from error


def _serve(store: "Store", listener: socket.socket, token: str) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    from overthink.tasks.reporting.viewer.loopback_server import viewer_app

    place = f"http://{LOOPBACK}:{listener.getsockname()[1]}/{token}/"
    console().print(f"{store.address} is shown at {place}\nCtrl-C ends it.", soft_wrap=True, highlight=False)
    server = uvicorn.Server(uvicorn.Config(viewer_app(store, token), log_level="error", access_log=False))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return
