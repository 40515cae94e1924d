"""What a recipe says of a run and not of the machine that it ran on: no paths, addresses or devices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OF_THIS_MACHINE = frozenset({"placement", "endpoints", "api_key_env", "api_key_block"})
FILES = frozenset({"path", "script", "strategy", "lora"})
SAID = frozenset({"prompt", "system_prompt", "questions"})  # texts, which may begin with a slash


def public_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without what is of this machine alone, and without what it leaves empty.

    A file, a local folder and a URL become their last part; names of the hub stay as they are.
    """
    told = {key: _public_value(key, value) for key, value in recipe.items() if key not in OF_THIS_MACHINE}
    return _without_what_is_empty(told)


def public_name(text: str) -> str:
    """The last part of a text that names a place; any other text as it is."""
    return text.rstrip("/").rpartition("/")[2] if _names_a_place(text) else text


def _public_value(key: str, value: Any) -> Any:
    if key in SAID:
        return _without_what_is_empty(value) if isinstance(value, Mapping) else value
    if isinstance(value, Mapping):
        return public_recipe(value)
    if isinstance(value, list | tuple):
        return [_public_value(key, one) for one in value]
    if isinstance(value, str):
        return Path(value).name if key in FILES else public_name(value)
    return value


def _without_what_is_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, {}, [])}


def _names_a_place(text: str) -> bool:
    if text.startswith(("/", "~", "./", "../")) or "://" in text:
        return True
    try:
        return "/" in text and Path(text).exists()
    except (OSError, ValueError):  # a text that no file can have for a name
        return False
