"""YAML from a stranger: plain values only, and no more of them than a recipe can need."""

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from overthink.tasks.recipes.yaml_words import plain_yaml

LARGEST = 2**18  # characters
MOST_NODES = 100_000  # with every alias written out
LARGEST_NUMBER = 2**63
MERGE = "tag:yaml.org,2002:merge"


def safe_yaml(text: str) -> Any:
    """The value of a YAML text, whose tags make nothing but plain values.

    Raises ValueError or RecursionError for what is no YAML, for a key that is there twice, of whose values one would be
    lost, and for what no recipe can need: a few aliases or merges of others can stand for billions of values.
    """
    if len(text) > LARGEST:
        raise ValueError(f"{len(text):,} characters are more than the {LARGEST:,} that are read")
    try:
        return _safe_value(text)
    except yaml.YAMLError as error:
        raise ValueError(plain_yaml(error)) from error


def _safe_value(text: str) -> Any:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return None
    _written_out(root, {}, set())
    value = SafeConstructor().construct_document(root)
    for held in _plain_values(value):
        if isinstance(held, int) and abs(held) >= LARGEST_NUMBER:
            raise ValueError(f"a number of {held.bit_length()} bits is too large")
        if isinstance(held, str) and ("\0" in held or any("\ud800" <= character <= "\udfff" for character in held)):
            raise ValueError(f"{held[:40]!r} holds NUL or half a surrogate pair, which no file can")
    return value


def _written_out(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """The nodes at and below one, each alias counted as what it stands for."""
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise ValueError("an alias stands for something that holds the alias itself")
    above.add(id(node))
    if isinstance(node, yaml.MappingNode):
        _keys_once(node)
    total = 1 + sum(_written_out(child, known, above) for child in _children(node))
    above.remove(id(node))
    if total > MOST_NODES:
        raise ValueError(f"written out, its aliases make more than {MOST_NODES:,} values")
    known[id(node)] = total
    return total


def _keys_once(node: yaml.MappingNode) -> None:
    """Before merges are carried out: what a mapping says itself goes before what it merges."""
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        # Keys that are no scalars are refused where the values are made.
        if isinstance(key, yaml.ScalarNode):
            name = key.value if key.tag == MERGE else SafeConstructor().construct_object(key)
            if name in lines:
                raise ValueError(
                    f"the key {key.value[:80]!r} is there twice, in lines {lines[name]} and {line}: keep one"
                )
            lines[name] = line


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def _plain_values(value: Any) -> Iterator[Any]:
    """Whatever holds no other values, keys included."""
    if isinstance(value, dict):
        for pair in value.items():
            yield from _plain_values(pair)
    elif isinstance(value, (list, tuple, set)):
        for held in value:
            yield from _plain_values(held)
    else:
        yield value
