"""`overthink plugins`: the methods, selectors and domains, and the installed package that each comes from."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.table import Table

from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.analysis.selectors import SELECTORS, Selector
from overthink.tasks.domains.known_domains import DOMAINS, load_domain
from overthink.tasks.errors import UserError
from overthink.tasks.plugins import Group, Plugin, plugins
from overthink.tasks.recipes.methods import INSTALLED, METHODS

Load = Callable[[Plugin], Any]
# The built-in ones, and the loaders of installed ones.
KINDS: Mapping[Group, tuple[Mapping[str, Any], Load]] = {
    "methods": (METHODS, INSTALLED.load),
    "selectors": (SELECTORS, lambda plugin: plugin.load_as(Selector)),
    "domains": (DOMAINS, load_domain),
}


def list_plugins() -> None:
    """List methods, selectors and domains: the built-in ones, and those of installed packages."""
    with plain_errors():
        table = Table("kind", "name", "distribution", "version")
        broken: list[str] = []
        for group in KINDS:
            for row in _rows(group, broken):
                table.add_row(group[:-1], *row)
        console().print(table)
        if broken:
            raise UserError("; ".join(broken))


def _rows(group: Group, broken: list[str]) -> Iterator[tuple[str, str, str]]:
    built_in, load = KINDS[group]
    yield from ((name, "built in", "") for name in built_in)
    for name, plugin in plugins(group, built_in).items():
        try:
            version = f"{plugin.release}, {group[:-1]} version {load(plugin).version}"
        except UserError as error:
            broken.append(str(error))
            version = f"{plugin.release}, broken"
        yield name, plugin.distribution, version
