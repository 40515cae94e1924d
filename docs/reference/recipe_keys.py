"""The keys of recipes: one table for each pydantic model, with types, bounds and defaults."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe, PrmTrainRecipe
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.sweep_recipe import SweepRecipe

Schema = dict[str, Any]
# A table for each kind of recipe, with the command that runs it.
KINDS: dict[str, type[BaseModel]] = {
    "overthink run": Recipe,
    "overthink sweep": SweepRecipe,
    "overthink prm-eval": PrmEvalRecipe,
    "overthink prm-train": PrmTrainRecipe,
    "overthink import": ImportRecipe,
}
DECIDING = ("source", "engine", "method", "kind")  # keys that say which of several models is meant
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
PLAIN = {"array": "list", "object": "mapping", "boolean": "true, false"}
HEAD = """# Recipes: all keys

A recipe is one YAML file. Unknown keys are errors, and `overthink validate FILE` checks one without loading anything.
Keys without a default are needed. A key that names one of several models, such as `engine`, decides which further keys
there are.
"""


def page() -> str:
    """The page as Markdown."""
    parts: dict[str, Schema] = {}
    sections = [HEAD]
    for command, model in KINDS.items():
        schema = model.model_json_schema()
        parts |= schema.pop("$defs", {})
        sections.append(f"## `{command}`\n\n{_table(schema)}")
    for name in sorted(parts, key=lambda name: _title(name, parts[name]).lower()):
        if parts[name].get("properties"):
            sections.append(f"## {_title(name, parts[name])}\n\n{_table(parts[name])}")
    return "\n".join(_linked(section, parts) for section in sections)


def _title(name: str, schema: Schema) -> str:
    """What a part of a recipe is called: the key and value that choose it, else the model's name in words."""
    for key in DECIDING:
        chosen = schema.get("properties", {}).get(key, {}).get("const")
        if chosen is not None:
            return f"{key}: {chosen}{_sort_of(name)}"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Config")).lower()


def _sort_of(name: str) -> str:
    """The same engine serves policies and PRMs, and solutions come from files as problems do."""
    if "Solution" in name:
        return " (labelled solutions)"
    return " (PRM)" if "Prm" in name else " (policy)" if "Policy" in name else ""


def _table(schema: Schema) -> str:
    described = " ".join(str(schema.get("description", "")).split())
    rows = [row for key, value in schema["properties"].items() for row in _row(key, value, schema)]
    if not rows:
        return f"{described}\n"
    return "\n".join([described, "", "| key | value | default | |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _row(key: str, value: Schema, whole: Schema) -> Iterator[str]:
    if "const" in value:
        return  # the heading says it
    default = "**needed**" if key in whole.get("required", ()) else _default(value)
    meaning = " ".join(str(value.get("description", "")).split())
    if not meaning and "$ref" not in json.dumps(value):
        raise ValueError(f"{whole.get('title')}.{key} has no description: give its Field one")
    yield f"| `{key}` | {_type(value)} | {default} | {_escaped(meaning)} |"


def _default(value: Schema) -> str:
    default = value.get("default")
    if default in (None, [], {}, "") or isinstance(default, dict):
        return ""
    return f"`{_escaped(json.dumps(default, ensure_ascii=False))}`"


def _type(value: Schema) -> str:
    """What a value may be, in words; `@Name@` stands for a link to the section of a model."""
    kind = str(value.get("type"))
    if "$ref" in value:
        words = f"@{value['$ref'].rpartition('/')[2]}@"
    elif "anyOf" in value:
        choices = [one for one in value["anyOf"] if one != {"type": "null"}]
        words = " or ".join(dict.fromkeys(map(_type, choices)))
    elif "enum" in value or "const" in value:
        words = _choices(value.get("enum") or [value["const"]])
    elif kind == "array" and value.get("items"):
        words = f"list of {_type(value['items'])}"
    elif kind == "string":
        words = "path" if value.get("format") == "path" else "text"
    elif kind in ("integer", "number"):
        words = _number("whole number" if kind == "integer" else "number", value)
    else:
        words = PLAIN.get(kind, "any")
    return words


def _choices(values: list[Any]) -> str:
    if "majority" in values:
        return "[selectors](selectors.md)"
    return ", ".join(f"`{one}`" for one in values)


def _number(kind: str, value: Schema) -> str:
    bounds = [f"{sign} {value[name]}" for name, sign in BOUNDS.items() if name in value and value[name] != 2**31]
    return f"{kind} {', '.join(bounds)}".strip()


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _linked(section: str, parts: dict[str, Schema]) -> str:
    """The section with links where models are named."""

    def link(found: re.Match[str]) -> str:
        name = found[1]
        if not parts[name].get("properties"):
            return "any value" if name == "JsonValue" else "mapping"
        title = _title(name, parts[name])
        return f"[{title}](#{_anchor(title)})"

    linked = re.sub("@(\\w+)@", link, section)
    for key in DECIDING:  # several models that one key tells apart: its name once
        linked = linked.replace(f" or [{key}: ", " or [")
    return linked


def _anchor(title: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
