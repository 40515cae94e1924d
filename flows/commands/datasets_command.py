"""`overthink datasets`: the presets, where their data sets are published, and the columns that they read."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Column, Table

from overthink.flows.commands.compare import Output
from overthink.flows.commands.terminal import console, plain_errors

if TYPE_CHECKING:
    from overthink.tasks.datasets.published import InFiles, OnHub, Published

UNKNOWN = "unknown"


def list_datasets(output: Output = "table") -> None:
    """List the presets of data sets: source, revision, number of problems, licence, domain, and columns."""
    from overthink.tasks.datasets.presets import PRESETS

    with plain_errors():
        if output == "json":
            typer.echo(json.dumps([_listed(name) for name in PRESETS], indent=2))
            return
        console().print(_sources())
        console().print(_columns())


def _listed(name: str) -> dict[str, Any]:
    from overthink.tasks.datasets.presets import PRESETS

    preset = PRESETS[name]
    columns = preset.columns.model_dump(exclude_none=True)
    return {"preset": name, "domain": preset.domain, "columns": columns, **asdict(_published(name))}


def _published(name: str) -> "Published":
    from overthink.tasks.datasets.published import PUBLISHED, Published

    return {str(known): one for known, one in PUBLISHED.items()}.get(name, Published())


def _sources() -> Table:
    """A row for each place that has a preset's data set."""
    from overthink.tasks.datasets.presets import PRESETS

    table = Table("preset", "domain", "problems", "licence", Column("source", overflow="fold"))
    for name, preset in PRESETS.items():
        first = (name, preset.domain)
        for row in _places(_published(name)):
            table.add_row(*first, *row)
            first = ("", "")
    return table


def _places(published: "Published") -> Iterator[tuple[str, str, str]]:
    places = [one for one in (published.files, published.hub) if one is not None]
    for place in places:
        problems = UNKNOWN if place.problems is None else str(place.problems)
        yield problems, place.licence or UNKNOWN, _told(place)
    if not places:
        yield UNKNOWN, UNKNOWN, UNKNOWN


def _told(place: "InFiles | OnHub") -> str:
    from overthink.tasks.datasets.published import InFiles

    if isinstance(place, InFiles):
        return f"files of {place.publisher}"
    parts = ", ".join(part for part in (place.config, place.split) if part)
    others = "".join(f"; {field}: {column}" for field, column in place.columns.items())
    return f"hub {place.dataset} ({parts}) at {place.revision[:8]}{others}"


def _columns() -> Table:
    from overthink.tasks.datasets.presets import PRESETS

    table = Table("preset", Column("columns", overflow="fold"))
    for name, preset in PRESETS.items():
        fields = preset.columns.model_dump(exclude_none=True)
        told = (
            f"{field}: {column if isinstance(column, str) else ', '.join(column)}" for field, column in fields.items()
        )
        table.add_row(name, "; ".join(told))
    return table
