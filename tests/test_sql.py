"""SQL over a store: what can be seen, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink as command
from storage_samples import call, rollouts_of, run_named, tree

import overthink.storage.query_limits
import overthink.storage.sql
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.query_limits import QueryLimits, bytes_of, free_memory
from overthink.storage.schemas import SCHEMAS
from overthink.storage.sql import query
from overthink.storage.storage_errors import QueryError, StorageError
from overthink.storage.store import StageUse, Store
from overthink.storage.views import VIEWS

# Section 3 of the design, word for word, costs, and what PRMs are measured by. Extra columns are welcome.
CONTRACT = {
    "runs": "run_id, name, recipe, seed, status, created_at, finished_at, versions",
    "problems": "problem_set, problem_id, question, reference, domain, level, subject",
    "rollouts": "run_id, method_id, problem_id, sample_index, rollout_id, text, step_count, prompt_tokens, "
    "completion_tokens, logprob_sum, stop_reason, answer, answer_key",
    "steps": "rollout_id, step_index, text, completion_tokens, logprob_sum",
    "scores": "rollout_id, prm, step_index, score",
    "signals": "rollout_id, signal, step_index, value, source",
    "critiques": "rollout_id, prm, step_index, critique, text, verdict, score, completion_tokens, stop_reason",
    "step_labels": "rollout_id, labeller, step_index, label",
    "prm_metrics": "run_id, prm, source, measure, aggregation, point, value, count",
    "nodes": "run_id, method_id, problem_id, node_id, parent_id, depth, text, score, kept, finished, completion_tokens",
    "grades": "rollout_id, grader, correct, detail",
    "verdicts": "run_id, method_id, rollout_id, grader, correct, detail",
    "selections": "run_id, method_id, problem_id, n, selector, answer, correct",
    "calls": "run_id, problem_id, kind, call_key, model, input_tokens, cached_tokens, output_tokens, latency_ms, "
    "started_at",
    "reported": "run_id, method_id, problem_id, sample_index, field, measure, selector, n, answer, correct, value",
    "costs": "run_id, method_id, problem_id, policy_prompt_tokens, policy_cached_tokens, policy_completion_tokens, "
    "prm_tokens, prm_cached_tokens, prm_completion_tokens, policy_flops, prm_flops, engine_seconds, gpu_seconds, "
    "cpu_seconds",
    "summary": "run_id, method_id, selector, n, problems, accuracy, ci_low, ci_high, policy_tokens, prm_tokens, flops, "
    "cpu_seconds",
}
REFUSED = {
    "COPY problems TO 'out.csv'": "SELECT is allowed, COPY is not",
    "ATTACH 'other.db'": "SELECT is allowed, ATTACH is not",
    "INSTALL httpfs": "SELECT is allowed, LOAD is not",
    "LOAD httpfs": "SELECT is allowed, LOAD is not",
    "PRAGMA show_tables": "SELECT is allowed, PRAGMA is not",
    "SET threads = 64": "SELECT is allowed, SET is not",
    "CREATE TABLE mine AS SELECT 1": "SELECT is allowed, CREATE is not",
    "INSERT INTO stored_runs (run_id) VALUES ('x')": "SELECT is allowed, INSERT is not",
    "DELETE FROM stored_runs": "SELECT is allowed, DELETE is not",
    "DROP VIEW problems": "SELECT is allowed, DROP is not",
    "CALL pragma_version()": "SELECT is allowed, CALL is not",
    "SELECT 1; SELECT 2": "one SELECT at a time, please: this is 2 statements",
    "SELECT 1; DROP VIEW problems": "one SELECT at a time, please: this is 2 statements",
    "": "one SELECT at a time, please: this is 0 statements",
    "SELECT * FROM read_csv('/etc/passwd')": "the function read_csv is not allowed",
    "SELECT * FROM read_text('/etc/passwd')": "the function read_text is not allowed",
    "SELECT * FROM read_blob('/etc/passwd')": "the function read_blob is not allowed",
    "SELECT * FROM read_parquet('/etc/x.parquet')": "the function read_parquet is not allowed",
    "SELECT * FROM glob('/etc/*')": "the function glob is not allowed",
    "SELECT * FROM '/etc/passwd.csv'": "files are not read here: /etc/passwd.csv is no table",
    "SELECT * FROM 'https://example.com/x.parquet'": "files are not read here",
    "SELECT * FROM sql": "Table with name sql does not exist",
    "SELECT * FROM problms": 'Did you mean "problems"',
    "SELECT nothing FROM problems": "nothing",
    "SELECT * FROM problems WHERE problem_id = ?": "Values were not provided",
    "SELEC 1": 'syntax error at or near "SELEC"',
    "SELECT error('boom')": "boom",
}


def put(store: Store, key: str, table: str, rows: list[dict[str, Any]], units: str = "a", reach: int = 1) -> None:
    store.stage(key).write_part(Extent(tuple(units), 0, reach), {table: rows_table(table, rows)})


def put_problems(store: Store, key: str, units: str) -> None:
    rows = [{"problem_set": "sums", "problem_key": unit, "problem_id": f"id-{unit}"} for unit in units]
    put(store, key, "problems", rows, units)


def put_rollouts(store: Store, key: str, units: str, n: int) -> None:
    extent = Extent(tuple(units), 0, n)
    store.stage(key).write_part(extent, {"rollouts": rollouts_of(extent)})


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(store, sql).to_pylist()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two runs over the same sample stage: `long` takes 3 samples of 2 problems, `short` 2 samples of one."""
    made = Store(tmp_path / "store")
    put_problems(made, "problems-2", "ab")
    put_problems(made, "problems-1", "a")
    put_rollouts(made, "sample-1", "ab", 3)
    ids = [f"{unit}/{index}" for unit in "ab" for index in range(3)]
    put(made, "score-1", "scores", [{"rollout_id": one, "prm": "judge", "step_index": 0, "score": 0.5} for one in ids])
    graded = [{"rollout_id": one, "grader": "math", "correct": one == "a/0"} for one in ids]
    answers = [{"rollout_id": one, "answer": f"answer {one}", "answer_key": "k"} for one in ids]
    tables = {"grades": rows_table("grades", graded), "answers": rows_table("answers", answers)}
    made.stage("grade-1").write_part(Extent(("a", "b"), 0, 3), tables)
    for run_id, problems, n in (("long", "problems-2", 3), ("short", "problems-1", 2)):
        uses = [StageUse(kind, f"{kind}-1", f"bon-n{n}", n) for kind in ("sample", "score", "grade")]  # type: ignore[arg-type]
        made.write_run(run_named(run_id, StageUse("problems", problems), *uses))
    return made


