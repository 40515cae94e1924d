"""Which keys a recipe takes at a place, found in its models; pydantic's errors do not say."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from overthink.tasks.recipes.methods import METHODS

Model = type[BaseModel]


def models_at(kind: Model, location: Sequence[int | str]) -> list[Model]:
    """The models that stand at a location of pydantic's in a model: several where any of them may."""
    models = [kind]
    for part in location:
        if isinstance(part, str):
            models = _below(models, part)
    return models


def keys_of(models: Sequence[Model]) -> list[str]:
    """The keys that some models take."""
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def tags_of(models: Sequence[Model], key: str) -> list[str]:
    """The values of the key that says which of some models is meant."""
    return [str(tag) for model in models if key in model.model_fields for tag in _literals(model, key)]


def homes_of(kind: Model, name: str) -> list[str]:
    """The keys of a recipe below which another key stands: `sampling` of `temperature`."""
    fields = kind.model_fields.items()
    return [key for key, field in fields if any(name in one.model_fields for one in _members(field.annotation))]


def _below(models: Sequence[Model], part: str) -> list[Model]:
    """The models at a key of some models; or those among them that the name of a union's member means."""
    fields = [model.model_fields[part] for model in models if part in model.model_fields]
    if fields:
        return [member for field in fields for member in _members(field.annotation)]
    tagged = [model for model in models if any(part in _literals(model, key) for key in model.model_fields)]
    method: Model | None = METHODS.get(part)  # of a sweep's methods, which are no models
    return tagged or ([] if method is None else [method])


def _members(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _members(inner)


def _literals(model: Model, key: str) -> tuple[Any, ...]:
    annotation = model.model_fields[key].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()
