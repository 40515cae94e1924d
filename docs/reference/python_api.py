"""The Python API: what `import overthink` has, with signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator

import overthink


def page() -> str:
    """The page as Markdown."""
    described = inspect.cleandoc(overthink.__doc__ or "")
    title, _, rest = described.partition("\n")
    sections = ["# Python API\n", f"{title}\n", _text(rest.strip())]
    for name in overthink.__all__:
        sections += _section(name)
    return "\n".join(sections)


def _section(name: str) -> Iterator[str]:
    member = getattr(overthink, name)
    if name == "Recipe":
        yield f"## {name}\n\nThe model of a recipe: [all keys](recipes.md).\n"
        return
    yield f"## {name}\n"
    if not inspect.isclass(member):
        yield _signature(name, member)
        yield _documented(member)
        return
    yield _documented(member)
    for part, method in inspect.getmembers(member, inspect.isfunction):
        if not part.startswith("_"):
            yield f"### {name}.{part}\n\n{_signature(part, method)}\n{_documented(method)}"


def _signature(name: str, function: object) -> str:
    text = str(inspect.signature(function))  # type: ignore[arg-type]
    text = re.sub(r"(: |-> )'(.*?)'(?=[,)]|$| =)", r"\1\2", text)  # annotations that are strings
    text = re.sub(r"collections\.abc\.|typing\.|pathlib\.|self, |self", "", text)
    return f"```text\n{name}{text}\n```\n"


def _documented(member: object) -> str:
    return _text(inspect.getdoc(member) or "")


def _text(described: str) -> str:
    """A docstring in Markdown: its examples are blocks."""
    paragraphs = described.split("\n\n")
    return "\n\n".join(f"```pycon\n{one}\n```" if one.startswith(">>>") else one for one in paragraphs) + "\n"