def test_verdicts_are_of_the_rollouts_that_a_run_uses(store: Store) -> None:
    found = rows(store, "SELECT run_id, method_id, list(rollout_id ORDER BY rollout_id) FROM verdicts GROUP BY ALL")
    every = [f"{unit}/{index}" for unit in "ab" for index in range(3)]
    assert sorted(found) == [("long", "bon-n3", every), ("short", "bon-n2", ["a/0", "a/1"])]
    used = "SELECT run_id, method_id, rollout_id FROM"
    assert rows(store, f"{used} verdicts EXCEPT {used} rollouts") == []


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("empty"))


@pytest.mark.parametrize("table", CONTRACT)
def test_every_table_of_the_contract_is_there_in_an_empty_store(empty: Store, table: str) -> None:
    found = query(empty, f"SELECT {CONTRACT[table]} FROM {table}")
    assert found.column_names == CONTRACT[table].split(", ")
    assert found.num_rows == 0


@pytest.mark.parametrize("table", CONTRACT)
def test_every_table_of_the_contract_is_there_in_a_full_store(store: Store, table: str) -> None:
    assert query(store, f"SELECT {CONTRACT[table]} FROM {table}").column_names == CONTRACT[table].split(", ")


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_refused_is_told_in_one_line(empty: Store, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        query(empty, sql)
    assert REFUSED[sql] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sql", ["SELECT 1 AS x;", "FROM (VALUES (1)) AS t(x)", "WITH t AS (SELECT 1 AS x) FROM t"])
def test_one_select_in_any_dress_is_answered(empty: Store, sql: str) -> None:
    assert query(empty, sql).to_pydict() == {"x": [1]}


def test_explain_is_refused_because_analyze_would_run_what_it_explains(empty: Store) -> None:
    with pytest.raises(QueryError, match="EXPLAIN is not"):
        query(empty, "EXPLAIN SELECT * FROM problems")


def test_no_statement_reaches_a_parts_file_through_explain(store: Store) -> None:
    before = tree(store.root)
    (part,) = store.stage("sample-1").files("rollouts")
    with pytest.raises(QueryError):
        query(store, f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{part.resolve()}' (FORMAT parquet, USE_TMP_FILE false)")
    assert tree(store.root) == before


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
        "WITH t AS (INSERT INTO stored_runs (run_id) VALUES ('x') RETURNING run_id) SELECT * FROM t",
        "WITH t AS (DELETE FROM stage_uses RETURNING *) SELECT * FROM rollouts",
    ],
)
def test_sql_that_writes_is_refused_however_it_is_wrapped(store: Store, sql: str) -> None:
    with pytest.raises(QueryError):
        query(store, sql)


