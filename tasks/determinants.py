"""The settings of a recipe that determine results, as the keys of stages hold them."""

from collections.abc import Collection
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class _AddedLater:
    """Marks a setting whose default is what earlier versions did: `Annotated[int | None, ADDED_LATER] = None`."""


ADDED_LATER = _AddedLater()


def determinants(
    settings: BaseModel,
    exclude: Collection[str] = (),
    include: Collection[str] | None = None,
    mode: Literal["python", "json"] = "python",
) -> dict[str, Any]:
    """All settings, without those marked ADDED_LATER at their default, so that earlier results keep their keys."""
    dumped = settings.model_dump(mode=mode, exclude=set(exclude), include=None if include is None else set(include))
    pruned: dict[str, Any] = _pruned(settings, dumped)
    return pruned


def _pruned(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        found = dict(dumped)
        for name, field in type(value).model_fields.items():
            key = name if name in found else str(field.serialization_alias)
            if key in found and _is_unused(field, getattr(value, name)):
                del found[key]
            elif key in found:
                found[key] = _pruned(getattr(value, name), found[key])
        return found
    if isinstance(value, list | tuple):
        return type(dumped)(_pruned(*pair) for pair in zip(value, dumped, strict=True))
    return dumped


def _is_unused(field: FieldInfo, value: Any) -> bool:
    return ADDED_LATER in field.metadata and value == field.get_default(call_default_factory=True)
