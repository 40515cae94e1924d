"""The methods that installed packages register, beside the built-in ones of a recipe."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Union, get_args

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from overthink.tasks.errors import UserError
from overthink.tasks.plugins import Plugin, plugins


def name_of(kind: type[BaseModel]) -> str:
    """What a recipe calls a method, whose model says `method: Literal[name]`; empty where it says none."""
    field = kind.model_fields.get("method")
    names = () if field is None else get_args(field.annotation)
    return str(names[0]) if len(names) == 1 else ""


class OrInstalled:
    """Makes pydantic take installed methods, each a `base`, beside those of the annotated union, by their `method`."""

    def __init__(self, base: type[BaseModel], built_in: Mapping[str, type[BaseModel]]) -> None:
        self._base = base
        self._built_in = built_in

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = (*get_args(source), *self._usable())
        union = Annotated[Union[kinds], Field(discriminator="method")]  # type: ignore[valid-type] # noqa: UP007
        return core_schema.no_info_before_validator_function(self._unbroken, handler.generate_schema(union))

    def load(self, plugin: Plugin) -> type[BaseModel]:
        """An installed method. Raises UserError, naming the distribution, where it is broken."""
        kind: type[BaseModel] = plugin.load_as(self._base)
        if name_of(kind) != plugin.entry.name:
            raise UserError(f"{plugin.told} cannot be used: {kind.__name__} names itself {name_of(kind)!r}")
        return kind

    def _usable(self) -> Iterator[type[BaseModel]]:
        for plugin in plugins("methods", self._built_in).values():
            with suppress(UserError):  # a recipe that names the method is told
                yield self.load(plugin)

    def _unbroken(self, value: Any) -> Any:
        name = value.get("method") if isinstance(value, Mapping) else None
        plugin = plugins("methods", self._built_in).get(name) if isinstance(name, str) else None
        if plugin is not None:
            self.load(plugin)
        return value