def test_text_that_is_no_unicode_is_refused_in_one_line(empty: Store) -> None:
    with pytest.raises(QueryError):
        query(empty, "SELECT '\udcff'")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(100000) a, range(100000) b, range(1000) c WHERE a.range + b.range + c.range = 7",
        "SELECT sum(range) FROM range(100000000000)",
    ],
)
def test_a_query_over_the_time_limit_is_stopped(empty: Store, sql: str) -> None:
    with pytest.raises(QueryError, match=r"ran longer than 0\.2 s and was stopped: narrow it"):
        query(empty, sql, QueryLimits(seconds=0.2))


def test_a_query_over_the_memory_limit_is_stopped(empty: Store) -> None:
    with pytest.raises(QueryError, match="Out of Memory"):
        query(empty, "SELECT repeat('x', 100000) || i FROM range(2000) t(i)", QueryLimits(memory=50_000_000))


SORTED = """SELECT max(place) AS rows
FROM (SELECT row_number() OVER (ORDER BY i % 1013, i) AS place FROM range(3_000_000) t(i))"""


def test_a_query_of_ours_writes_to_disk_what_exceeds_its_memory(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = QueryLimits(memory=60_000_000, threads=1)
    with pytest.raises(QueryError, match="Out of Memory"):
        query(empty, SORTED, limits)
    monkeypatch.setattr(overthink.storage.sql, "OWN_MEMORY", limits.memory)
    monkeypatch.setattr(overthink.storage.query_limits.os, "sched_getaffinity", lambda _: {0})
    assert query(empty, SORTED).to_pylist() == [{"rows": 3_000_000}]


def test_a_query_of_one_run_sees_its_stages_alone(store: Store) -> None:
    put(store, "sample-9", "rollouts", rollouts_of(Extent(("z",), 0, 1)).to_pylist())
    everything, of_run = "SELECT DISTINCT stage_key FROM parts_rollouts", store.find_run("short")
    assert len(query(store, everything)) == 2
    assert query(store, everything, run=of_run).to_pylist() == [{"stage_key": "sample-1"}]
    assert query(store, "SELECT run_id FROM runs", run=of_run).to_pylist() == [{"run_id": "short"}]


@pytest.mark.parametrize(
    ("size", "count"), [("4GB", 4 * 10**9), ("1.5 g", 1_500_000_000), ("512MiB", 2**29), ("2000000", 2_000_000)]
)
def test_sizes_are_written_in_the_usual_ways(size: str, count: int) -> None:
    assert bytes_of(size) == count


@pytest.mark.parametrize("size", ["", "much", "4 XB", "-1GB", "10KB", "GB"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(size))):
        bytes_of(size)


def test_a_container_has_less_memory_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n", encoding="ascii")
    limit, used = tmp_path / "limit", tmp_path / "used"
    used.write_text("1000\n", encoding="ascii")
    monkeypatch.setattr(overthink.storage.query_limits, "_MEMORY", tmp_path / "machine")
    monkeypatch.setattr(overthink.storage.query_limits, "_CONTAINERS", ((limit, used),))
    assert free_memory() == 8_192_000
    for most, free in {"max": 8_192_000, "501000": 500_000, "9" * 18: 8_192_000}.items():
        limit.write_text(f"{most}\n", encoding="ascii")
        assert free_memory() == free
    limit.write_text("5000000000", encoding="ascii")
    assert QueryLimits().memory == 256_000_000


def test_limits_are_those_of_the_machine_or_of_the_options(store: Store) -> None:
    sql = ["sql", "SELECT repeat('x', 100000) || i AS x FROM range(2000) t(i)", "--store", store.root]
    assert command(*sql).returncode == 0
    for words, told in {
        ("--memory", "50MB"): "Out of Memory",
        ("--memory", "50 apples"): "--memory: '50 apples' is no size: write one such as 4GB or 512MiB",
        ("--time-limit", "0.001"): "ran longer than 0.001 s and was stopped: narrow it, or allow more",
        ("--threads", "0"): "--threads: 0 is too few: 1 at least",
        ("--time-limit", "-1"): "--time-limit: -1 is no time: a number of seconds, or 0 for no limit",
    }.items():
        refused = command(*sql, *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert told in refused.stderr.replace("\n", " ")
    assert command("sql", "SELECT 1 AS x", "--time-limit", "0", "--threads", "1", "--store", store.root).returncode == 0


def test_a_large_query_writes_nothing_into_the_working_folder(
    empty: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").touch()  # DuckDB's own choice for its temporary files, here taken
    try:
        sql = "SELECT count(*) FROM (SELECT DISTINCT i::VARCHAR || repeat('a', 40) FROM range(800000) t(i))"
        query(empty, sql, QueryLimits(memory=30_000_000))
    except QueryError as error:
        assert ".tmp" not in str(error)


def test_a_missing_store_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="there is no store at .*nowhere: name one with --store"):
        query(Store(tmp_path / "nowhere"), "SELECT 1")


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_damaged_part_is_told_in_one_line_with_its_name(store: Store, damage: str) -> None:
    (part,) = store.stage("sample-1").files("rollouts")
    part.unlink() if damage == "gone" else part.write_bytes(b"PAR1 torn")
    with pytest.raises(StorageError, match=part.name) as caught:
        query(store, "SELECT count(*) FROM rollouts")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM problems", "SELECT count(*) FROM runs", "SELECT 1"])
def test_a_query_needs_no_part_of_a_table_that_it_does_not_name(store: Store, sql: str) -> None:
    store.stage("sample-1").files("rollouts")[0].unlink()
    assert rows(store, sql)[0][0] > 0


@pytest.mark.parametrize("view", [*VIEWS, "parts_rollouts"])
@pytest.mark.parametrize("form", ['FROM "{}"', "FROM main.{}", "WITH x AS (FROM {}) FROM x"])
def test_every_table_behind_a_view_is_read_however_it_is_named(store: Store, view: str, form: str) -> None:
    named = query(store, form.format(view.upper()))
    everything = query(store, f"SELECT * FROM {view} WHERE 'query' = 'query'")
    assert sorted(map(str, named.to_pylist())) == sorted(map(str, everything.to_pylist()))


def test_a_torn_manifest_is_told_with_its_name(store: Store) -> None:
    (store.run_folder("long") / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match=r"long/run\.json"):
        query(store, "SELECT 1")


def test_shared_rollouts_appear_once_in_each_run_within_its_problems_and_samples(store: Store) -> None:
    found = rows(store, "SELECT run_id, method_id, rollout_id FROM rollouts ORDER BY ALL")
    long = [("long", "bon-n3", f"{unit}/{index}") for unit in "ab" for index in range(3)]
    assert found == [*long, ("short", "bon-n2", "a/0"), ("short", "bon-n2", "a/1")]


def test_shared_rollouts_are_scored_and_graded_once(store: Store) -> None:
    assert rows(store, "SELECT count(*), count(DISTINCT rollout_id) FROM scores") == [(6, 6)]
    assert rows(store, "SELECT count(*), count(DISTINCT rollout_id) FROM grades") == [(6, 6)]


def test_every_signal_of_a_rollout_and_its_steps_is_one_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    known = {"logprob_mean": -0.25, "confidence_lowest": 3.5}
    put(store, "sample-1", "rollouts", [{"rollout_id": "a/0", "problem_key": "a", "sample_index": 0, **known}])
    steps = [{"rollout_id": "a/0", "step_index": 0}, {"rollout_id": "a/0", "step_index": 1, "entropy_mean": 0.5}]
    put(store, "sample-2", "steps", steps)
    put(store, "score-1", "scores", [{"rollout_id": "a/0", "prm": "judge", "step_index": 1, "score": 0.75}])
    for stage in ("grade-1", "grade-2"):  # two graders read the same answer
        put(store, stage, "answers", [{"rollout_id": "a/0", "sample_index": 0, "generated_passed": 3.0}])
    assert rows(store, "SELECT rollout_id, signal, step_index, value, source FROM signals ORDER BY ALL") == [
        ("a/0", "confidence_lowest", None, 3.5, "sampling"),
        ("a/0", "entropy_mean", 1, 0.5, "sampling"),
        ("a/0", "generated_passed", None, 3.0, "tests"),
        ("a/0", "logprob_mean", None, -0.25, "sampling"),
        ("a/0", "prm", 1, 0.75, "judge"),
    ]


def test_problems_of_two_sets_that_overlap_appear_once(store: Store) -> None:
    assert rows(store, "SELECT problem_id FROM problems ORDER BY ALL") == [("id-a",), ("id-b",)]


def test_answers_stand_beside_their_rollouts(store: Store) -> None:
    assert rows(store, "SELECT count(*) FROM rollouts WHERE answer = 'answer ' || rollout_id") == [(8,)]


def test_a_rollout_without_a_grade_has_no_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_problems(store, "problems-1", "a")
    put_rollouts(store, "sample-1", "a", 1)
    store.write_run(run_named("r", StageUse("problems", "problems-1"), StageUse("sample", "sample-1", "cot", 1)))
    assert rows(store, "SELECT rollout_id, answer, answer_key, step_count FROM rollouts") == [("a/0", None, None, None)]


def test_what_no_manifest_names_cannot_be_seen(store: Store) -> None:
    stage = store.stage("sample-1")
    (part,) = stage.files("rollouts")
    (stage.parts_folder / "orphan.rollouts.parquet").write_bytes(part.read_bytes())
    assert rows(store, "SELECT count(*) FROM parts_rollouts") == [(6,)]
    with pytest.raises(QueryError, match="files are not read here"):
        query(store, f"SELECT * FROM '{(stage.parts_folder / 'orphan.rollouts.parquet').resolve()}'")


def test_runs_carry_their_recipe_and_versions_as_json(store: Store) -> None:
    found = rows(
        store, "SELECT run_id, seed, recipe::JSON ->> '$.budgets[1]', versions::JSON ->> 'overthink' FROM runs"
    )
    assert sorted(found) == [("long", 7, "2", "0.1.0"), ("short", 7, "2", "0.1.0")]


def test_calls_belong_to_runs_within_their_problems_and_samples(store: Store) -> None:
    calls = calls_table([call(f"{unit}{index}", unit, index) for unit in "ab" for index in range(3)])
    store.stage("sample-1").write_part(Extent(("a",), 3, 4), {"calls": calls})
    found = rows(store, "SELECT run_id, count(*), sum(output_tokens) FROM calls GROUP BY ALL ORDER BY ALL")
    assert found == [("long", 6, 30), ("short", 2, 10)]


def test_the_summary_counts_the_tokens_and_flops_of_a_budget(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_problems(store, "problems-1", "a")
    generated = [call(f"g{index}", "a", index, input_tokens=3, cached_tokens=1, output_tokens=5) for index in range(4)]
    read = {"kind": "score", "input_tokens": 9, "cached_tokens": 4, "output_tokens": 0}
    scored = [call(f"s{index}", "a", index, **read) for index in range(4)]
    extent = Extent(("a",), 0, 4)
    store.stage("sample-1").write_part(extent, {"calls": calls_table(generated)})
    store.stage("score-1").write_part(extent, {"calls": calls_table(scored)})
    estimates = [{"selector": one, "n": 2, "problems": 1, "accuracy": 0.5} for one in ("majority", "prm_last_max")]
    put(store, "select-1", "estimates", estimates, "a", 4)
    uses = [StageUse(kind, f"{kind}-1", "bon", 4) for kind in ("sample", "score", "select")]  # type: ignore[arg-type]
    store.write_run(run_named("r", StageUse("problems", "problems-1"), *uses, prm="judge", prm_parameters=100))
    found = rows(store, "SELECT selector, policy_tokens, prm_tokens, flops FROM summary ORDER BY ALL")
    policy_flops, prm_flops = 2 * 10 * (3 - 1 + 5) * 2, 2 * 100 * (9 - 4) * 2
    assert found == [("majority", 10, 0, policy_flops), ("prm_last_max", 10, 18, policy_flops + prm_flops)]


def test_selections_and_nodes_carry_their_run_and_method(store: Store) -> None:
    put(store, "select-1", "selections", [{"problem_id": "id-a", "n": 2, "selector": "majority"}])
    nodes = [{"problem_key": unit, "problem_id": f"id-{unit}", "node_id": f"{unit}0"} for unit in "ab"]
    put(store, "search-1", "nodes", nodes)
    uses = (StageUse("search", "search-1", "beam", 2), StageUse("select", "select-1", "beam", 2))
    store.write_run(run_named("s", StageUse("problems", "problems-1"), *uses))
    assert rows(store, "SELECT run_id, method_id, problem_id FROM selections") == [("s", "beam", "id-a")]
    assert rows(store, "SELECT run_id, method_id, node_id FROM nodes") == [("s", "beam", "a0")]


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a[1]", "a*b", "what?", "x{a,b}", "100% ; --", "ü ∞"])
def test_a_stores_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name)
    put_problems(store, "problems-1", "ab")
    assert rows(store, "SELECT problem_id FROM problems ORDER BY ALL") == [("id-a",), ("id-b",)]


@pytest.mark.parametrize("name", ["lr=1", "problem_set=other", "problem_id=7"])
def test_a_stores_path_does_not_reach_into_its_tables(tmp_path: Path, name: str) -> None:
    plain, odd = Store(tmp_path / "plain"), Store(tmp_path / name)
    for store in (plain, odd):
        put_problems(store, "problems-1", "a")
    assert query(odd, "SELECT * FROM problems") == query(plain, "SELECT * FROM problems")


@pytest.mark.parametrize("beside", [False, True])
def test_a_part_that_was_written_before_a_column_was_there_has_null_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as earlier:
        newer = SCHEMAS["rollouts"]
        earlier.setitem(SCHEMAS, "rollouts", newer.remove(newer.get_field_index("logprob_sum")))
        extent = Extent(("a",), 0, 1)
        store.stage("sample-1").write_part(extent, {"rollouts": rollouts_of(extent)})
    if beside:
        put_rollouts(store, "sample-2", "b", 2)
    found = query(store, "SELECT rollout_id, logprob_sum, stage_key FROM parts_rollouts ORDER BY ALL")
    assert found.schema.field("logprob_sum").type == "double"
    late = [("b/0", -0.0, "sample-2"), ("b/1", -0.1, "sample-2")] if beside else []
    assert [tuple(row.values()) for row in found.to_pylist()] == [("a/0", None, "sample-1"), *late]


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_table_without_parts_has_all_of_its_columns(empty: Store, table: str) -> None:
    found = query(empty, f"SELECT * EXCLUDE (stage_key) FROM parts_{table}")
    assert [(field.name, field.type) for field in found.schema if field.name != "started_at"] == [
        (field.name, field.type) for field in SCHEMAS[table] if field.name != "started_at"
    ]


def test_a_store_may_be_named_relative_to_the_working_folder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.root.parent)
    assert rows(Store(Path("store")), "SELECT count(*) FROM rollouts") == [(8,)]


def test_a_query_changes_nothing_in_the_store(store: Store) -> None:
    before = tree(store.root)
    query(store, "SELECT * FROM rollouts JOIN scores USING (rollout_id)")
    assert tree(store.root) == before
