"""The terminal of the `overthink` command: what it shows, what goes to a run's log, and how errors are reported."""

import asyncio
import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from overthink.flows.commands.stopping import EXIT_CODE, MESSAGE, Terminated, ending_with_its_tasks, stopped_by_sigterm
from overthink.storage.storage_errors import QueryError, StorageError, StoreBusy
from overthink.tasks.errors import CellsFailed, Regression, UserError
from overthink.tasks.reporting.viewer.addresses import LOOPBACK
from overthink.tasks.terminal_text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from overthink.storage.store import Store

NO_TERMINAL_WIDTH = 120
WIDEST = 100_000
MISTAKE, REGRESSION = 2, 3  # exit codes; 1 is a run that failed
LEAKS = "ignore::UserWarning:multiprocessing.resource_tracker"
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_COLORS": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_COLOR": "0",
}


def quiet() -> None:
    """Reduce the output of Prefect and the tokenizers, unless the user has set it."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    # At the end of a process it warns of what other libraries left to it, and frees that.
    kept = os.environ.get("PYTHONWARNINGS", "")
    if LEAKS not in kept:
        os.environ["PYTHONWARNINGS"] = f"{kept},{LEAKS}".lstrip(",")
    # The stand-in for Prefect's server is on loopback, which a proxy of the environment cannot reach.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    os.environ["no_proxy"] = direct if LOOPBACK in direct else f"{direct},{LOOPBACK}".lstrip(",")


def carry_out(store: "Store", run_id: str, what: str, flow: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a flow, with all library output in the run's log. On failure prints what is safe and exits with code 1.

    Raises UserError, StoreBusy and CellsFailed, which the caller reports better.
    """
    # Registered before Prefect and engines are imported, so it is called after all that these register.
    atexit.register(_end_quietly)
    from prefect.exceptions import TerminationSignal

    from overthink.flows.orchestration.run_flow import run_flow
    from overthink.tasks.stages.progress import terminal

    log = store.run_folder(run_id) / "run.log"
    logging.getLogger("overthink").setLevel(logging.INFO)
    with chatter_to(log) as screen:
        shown = terminal.set(screen)
        screen.print(f"run {run_id}: {what}, store {store.address}, log {log}", soft_wrap=True)
        try:
            say = partial(screen.print, markup=False, soft_wrap=True)
            asyncio.run(ending_with_its_tasks(run_flow(store, run_id, flow, say)))
        except (UserError, StoreBusy, CellsFailed, Regression):
            raise
        except KeyboardInterrupt:
            _stopped(screen, "stopped by Ctrl-C", log)
        except (Terminated, TerminationSignal):
            _stopped(screen, "stopped by SIGTERM", log, EXIT_CODE)
        except Exception as error:
            _stopped(screen, f"{type(error).__name__}: {error}", log)
        finally:
            terminal.reset(shown)  # the screen is closed with the log


def _end_quietly() -> None:
    """Send to nowhere what native libraries write behind all Python code: DuckDB's lists what it holds to be leaked."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class Screen(Console):
    """A terminal that prints text literally: no markup, no emoji codes, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The hook by which rich renders every plain string, in tables and titles too."""
        return super().render_str(printable(text), **options)


def console() -> Screen:
    """The terminal; wide enough for a result table where there is none."""
    screen = Screen()
    return screen if screen.is_terminal else Screen(width=NO_TERMINAL_WIDTH)


def print_complete(store: "Store", run_id: str) -> None:
    """Print in a line that a run needs nothing."""
    finished = (store.find_run(run_id).finished_at or "")[:16].replace("T", " ")
    line = f"{run_id}: complete since {finished} UTC, nothing to do"
    console().print(line, highlight=False, soft_wrap=True)


def print_note(note: str) -> None:
    """Print a note (neither an error nor a result) as one line on standard error."""
    Screen(stderr=True).print(f"note: {note}", style="yellow", soft_wrap=True, highlight=False)


def unfolded(drawn: RenderableType) -> Screen:
    """A screen as wide as what is drawn: for output that is unreadable, or cannot be copied, when wrapped."""
    width = Screen(width=WIDEST).measure(drawn).maximum
    return Screen(width=max(width, console().width))


def print_whole(table: "Table", keys: int = 1) -> None:
    """Print a table; where the terminal is too narrow, in several that each begin with its first `keys` columns."""
    from overthink.tasks.reporting.fitting_tables import fitting_tables

    screen = console()
    for part in fitting_tables(table, screen.width, keys) if screen.is_terminal else [table]:
        screen.print(part)


def _stopped(screen: Console, reason: str, log: Path, code: int = 1) -> NoReturn:
    screen.print(
        f"The run stopped: {reason}\nEvery finished part and every answered call is safe. Run the same command again "
        f"to resume. Log: {log}",
        style="red",
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit(code)


@contextlib.contextmanager
def chatter_to(log: Path) -> Iterator[Console]:
    """Send everything written to standard output and error, native libraries' too, to the log; yield the terminal."""
    from overthink.storage.files import disk_errors

    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with os.fdopen(os.dup(1), "w") as terminal_stream:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        try:
            yield Screen(file=terminal_stream)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Report the user's mistakes as one message, without a traceback, with exit code 2; a regression with 3.

    SIGTERM is reported the same way, with 143.
    """
    try:
        with stopped_by_sigterm():
            yield
    except Terminated as error:
        Screen(stderr=True).print(MESSAGE, style="red", soft_wrap=True, highlight=False)
        raise typer.Exit(EXIT_CODE) from error
    except (UserError, StorageError, QueryError, Regression) as error:
        Screen(stderr=True).print(str(error), style="red", soft_wrap=True, highlight=False)
        raise typer.Exit(REGRESSION if isinstance(error, Regression) else MISTAKE) from error
