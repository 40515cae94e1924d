"""Which SQL may be asked of a store: one statement whose whole tree reads the store's tables and does nothing else.

The tree is DuckDB's own. Anything not known to be read-only is refused, however it is nested, so that the new kinds
of nodes and functions of a later DuckDB are refused until somebody has reviewed them.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import duckdb

from overthink.storage.storage_errors import QueryError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# All kinds of nodes that a statement's tree may contain: queries, what they read from, clauses and expressions.
_READING = _words(
    """
    SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION
    EXPRESSION_LIST PIVOT SHOW_REF EMPTY ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER
    ORDER_DEFAULT ASCENDING DESCENDING BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT
    DEFAULT FUNCTION LAMBDA LAMBDA_REF OPERATOR PARAMETER POSITIONAL_REFERENCE STAR TYPE WINDOW
    """
)
# Allowed table functions. The others read files, run SQL given as text, take memory addresses or show settings.
_TABLE_FUNCTIONS = _words(
    """
    unnest range generate_series repeat json_each json_tree duckdb_columns duckdb_functions duckdb_tables
    duckdb_views
    """
)
# Their values vary from call to call, but they have no side effects.
_FICKLE = _words(
    """
    random uuid uuidv4 uuidv7 gen_random_uuid error now today current_date current_localtime
    current_localtimestamp get_current_time get_current_timestamp transaction_timestamp current_schema
    current_schemas current_database in_search_path
    """
)
_INERT = """
SELECT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro')
GROUP BY function_name HAVING bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT')"""
_NOT_INERT = frozenset({"json_serialize_plan", "pg_sleep"})  # the first binds a statement given as text
_SCHEMAS = frozenset({"main", "memory", "information_schema"})
_FILE = re.compile(r"[./\\:*?\[]")  # in names of files and addresses, never in names of tables
_SYSTEM = ("duckdb_", "pg_", "pragma_", "sqlite_")  # their views show settings, paths and secrets


def tables_read(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The names, in lower case, of the tables that one SELECT reads. Raises QueryError, one line, for any other SQL."""
    names: set[str] = set()
    for node in _nodes(_tree(connection, sql)):
        kind = node.get("class", node.get("type"))
        if isinstance(kind, str) and kind not in _READING:
            raise _refusal(kind.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " "))
        if kind == "TABLE_FUNCTION":
            _require(_name(node["function"]) in _TABLE_FUNCTIONS, node["function"])
        elif "function_name" in node:
            _require(_name(node) in _inert() or _name(node) not in _functions(), node)
        elif kind in ("BASE_TABLE", "SHOW_REF"):
            names.add(_table(node["qualified_name"]["path"]))
    return names


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The statement as DuckDB parses it."""
    try:
        sql.encode()
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError(f"one SELECT at a time, please: this is {len(statements)} statements")
        if _kind(statements[0]) != "SELECT":
            raise _refusal(_kind(statements[0]))
        ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
        tree = json.loads(text)
    except UnicodeEncodeError as error:
        raise QueryError("the query is not valid Unicode text") from error
    except RecursionError as error:
        raise QueryError("the query is nested too deeply: more than 300 levels") from error
    except duckdb.Error as error:
        raise QueryError(one_line(str(error))) from error
    if tree["error"]:
        raise QueryError(one_line(tree["error_message"]))
    return tree["statements"]


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # DuckDB has kinds that its Python module does not name
        return "this statement"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


def _table(path: list[str]) -> str:
    """The name of a table by its path. DuckDB takes unknown names for files, `x.parquet` without quotes too."""
    *schemas, name = [part.lower() for part in path] or [""]
    if _FILE.search(name) or not _SCHEMAS.issuperset(schemas):
        raise QueryError(f"files are not read here: {'.'.join(path)} is no table of the store")
    if name.startswith(_SYSTEM):
        raise QueryError(f"{name} is not open here: SHOW ALL TABLES lists the store's tables with their columns")
    return name


def _name(function: dict[str, Any]) -> str:
    return str(function["function_name"]).lower()


def _require(allowed: bool, function: dict[str, Any]) -> None:
    if not allowed:
        raise QueryError(f"the store is read only here: the function {_name(function)} is not allowed")


def _refusal(what: str) -> QueryError:
    return QueryError(f"the store is read only here: SELECT is allowed, {what} is not")


@cache
def _inert() -> frozenset[str]:
    """The scalar and aggregate functions without side effects that depend only on their arguments."""
    with duckdb.connect(":memory:") as connection:
        found = frozenset(name for (name,) in connection.execute(_INERT).fetchall() if not name.startswith("__"))
    return (found | _FICKLE | _TABLE_FUNCTIONS) - _NOT_INERT


@cache
def _functions() -> frozenset[str]:
    """All functions of DuckDB. It reports an unknown name itself, unless the name is one of our macros."""
    with duckdb.connect(":memory:") as connection:
        return frozenset(
            name for (name,) in connection.execute("SELECT function_name FROM duckdb_functions()").fetchall()
        )


def one_line(message: str) -> str:
    """The first paragraph of a DuckDB message as one line; only the last line of it where it is a traceback."""
    paragraph = message.split("\n\n", 1)[0].splitlines()
    return " ".join(" ".join(paragraph[-1:] if message.startswith("Traceback") else paragraph).split())
