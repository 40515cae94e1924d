"""What a run cost, by hand: tokens, FLOPs and time of calls that are known, shared, cached, overlapping or unknown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from storage_samples import call, run_named
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.sql import query
from overthink.storage.store import StageUse, Store
from overthink.tasks.analysis.flops import inference_flops
from overthink.tasks.reporting.costs import cost_rows, program_lines
from overthink.tasks.reporting.html.facts import run_facts
from overthink.tasks.reporting.html.tables import cost_section

Row = dict[str, Any]


def put_calls(store: Store, stage: str, *calls: Row) -> None:
    """Calls of problems a and b, at 0 seconds and for one second where nothing else is said."""
    whole = {"cached_tokens": 0, "latency_ms": 1000.0, "started_at": 0.0}
    made = [call(f"{stage} {number}", **{**whole, **changes}) for number, changes in enumerate(calls)]
    reach = 1 + max(one.sample_index for one in made)
    store.stage(stage).write_part(Extent(("a", "b"), 0, reach), {"calls": calls_table(made)})


def put_run(store: Store, *uses: StageUse, **changes: Any) -> None:
    problems = [{"problem_set": "sums", "problem_key": unit, "problem_id": f"id-{unit}"} for unit in "ab"]
    store.stage("problems-1").write_part(Extent(("a", "b"), 0, 1), {"problems": rows_table("problems", problems)})
    store.write_run(run_named("r", StageUse("problems", "problems-1"), *uses, **changes))


def costs(store: Store) -> dict[str, Row]:
    """The rows of `costs` by problem."""
    return {row["problem_id"]: row for row in query(store, "SELECT * FROM costs").to_pylist()}


def printed(*words: str) -> str:
    result = CliRunner().invoke(app, ["cost", *words])
    assert result.exit_code == 0, result.output
    return result.output


SAMPLED = StageUse("sample", "sample-1", "bon", 2, gpus=2)
SCORED = StageUse("score", "score-1", "bon", 2, gpus=1)


def test_prompt_cached_and_written_tokens_of_policy_and_prm_are_counted_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(
        store,
        "sample-1",
        {"input_tokens": 100, "cached_tokens": 0, "output_tokens": 20},
        {"input_tokens": 100, "cached_tokens": 96, "output_tokens": 30, "sample_index": 1},
    )
    put_calls(store, "score-1", {"kind": "score", "input_tokens": 150, "cached_tokens": 64, "output_tokens": 0})
    put_run(store, SAMPLED, SCORED, prm="judge", prm_parameters=1000)
    row = costs(store)["id-a"]
    assert (row["policy_prompt_tokens"], row["policy_cached_tokens"], row["policy_completion_tokens"]) == (200, 96, 50)
    assert (row["prm_tokens"], row["prm_cached_tokens"]) == (150, 64)
    assert row["policy_flops"] == inference_flops(10, 200 + 50, 96)
    assert row["prm_flops"] == inference_flops(1000, 150, 64)


def test_the_flops_of_large_models_are_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tokens = {"input_tokens": 1_000_000_000, "output_tokens": 1_000_000_000}
    put_calls(store, "sample-1", tokens, tokens | {"sample_index": 1})
    put_run(store, SAMPLED, policy_parameters=671 * 10**9)
    flops = costs(store)["id-a"]["policy_flops"]
    assert isinstance(flops, float)
    assert flops == pytest.approx(2 * 671e9 * 4e9)


@pytest.mark.parametrize(
    ("policy", "prm", "cached", "expected"),
    [
        (10, 1000, (0, 0), (2 * 10 * 8, 2 * 1000 * 3)),
        (None, 1000, (0, 0), (None, 2 * 1000 * 3)),
        (10, None, (0, 0), (2 * 10 * 8, None)),
        (10, 1000, (None, 0), (None, 2 * 1000 * 3)),
        (10, 1000, (0, None), (2 * 10 * 8, None)),
    ],
)
def test_flops_are_unknown_where_a_size_or_what_was_cached_is_unknown(
    policy: int | None,
    prm: int | None,
    cached: tuple[int | None, int | None],
    expected: tuple[float | None, float | None],
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"cached_tokens": cached[0]})
    put_calls(store, "score-1", {"kind": "score", "cached_tokens": cached[1], "output_tokens": 0})
    put_run(store, SAMPLED, SCORED, policy_parameters=policy, prm="judge", prm_parameters=prm)
    row = costs(store)["id-a"]
    assert (row["policy_flops"], row["prm_flops"]) == expected


def test_one_call_of_unknown_cache_makes_its_problem_unknown_and_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"cached_tokens": None}, {"sample_index": 1}, {"problem_key": "b"})
    put_run(store, SAMPLED)
    found = costs(store)
    assert (found["id-a"]["policy_cached_tokens"], found["id-a"]["policy_flops"]) == (None, None)
    assert (found["id-b"]["policy_cached_tokens"], found["id-b"]["policy_flops"]) == (0, 160)


def test_without_a_prm_its_tokens_and_flops_are_none_and_not_unknown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {})
    put_run(store, SAMPLED)
    row = costs(store)["id-a"]
    assert (row["prm_tokens"], row["prm_cached_tokens"], row["prm_flops"]) == (0, 0, 0)


def test_calls_that_overlap_share_the_time_and_idle_time_costs_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    # Busy from 0 to 4 and from 10 to 12; in flight for 3 + 3 + 2 seconds in all.
    put_calls(
        store,
        "sample-1",
        {"started_at": 0.0, "latency_ms": 3000.0},
        {"started_at": 1.0, "latency_ms": 3000.0, "problem_key": "b"},
        {"started_at": 10.0, "latency_ms": 2000.0, "problem_key": "b", "sample_index": 1},
    )
    put_run(store, SAMPLED)
    found = costs(store)
    assert found["id-a"]["engine_seconds"] == pytest.approx(6 * 3 / 8)
    assert found["id-b"]["engine_seconds"] == pytest.approx(6 * 5 / 8)
    assert found["id-b"]["gpu_seconds"] == pytest.approx(2 * 6 * 5 / 8)


def test_a_call_inside_another_adds_no_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(
        store,
        "sample-1",
        {"started_at": 0.0, "latency_ms": 9000.0},
        {"started_at": 1.0, "latency_ms": 1000.0, "sample_index": 1},
        {"started_at": 8.0, "latency_ms": 3000.0, "problem_key": "b"},
    )
    put_run(store, SAMPLED)
    assert sum(row["engine_seconds"] for row in costs(store).values()) == pytest.approx(11)


def test_calls_that_took_no_time_have_an_unknown_share_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"latency_ms": 0.0})
    put_run(store, SAMPLED)
    assert costs(store)["id-a"]["engine_seconds"] is None
    assert "unknown" in printed("r", "--store", str(tmp_path), "--price-per-hour", "5").split("price")[1]


def test_the_gpus_of_each_stage_count_for_its_own_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"latency_ms": 4000.0})
    put_calls(store, "score-1", {"kind": "score", "latency_ms": 3000.0, "output_tokens": 0})
    put_run(store, SAMPLED, SCORED)
    row = costs(store)["id-a"]
    assert (row["engine_seconds"], row["gpu_seconds"]) == (pytest.approx(7), pytest.approx(2 * 4 + 1 * 3))


@pytest.mark.parametrize(("gpus", "expected"), [(None, None), (0, 0)])
def test_gpu_seconds_are_unknown_where_the_gpus_are_and_0_on_a_cpu(
    gpus: int | None, expected: float | None, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {})
    put_run(store, StageUse("sample", "sample-1", "bon", 1, gpus=gpus))
    assert costs(store)["id-a"]["gpu_seconds"] == expected


def test_a_run_bears_its_own_samples_of_a_shared_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {}, {"sample_index": 1}, {"sample_index": 2, "output_tokens": 500})
    put_run(store, SAMPLED)
    row = costs(store)["id-a"]
    assert row["policy_completion_tokens"] == 10
    assert row["engine_seconds"] == pytest.approx(2 / 3), "of the one second that all three were in flight"


def test_a_search_counts_policy_and_prm_once_in_its_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "search-1", {}, {"kind": "score", "output_tokens": 0, "started_at": 0.5})
    put_run(store, StageUse("search", "search-1", "dvts", 4, gpus=1), prm="judge", prm_parameters=1000)
    row = costs(store)["id-a"]
    assert (row["policy_flops"], row["prm_flops"]) == (2 * 10 * 8, 2 * 1000 * 3)
    assert row["gpu_seconds"] == pytest.approx(1.5)


def test_the_summarys_flops_are_those_of_the_costs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(
        store,
        "sample-1",
        *(
            {"problem_key": unit, "sample_index": index, "cached_tokens": 2 * index}
            for unit in "ab"
            for index in (0, 1)
        ),
    )
    put_calls(store, "score-1", {"kind": "score", "input_tokens": 9, "cached_tokens": 4, "output_tokens": 0})
    estimates = [{"selector": name, "n": n, "problems": 2} for name in ("majority", "prm_last_max") for n in (1, 2)]
    table = {"estimates": rows_table("estimates", estimates)}
    store.stage("select-1").write_part(Extent(("a", "b"), 0, 2), table)
    put_run(store, SAMPLED, SCORED, StageUse("select", "select-1", "bon"), prm="judge", prm_parameters=1000)
    policy, prm = (sum(row[name] for row in costs(store).values()) for name in ("policy_flops", "prm_flops"))
    found = query(store, "SELECT selector, n, flops FROM summary").to_pylist()
    assert {(row["selector"], row["n"]): row["flops"] for row in found} == {
        ("majority", 1): policy / 2,
        ("majority", 2): policy,
        ("prm_last_max", 1): (policy + prm) / 2,
        ("prm_last_max", 2): policy + prm,
    }


def test_a_stage_that_two_methods_share_counts_for_both_and_once_in_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {}, {"sample_index": 1, "problem_key": "b"})
    put_run(store, StageUse("sample", "sample-1", "bon-n1", 1), SAMPLED)
    rows = cost_rows(store, "r")
    found = [(row["method_id"], row["problems"], row["policy_completion_tokens"]) for row in rows]
    assert found == [("bon-n1", 1, 5), ("bon", 2, 10), ("all", 2, 10)]


def test_cost_prints_each_method_and_all_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"input_tokens": 12_000, "cached_tokens": 2_000, "output_tokens": 5_000})
    put_calls(store, "score-1", {"kind": "score", "cached_tokens": None, "output_tokens": 0})
    put_run(store, SAMPLED, SCORED, policy_parameters=10**9, prm="judge", prm_parameters=1000)
    told = printed("r", "--store", str(tmp_path))
    lines = [[cell.strip() for cell in line.split("│")[1:4]] for line in told.splitlines() if line.startswith("│")]
    assert lines == [
        ["problems", "1", "1"],
        ["policy: prompt tokens", "12,000", "12,000"],
        ["of them from the cache", "2,000", "2,000"],
        ["policy: written tokens", "5,000", "5,000"],
        ["PRM: tokens", "3", "3"],
        ["of them from the cache", "unknown", "unknown"],
        ["policy: FLOPs", "3e+13", "3e+13"],
        ["PRM: FLOPs", "unknown", "unknown"],
        ["engine seconds", "2.0", "2.0"],
        ["GPU-seconds", "3.0", "3.0"],
    ]
    assert "price" not in told


def put_programs(store: Store, *seconds: float | None, gpus: int | None = 2) -> None:
    """A sampled solution for each number, and its program, which was at work for so many CPU seconds."""
    put_calls(store, "sample-1", *({"sample_index": number} for number in range(len(seconds))))
    programs = [
        {
            "kind": "execute",
            "reply": json.dumps({"cpu_seconds": one}),
            "sample_index": number,
            "latency_ms": 60_000.0,
            "input_tokens": None,
            "output_tokens": None,
            "cached_tokens": None,
        }
        for number, one in enumerate(seconds)
    ]
    put_calls(store, "test-1", *programs)
    tested = StageUse("test", "test-1", "bon", len(seconds), gpus=gpus)
    put_run(store, StageUse("sample", "sample-1", "bon", len(seconds), gpus=2), tested, prm_parameters=1000)


def test_programs_have_cpu_seconds_and_neither_flops_nor_a_gpus_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_programs(store, 1.5, 2.25)
    row = costs(store)["id-a"]
    assert row["cpu_seconds"] == 3.75
    assert (row["policy_flops"], row["prm_flops"]) == (2 * 2 * 10 * 8, 0)
    assert (row["engine_seconds"], row["gpu_seconds"]) == (pytest.approx(1), pytest.approx(2))
    each = query(store, "SELECT DISTINCT flops, engine_seconds, gpu_seconds FROM call_costs WHERE kind = 'execute'")
    assert each.to_pylist() == [{"flops": None, "engine_seconds": None, "gpu_seconds": None}]


def test_the_time_of_a_program_among_a_searchs_calls_is_no_engines(tmp_path: Path) -> None:
    store = Store(tmp_path)
    program = {"kind": "execute", "reply": '{"cpu_seconds": 0.5}', "started_at": 5.0, "latency_ms": 9000.0}
    put_calls(store, "search-1", {}, program)
    put_run(store, StageUse("search", "search-1", "dvts", 4, gpus=1))
    row = costs(store)["id-a"]
    assert (row["engine_seconds"], row["gpu_seconds"], row["cpu_seconds"]) == (pytest.approx(1), pytest.approx(1), 0.5)


def test_the_cpu_seconds_of_a_program_that_nobody_measured_are_unknown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_programs(store, 1.5, None)
    assert costs(store)["id-a"]["cpu_seconds"] is None
    assert line_of(printed("r", "--store", str(tmp_path)), "CPU seconds") == ["unknown", "unknown"]
    assert program_lines(store, "r") == ["2 executions of programs; what 1 of them took is unknown"]


def line_of(told: str, label: str) -> list[str]:
    """The numbers of one line of a table of costs."""
    (line,) = [line for line in told.splitlines() if label in line]
    return [cell.strip() for cell in line.split("│")[2:4]]


def test_cpu_seconds_are_told_beside_the_flops_where_programs_were_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    estimates = [{"selector": "majority", "n": n, "problems": 2} for n in (1, 2)]
    table = {"estimates": rows_table("estimates", estimates)}
    store.stage("select-1").write_part(Extent(("a", "b"), 0, 2), table)
    put_programs(store, 1.5, 2.25)
    run = store.find_run("r")
    store.write_run(replace(run, stages=(*run.stages, StageUse("select", "select-1", "bon"))))
    assert line_of(printed("r", "--store", str(tmp_path)), "CPU seconds of programs") == ["3.8", "3.8"]
    found = query(store, "SELECT n, flops, cpu_seconds FROM summary ORDER BY n").to_pylist()
    assert found == [{"n": 1, "flops": 160, "cpu_seconds": 1.875}, {"n": 2, "flops": 320, "cpu_seconds": 3.75}]
    assert program_lines(store, "r") == ["2 executions of programs took 3.8 CPU seconds"]
    assert "<td>CPU seconds of programs</td>" in cost_section(run_facts(store, store.find_run("r")))


def test_a_run_without_programs_tells_nothing_of_cpu_seconds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {})
    put_run(store, SAMPLED)
    assert costs(store)["id-a"]["cpu_seconds"] == 0
    assert program_lines(store, "r") == []
    assert "CPU" not in cost_section(run_facts(store, store.find_run("r")))


def test_a_price_is_that_of_the_engines_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {"latency_ms": 1_800_000.0})
    put_run(store, SAMPLED)
    told = printed("r", "--store", str(tmp_path), "--price-per-hour", "5")
    (line,) = [line for line in told.splitlines() if "price" in line]
    assert [cell.strip() for cell in line.split("│")[2:4]] == ["2.50", "2.50"]


def test_a_run_without_calls_says_so(tmp_path: Path) -> None:
    put_run(Store(tmp_path), SAMPLED)
    result = CliRunner().invoke(app, ["cost", "r", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert "r has no finished part with calls yet" in result.output


def test_what_cost_adds_up_is_open_to_sql(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put_calls(store, "sample-1", {}, {"problem_key": "b"})
    put_run(store, SAMPLED)
    (whole,) = query(store, "SELECT sum(policy_flops) AS flops FROM costs").to_pylist()
    assert whole == {"flops": cost_rows(store, "r")[-1]["policy_flops"]}
