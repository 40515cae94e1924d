"""`overthink plugins`: the methods, selectors and domains, and the installed package that each comes from."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.table import Table

from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.errors import UserError
from overthink.tasks.plugins import Group, Plugin, plugins

Load = Callable[[Plugin], Any]
Kinds = Mapping[Group, tuple[Mapping[str, Any], Load]]


def _kinds() -> Kinds:
    """The built-in ones of each kind, and the loader of installed ones."""
    from overthink.tasks.analysis.selectors import SELECTORS, Selector
    from overthink.tasks.domains.known_domains import DOMAINS, load_domain
    from overthink.tasks.recipes.methods import INSTALLED, METHODS

    return {
        "methods": (METHODS, INSTALLED.load),
        "selectors": (SELECTORS, lambda plugin: plugin.load_as(Selector)),
        "domains": (DOMAINS, load_domain),
    }


def list_plugins() -> None:
    """List methods, selectors and domains: the built-in ones, and those of installed packages."""
    with plain_errors():
        table = Table("kind", "name", "distribution", "version")
        broken: list[str] = []
        for group, (built_in, load) in _kinds().items():
            for row in _rows(group, built_in, load, broken):
                table.add_row(group[:-1], *row)
        console().print(table)
        if broken:
            raise UserError("; ".join(broken))


def _rows(group: Group, built_in: Mapping[str, Any], load: Load, broken: list[str]) -> Iterator[tuple[str, str, str]]:
    yield from ((name, "built in", "") for name in built_in)
    for name, plugin in plugins(group, built_in).items():
        try:
            version = f"{plugin.release}, {group[:-1]} version {load(plugin).version}"
        except UserError as error:
            broken.append(str(error))
            version = f"{plugin.release}, broken"
        yield name, plugin.distribution, version
