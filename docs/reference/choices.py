"""The selectors and the methods: names and what they read from the registries, formulas from formulas.yaml."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from overthink.tasks.analysis.selectors import SELECTORS, signal_of
from overthink.tasks.recipes.recipe import Recipe

FORMULAS = yaml.safe_load(Path(__file__).with_name("formulas.yaml").read_text(encoding="utf-8"))


def selectors_page() -> str:
    """The page of selectors as Markdown."""
    told = {name: pattern for pattern in FORMULAS["selectors"] for name in _names(pattern)}
    _same("selectors", set(told), set(SELECTORS))
    rows = [_selector_row(pattern, text) for pattern, text in FORMULAS["selectors"].items()]
    table = ["| selector | formula | |", "| --- | --- | --- |", *rows]
    return "\n".join([FORMULAS["selectors_head"], *table, "", FORMULAS["papers"]])


def methods_page() -> str:
    """The page of methods as Markdown."""
    models = {model["properties"]["method"]["const"]: model for model in _method_models()}
    _same("methods", set(FORMULAS["methods"]), set(models))
    rows = [_method_row(name, model, FORMULAS["methods"][name]) for name, model in models.items()]
    table = ["| method | what it computes |", "| --- | --- |", *rows]
    return "\n".join([FORMULAS["methods_head"], *table, "", FORMULAS["papers"]])


def _names(pattern: str) -> Iterator[str]:
    """`a_{b,c}` is `a_b` and `a_c`."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", pattern)]
    return map("".join, itertools.product(*pieces))


def _method_models() -> Iterator[dict[str, Any]]:
    parts = Recipe.model_json_schema()["$defs"]
    return (part for part in parts.values() if "const" in part.get("properties", {}).get("method", {}))


def _same(what: str, told: set[str], known: set[str]) -> None:
    if told != known:
        raise ValueError(
            f"formulas.yaml, {what}: {sorted(known - told)} have no formula, {sorted(told - known)} are none"
        )


def _selector_row(pattern: str, text: dict[str, str]) -> str:
    read = {f"`{signal}`" for name in _names(pattern) if (signal := signal_of(name)) is not None}
    known = [f"reads {', '.join(sorted(read))}" if read else "", text["source"]]
    words = "; ".join(filter(None, [text["words"], *known]))
    names = ", ".join(f"`{name}`" for name in _names(pattern))
    return f"| {names} | {text['formula']} | {words} |"


def _method_row(name: str, model: dict[str, Any], text: dict[str, str]) -> str:
    described = str(model["description"]).partition("\n\n")[0].replace("\n", " ")
    described = re.sub(r" \([\w ]+\. \d{4}\)\.$", ".", described)  # the source is told apart
    return f"| [`{name}`](recipes.md#method-{name}) | {described} {text['formula']}. {text['source']} |"
