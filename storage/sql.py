"""SQL over a store: the public tables as views in one locked DuckDB connection.

Only files that a manifest names are visible. The connection reads those files and nothing else: no other files, no
network, no extensions, no writes, bounded memory and time.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from storage.errors import QueryError
from storage.schemas import SCHEMAS
from storage.store import Run, Store

MEMORY_LIMIT = "2GB"
TIME_LIMIT_SECONDS = 60.0

# What some rows of `call_costs` add up to; unknown where it is unknown for one of them, and 0 where there are none.
COST_SUMS = """
    sum_of(input_tokens, kind = 'generate') AS policy_prompt_tokens,
    sum_of(cached_tokens, kind = 'generate') AS policy_cached_tokens,
    sum_of(output_tokens, kind = 'generate') AS policy_completion_tokens,
    sum_of(input_tokens, kind = 'score') AS prm_tokens,
    sum_of(cached_tokens, kind = 'score') AS prm_cached_tokens,
    sum_of(flops, kind = 'generate') AS policy_flops,
    sum_of(flops, kind = 'score') AS prm_flops,
    sum_of(engine_seconds, true) AS engine_seconds,
    sum_of(gpu_seconds, true) AS gpu_seconds"""
SUM_OF = """CREATE MACRO sum_of(amount, counted) AS
    CASE WHEN count(*) FILTER (counted) = count(amount) FILTER (counted)
         THEN coalesce(sum(amount) FILTER (counted), 0) END"""

VIEWS = {
    "runs": "SELECT * FROM stored_runs",
    "problems": "SELECT DISTINCT * EXCLUDE (stage_key) FROM parts_problems",
    "rollouts": """
        SELECT u.run_id, u.method_id, r.problem_id, r.sample_index, r.rollout_id, r.text, r.step_count,
               r.prompt_tokens, r.completion_tokens, r.logprob_sum, r.stop_reason, a.answer, a.answer_key
        FROM parts_rollouts r
        JOIN stage_uses u ON u.kind IN ('sample', 'search', 'import') AND u.stage_key = r.stage_key
                         AND r.sample_index < u.n
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = r.problem_key
        LEFT JOIN (SELECT g.run_id, g.method_id, a.rollout_id, a.answer, a.answer_key FROM parts_answers a
                   JOIN stage_uses g ON g.kind = 'grade' AND g.stage_key = a.stage_key) a
               ON a.run_id = u.run_id AND a.method_id = u.method_id AND a.rollout_id = r.rollout_id""",
    "steps": "SELECT * EXCLUDE (stage_key) FROM parts_steps",
    "scores": "SELECT * EXCLUDE (stage_key) FROM parts_scores",
    "step_labels": "SELECT * EXCLUDE (stage_key) FROM parts_step_labels",
    "nodes": """
        SELECT u.run_id, u.method_id, n.* EXCLUDE (stage_key, problem_key) FROM parts_nodes n
        JOIN stage_uses u ON u.kind = 'search' AND u.stage_key = n.stage_key
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = n.problem_key""",
    "grades": "SELECT DISTINCT * EXCLUDE (stage_key) FROM parts_grades",
    "selections": """
        SELECT u.run_id, u.method_id, s.* EXCLUDE (stage_key) FROM parts_selections s
        JOIN stage_uses u ON u.kind = 'select' AND u.stage_key = s.stage_key""",
    "prm_metrics": """
        SELECT u.run_id, m.* EXCLUDE (stage_key) FROM parts_prm_metrics m
        JOIN stage_uses u ON u.kind = 'measure' AND u.stage_key = m.stage_key""",
    "calls": """
        SELECT u.run_id, u.method_id, c.* EXCLUDE (stage_key, problem_key) FROM parts_calls c
        JOIN stage_uses u ON u.stage_key = c.stage_key
             AND (u.kind IN ('search', 'label') OR u.kind IN ('sample', 'score') AND c.sample_index < u.n)
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = c.problem_key""",
    "reported": """
        SELECT u.run_id, u.method_id, r.* EXCLUDE (stage_key, problem_key) FROM parts_reported r
        JOIN stage_uses u ON u.kind = 'import' AND u.stage_key = r.stage_key""",
    "call_costs": """
        WITH at_work AS (
            SELECT stage_key,
                   sum(greatest(0, ended - greatest(began, coalesce(latest, began)))) / nullif(sum(ended - began), 0)
                       AS share
            FROM (SELECT *, max(ended) OVER (PARTITION BY stage_key ORDER BY began, ended
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest
                  FROM (SELECT stage_key, epoch(started_at) AS began, began + latency_ms / 1000 AS ended
                        FROM parts_calls))
            GROUP BY stage_key)
        SELECT u.run_id, u.method_id, c.problem_id, c.kind, c.call_key, c.input_tokens, c.cached_tokens,
               c.output_tokens,
               2e0 * CASE c.kind WHEN 'generate' THEN r.policy_parameters ELSE r.prm_parameters END
                   * (c.input_tokens::DOUBLE - c.cached_tokens + c.output_tokens) AS flops,
               c.latency_ms / 1000 * w.share AS engine_seconds, engine_seconds * u.gpus AS gpu_seconds
        FROM parts_calls c
        JOIN at_work w ON w.stage_key = c.stage_key
        JOIN stage_uses u ON u.stage_key = c.stage_key
             AND (u.kind IN ('search', 'label') OR u.kind IN ('sample', 'score') AND c.sample_index < u.n)
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = c.problem_key
        JOIN stored_runs r ON r.run_id = u.run_id""",
    "costs": f"SELECT run_id, method_id, problem_id, {COST_SUMS} FROM call_costs GROUP BY ALL",
    "summary": """
        WITH spent AS (
            SELECT run_id, method_id, {COST_SUMS} FROM call_costs GROUP BY ALL
            UNION ALL BY NAME
            SELECT run_id, method_id, CASE WHEN count(value) = count(*) THEN sum(value) END AS policy_completion_tokens
            FROM reported WHERE measure = 'policy_tokens' AND problem_id IS NOT NULL GROUP BY run_id, method_id),
        made AS (SELECT run_id, method_id, kind, n AS samples FROM stage_uses
                 WHERE kind IN ('sample', 'search', 'import'))
        SELECT u.run_id, u.method_id, e.selector, e.n, e.problems, e.accuracy, e.ci_low, e.ci_high, e.estimator,
               s.policy_completion_tokens * e.n / m.samples AS policy_tokens,
               CASE WHEN m.kind IN ('search', 'import') OR starts_with(e.selector, 'prm_')
                    THEN s.prm_tokens * e.n / m.samples ELSE 0 END AS prm_tokens,
               (s.policy_flops + CASE WHEN m.kind = 'search' OR starts_with(e.selector, 'prm_')
                                      THEN s.prm_flops ELSE 0 END) * e.n / m.samples AS flops
        FROM parts_estimates e
        JOIN stage_uses u ON u.kind = 'select' AND u.stage_key = e.stage_key
        JOIN made m ON m.run_id = u.run_id AND m.method_id = u.method_id
        LEFT JOIN spent s ON s.run_id = u.run_id AND s.method_id = u.method_id""".replace("{COST_SUMS}", COST_SUMS),
}

_RUN_COLUMNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("name", pa.string()),
        ("recipe", pa.string()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("created_at", pa.string()),
        ("finished_at", pa.string()),
        ("versions", pa.string()),
        ("problem_set", pa.string()),
        ("policy", pa.string()),
        ("policy_parameters", pa.int64()),
        ("prm", pa.string()),
        ("prm_parameters", pa.int64()),
    ]
)
_USE_COLUMNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("method_id", pa.string()),
        ("kind", pa.string()),
        ("stage_key", pa.string()),
        ("n", pa.int32()),
        ("gpus", pa.int32()),
    ]
)


@contextmanager
def connect(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection on which the tables of the data contract are views."""
    if not store.root.is_dir():
        raise QueryError(f"there is no store at {store.root}: name one with --store, or make it with `overthink run`")
    # Without a temporary directory a query that outgrows its memory ends with an error instead of filling the disk.
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=limits)
    try:
        _create_views(connection, store)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        yield connection
    finally:
        connection.close()


