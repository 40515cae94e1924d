"""All domains: the built-in ones, and those of installed packages."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from overthink.tasks.closest import closest
from overthink.tasks.domains.choice.multiple_choice import MultipleChoice
from overthink.tasks.domains.code.coding import Code
from overthink.tasks.domains.domain import Domain
from overthink.tasks.domains.math.mathematics import Mathematics
from overthink.tasks.domains.quantity.quantities import Quantities
from overthink.tasks.domains.wording import Wording
from overthink.tasks.errors import UserError
from overthink.tasks.plugins import Plugin, plugins

MATH = Mathematics()
# By name, as recipes and tables list them; the first is what a recipe means that names none.
DOMAINS: Mapping[str, Domain] = {one.name: one for one in (MATH, MultipleChoice(), Quantities(), Code(), Wording())}


def load_domain(plugin: Plugin) -> Domain:
    """An installed domain. Raises UserError, naming the distribution, where it is broken."""
    domain: Domain = plugin.load_as(Domain)
    if isinstance(domain, type):
        raise UserError(f"{plugin.told} cannot be used: it is a class, and an object of it is wanted")
    if domain.name != plugin.entry.name:
        raise UserError(f"{plugin.told} cannot be used: it names itself {domain.name!r}")
    return domain


def domain_of(name: str) -> Domain:
    """The domain of this name, built in or of an installed package.

    Raises ValueError with the names there are, UserError where the package that has it is broken.
    """
    installed = plugins("domains", DOMAINS)
    if name in installed:
        return load_domain(installed[name])
    if name not in DOMAINS:
        meant = closest(name, (*DOMAINS, *installed))
        if meant is not None:
            raise ValueError(f"there is no domain {name!r}: did you mean {meant}?")
        names = ", ".join((*DOMAINS, *installed))
        raise ValueError(f"there is no domain {name!r}: name one of {names}, or install the package that has it")
    return DOMAINS[name]


def domain_identity(name: str) -> dict[str, Any]:
    """What extracts, groups and grades answers in a domain: its version, its libraries, and its package, if any."""
    domain, installed = domain_of(name), plugins("domains", DOMAINS)
    own = installed[name].identity() if name in installed else domain.version
    return {name: own, **{library: version(library) for library in domain.libraries}}


class _Named:
    """Makes pydantic accept only names of domains, and forms offer them as choices."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        names = dict.fromkeys((*DOMAINS, *plugins("domains", DOMAINS)))
        return core_schema.no_info_before_validator_function(_known, core_schema.literal_schema([*names]))


def _known(name: Any) -> Any:
    if isinstance(name, str):
        domain_of(name)
    return name


DomainName = Annotated[str, _Named]
