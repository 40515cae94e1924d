"""The public tables of SQL: their columns and types as DuckDB has them, and what columns.yaml says of each."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from overthink.storage.sql import query
from overthink.storage.store import Store

Note = str | list[str]
NOTES: dict[str, dict[str, Note]] = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text(encoding="utf-8"))
EVERYWHERE = NOTES["everywhere"]
WORDS = {
    "VARCHAR": "text",
    "BOOLEAN": "true, false",
    "TIMESTAMP WITH TIME ZONE": "time",
    "DOUBLE": "number",
    "HUGEINT": "whole number",
    "BIGINT": "whole number",
    "INTEGER": "whole number",
}
HEAD = """# Tables and columns

What `overthink sql`, `Results.sql` and `overthink export` show. A row is one fact, null means unknown, and nothing
unknown is filled in with 0. `SHOW ALL TABLES` lists the same for your version.
"""


def page() -> str:
    """The page as Markdown."""
    with TemporaryDirectory() as folder:
        tables = query(Store(Path(folder)), "SHOW ALL TABLES").to_pylist()
    sections = [_section(table["name"], table["column_names"], table["column_types"]) for table in tables]
    unused = NOTES.keys() - {"everywhere"} - {table["name"] for table in tables}
    if unused:
        raise ValueError(f"columns.yaml tells of no table: {', '.join(sorted(unused))}")
    return "\n".join([HEAD, *sections])


def _section(table: str, columns: list[str], types: list[str]) -> str:
    own = NOTES.get(table, {})
    missing = [name for name in columns if name not in own and name not in EVERYWHERE]
    unknown = own.keys() - {""} - set(columns)
    if missing or unknown or "" not in own:
        raise ValueError(
            f"columns.yaml, {table}: say what {missing or 'the table'} holds; there is no {sorted(unknown)}"
        )
    rows = [
        _row(name, kind, own.get(name, EVERYWHERE.get(name, ""))) for name, kind in zip(columns, types, strict=True)
    ]
    return (
        "\n".join([f"## {table}\n", f"{own['']}\n", "| column | type and unit | |", "| --- | --- | --- |", *rows])
        + "\n"
    )


def _row(name: str, kind: str, note: Any) -> str:
    unit, meaning = note if isinstance(note, list) else ("", note)
    shown = f"list of {WORDS[kind[:-2]]}" if kind.endswith("[]") else WORDS[kind]
    return f"| `{name}` | {', '.join(filter(None, [shown, unit]))} | {meaning} |"