def query(store: Store, sql: str, time_limit: float = TIME_LIMIT_SECONDS) -> pa.Table:
    """Answer one SELECT. Raises QueryError, with one line, for anything else."""
    with connect(store) as connection:
        _require_one_select(connection, sql)
        timer = threading.Timer(time_limit, connection.interrupt)
        timer.start()
        try:
            return connection.sql(sql).to_arrow_table()
        except duckdb.InterruptException as error:
            raise QueryError(f"the query ran longer than {time_limit:g} s and was stopped: narrow it") from error
        except duckdb.Error as error:
            raise QueryError(_one_line(str(error))) from error
        finally:
            timer.cancel()


def _require_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    try:
        sql.encode()
        statements = connection.extract_statements(sql)
    except UnicodeEncodeError as error:
        raise QueryError("the query is not valid Unicode text") from error
    except duckdb.Error as error:
        raise QueryError(_one_line(str(error))) from error
    if len(statements) != 1:
        raise QueryError(f"one SELECT at a time, please: this is {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"the store is read only here: SELECT is allowed, {kind.name} is not")


def _one_line(message: str) -> str:
    return " ".join(message.split("\n\n", 1)[0].split())


def _create_views(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    runs = store.runs()
    files: dict[str, list[Path]] = {table: [] for table in SCHEMAS}
    for stage in store.stages():
        for entry in stage.entries():
            for part_file in entry.files:
                files[part_file.table].append(stage.parts_folder / part_file.name)
    _create_table(connection, "stored_runs", _runs_table(runs))
    _create_table(connection, "stage_uses", _uses_table(runs))
    every_file = [str(path.resolve()) for paths in files.values() for path in paths]
    connection.execute("SET allowed_paths = ?", [every_file])
    for setting in ("enable_external_access", "autoinstall_known_extensions", "autoload_known_extensions"):
        connection.execute(f"SET {setting} = false")
    for table, paths in files.items():
        _create_parts_view(connection, table, paths)
    connection.execute(
        "CREATE VIEW run_problems AS SELECT DISTINCT u.run_id, p.problem_key FROM parts_problems p "
        "JOIN stage_uses u ON u.kind = 'problems' AND u.stage_key = p.stage_key"
    )
    connection.execute(SUM_OF)
    for name, definition in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {definition}")
    connection.execute("SET lock_configuration = true")


def _create_parts_view(connection: duckdb.DuckDBPyConnection, table: str, paths: list[Path]) -> None:
    name = f"parts_{table}"
    if not paths:
        empty = SCHEMAS[table].append(pa.field("stage_key", pa.string())).empty_table()
        _create_table(connection, name, empty)
        return
    lost = [path for path in paths if not path.exists()]
    if lost:
        raise QueryError(f"{lost[0]} is missing: run its recipe again, which makes it anew")
    quoted = ", ".join("'" + str(path.resolve()).replace("'", "''") + "'" for path in paths)
    try:
        connection.execute(_parts_view(name, quoted))
    except duckdb.Error as error:
        raise QueryError(f"{_one_line(str(error))}; run its recipe again, which makes the part anew") from error


def _parts_view(name: str, quoted: str) -> str:
    return (
        f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename), parse_path(filename)[-3] AS stage_key "
        f"FROM read_parquet([{quoted}], filename = true, union_by_name = true, hive_partitioning = false)"
    )


def _create_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("incoming", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def _runs_table(runs: list[Run]) -> pa.Table:
    rows = [
        {
            **{name: getattr(run, name) for name in _RUN_COLUMNS.names if name not in ("recipe", "versions")},
            "recipe": json.dumps(run.recipe),
            "versions": json.dumps(run.versions),
        }
        for run in runs
    ]
    return pa.Table.from_pylist(rows, schema=_RUN_COLUMNS)


def _uses_table(runs: list[Run]) -> pa.Table:
    rows = [
        {
            "run_id": run.run_id,
            "method_id": use.method_id,
            "kind": use.kind,
            "stage_key": use.key,
            "n": use.n,
            "gpus": use.gpus,
        }
        for run in runs
        for use in run.stages
    ]
    return pa.Table.from_pylist(rows, schema=_USE_COLUMNS)
