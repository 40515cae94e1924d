"""A recipe's options of a domain, checked: a mistake is one line."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from overthink.tasks.closest import which
from overthink.tasks.pydantic_words import plain

Options = TypeVar("Options", bound=BaseModel)


def checked_options(model: type[Options], options: Mapping[str, Any]) -> Options:
    """The options as `model` has them. Raises ValueError naming the first that it does not take."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ValueError(f"there is no option {name!r}: {which(name, model.model_fields)}") from error
        raise ValueError(f"{name}: {plain(first)}") from error
