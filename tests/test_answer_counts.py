"""`overthink import answer-counts`: what the reader brings and refuses, and the published figures of four models."""

from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import SHARED_DATA
from test_importers import write_lines

from overthink.flows.import_rollouts import import_rollouts
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.estimators import estimates
from overthink.tasks.analysis.selectors import candidates
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.answer_counts import read_answer_counts
from overthink.tasks.importers.imported import ImportedProblem
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe
from overthink.tasks.reporting.compare_imports import LABELLED_SQL, compare_run
from overthink.tasks.reporting.majority_limits import majority_limits

BOINF = SHARED_DATA / "rollouts" / "boinf"
WANTING = pytest.mark.skipif(not BOINF.is_dir(), reason="real answer counts are not shipped: ../shared/data")


def counted(**changes: Any) -> dict[str, Any]:
    """One line: of five rollouts two gave no answer."""
    value = {
        "problem_num": 0,
        "total_answers": 5,
        "answer_counts": {"\\frac{1}{2}": 1, "0.5": 1, "": 1, "3": 1},
        "gold_answer": "0.5",
        "majority_answer": "0.5",
        "all_answers": [["3", 7], ["", 9], ["\\frac{1}{2}", 5], [None, 4], ["0.5", 6]],
    }
    return value | changes


def test_an_answer_is_a_box_and_none_is_no_text(tmp_path: Path) -> None:
    found = read_answer_counts(write_lines(tmp_path / "a.jsonl", counted()))
    (problem,) = found.problems
    assert (found.n, found.budgets, found.independent, found.is_scored) == (5, (1, 2, 4, 5), True, False)
    assert [rollout.text for rollout in problem.rollouts] == [
        "\\boxed{3}",
        "",
        "\\boxed{\\frac{1}{2}}",
        "",
        "\\boxed{0.5}",
    ]
    assert [rollout.completion_tokens for rollout in problem.rollouts] == [7, 9, 5, 4, 6]
    assert (problem.problem.problem_id, problem.problem.reference) == ("0", "0.5")


def test_what_that_tool_counts_is_reported_by_equal_texts(tmp_path: Path) -> None:
    (problem,) = read_answer_counts(write_lines(tmp_path / "a.jsonl", counted())).problems
    *answers, majority, tokens = problem.reported
    assert [(said.sample_index, said.answer, said.correct) for said in answers] == [
        (0, "3", False),
        (1, "", False),
        (2, "\\frac{1}{2}", False),
        (3, None, False),
        (4, "0.5", True),
    ]
    assert (majority.measure, majority.selector, majority.n, majority.answer, majority.correct) == (
        "choice",
        "majority",
        5,
        "0.5",
        True,
    )
    assert (tokens.measure, tokens.value) == ("policy_tokens", 31)


def test_problems_of_one_number_in_two_files_are_two(tmp_path: Path) -> None:
    one = read_answer_counts(write_lines(tmp_path / "a.jsonl", counted()))
    other = read_answer_counts(write_lines(tmp_path / "b.jsonl", counted(gold_answer="4")))
    assert one.problems[0].problem.problem_key != other.problems[0].problem.problem_key


def test_an_unknown_number_of_tokens_stays_unknown(tmp_path: Path) -> None:
    line = counted(total_answers=2, answer_counts={"3": 2}, all_answers=[["3", 7], ["3", None]])
    (problem,) = read_answer_counts(write_lines(tmp_path / "a.jsonl", line)).problems
    assert [rollout.completion_tokens for rollout in problem.rollouts] == [7, None]
    assert problem.reported[-1].value is None


def said(*answers: Any) -> dict[str, Any]:
    counts = {answer: answers.count(answer) for answer in answers}
    return counted(total_answers=len(answers), answer_counts=counts, all_answers=[[answer, 1] for answer in answers])


REFUSED: dict[str, tuple[list[Any], str]] = {
    "torn": (['{"problem_num": 0'], "line 1: not JSON"),
    "nothing": ([], "no row in it"),
    "twice": ([counted(), counted()], "line 2: problem_num 0 is there twice"),
    "too few": ([counted(total_answers=6)], "field 'all_answers' has 5 values for 6 total_answers"),
    "other counts": ([counted(answer_counts={"3": 5})], "field 'answer_counts' does not count"),
    "no reference": ([counted(gold_answer="")], "field 'gold_answer'"),
    "no answers": ([counted(all_answers=[], total_answers=0)], "field 'all_answers'"),
    "a number": ([counted(all_answers=[[3, 7]])], r"field 'all_answers\.0\.0'"),
    "negative tokens": ([counted(all_answers=[["3", -1]])], r"field 'all_answers\.0\.1'"),
    "no pair": ([counted(all_answers=[["3"]])], r"field 'all_answers\.0"),
    "open brace": ([said("3", "{3")], "answer 1: the braces of '{3' do not match"),
    "closed brace": ([said("3}")], "answer 0: the braces of '3}' do not match"),
    "crossed braces": ([said("3}+{4")], "do not match"),
    "escaped end": ([said("3\\")], "do not match"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_by_line_and_field(name: str, tmp_path: Path) -> None:
    lines, message = REFUSED[name]
    with pytest.raises(ProblemError, match=message):
        read_answer_counts(write_lines(tmp_path / "a.jsonl", *lines))


def test_escaped_braces_need_not_match(tmp_path: Path) -> None:
    found = read_answer_counts(write_lines(tmp_path / "a.jsonl", said("\\{1, 2\\}", "[0, \\infty\\}")))
    assert found.problems[0].rollouts[1].text == "\\boxed{[0, \\infty\\}}"


@pytest.mark.usefixtures("prefect_server")
def test_where_tokens_are_known_length_may_choose(tmp_path: Path) -> None:
    store, path = tmp_path / "store", write_lines(tmp_path / "a.jsonl", counted())
    assert overthink("import", "answer-counts", path, "--selectors", "all", "--store", store).returncode == 0
    chosen = {
        row["selector"]: row["answer"]
        for row in query(Store(store), "SELECT selector, answer FROM selections WHERE n = 5").to_pylist()
    }
    least = "SELECT arg_min(answer, completion_tokens) AS answer FROM rollouts WHERE answer IS NOT NULL"
    assert set(chosen) == {"majority", "shortest", "shortest_vote", "oracle"}
    assert [{"answer": chosen["shortest"]}] == query(Store(store), least).to_pylist()


@pytest.mark.usefixtures("prefect_server")
def test_the_command_imports_compares_and_refuses(tmp_path: Path) -> None:
    store, path = tmp_path / "store", write_lines(tmp_path / "a.jsonl", counted())
    imported = overthink("import", "answer-counts", path, "--store", store)
    assert imported.returncode == 0, imported.stderr
    sql = "SELECT accuracy, policy_tokens FROM summary WHERE selector = 'majority' AND n = 5"
    # 0.5 and 1/2 vote together: two of three votes; by their texts it is a tie, won by the first.
    assert query(Store(store), sql).to_pylist() == [{"accuracy": 1.0, "policy_tokens": 31.0}]
    compared = overthink("compare", "answer-counts", "--store", store)
    assert compared.returncode == 0 and "1 of 1" in compared.stdout
    refused = overthink("import", "answer-counts", tmp_path, "--store", store)
    assert refused.returncode == 2 and "is a folder: name a .jsonl file" in " ".join(refused.stderr.split())
    mapped = overthink("import", "answer-counts", path, "--map", "text=t", "--store", store)
    assert mapped.returncode == 2 and "--map is for jsonl" in mapped.stderr


# pass@1, majority@80 and pass@80 as published, by equal texts; an empty answer has no say, ties go to the first.
PUBLISHED = {
    "aime2025_Qwen3-4B": (65.54, 73.33, 86.67),
    "math500_Qwen3-14B": (94.59, 95.60, 97.00),
    "gpqa_diamond_gpt-oss-20b": (63.84, 71.21, 98.48),
}


def by_text(problem: ImportedProblem) -> list[float]:
    answers = [said.answer or None for said in problem.reported if said.measure == "answer"]
    rollouts = candidates(answers, [answer == problem.problem.reference for answer in answers], None)
    found = estimates(["majority", "oracle"], rollouts, [1, 80], seed=0)
    return [found[key].low for key in (("majority", 1), ("majority", 80), ("oracle", 80))]


@WANTING
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures_are_ours_by_equal_texts(name: str) -> None:
    problems = read_answer_counts(BOINF / f"analysis_{name}.jsonl").problems
    figures = [100 * sum(column) / len(problems) for column in zip(*map(by_text, problems), strict=True)]
    assert figures == pytest.approx(PUBLISHED[name], abs=0.05)


@WANTING
@pytest.mark.usefixtures("prefect_server")
async def test_by_our_grading_math_500_is_about_one_and_a_half_points_higher_than_by_texts(tmp_path: Path) -> None:
    path = BOINF / "analysis_math500_Qwen3-14B.jsonl"
    recipe = import_recipe("answer-counts", path, ReadAs([]), None, GradedAs(), False)
    (run_id,) = await import_rollouts(recipe, tmp_path)
    sql = "SELECT selector, n, 100 * accuracy AS accuracy FROM summary WHERE n IN (1, 80) ORDER BY ALL"
    ours = {(row["selector"], row["n"]): row["accuracy"] for row in query(Store(tmp_path), sql).to_pylist()}
    assert ours == {
        ("majority", 1): pytest.approx(96.17, abs=0.05),
        ("majority", 80): pytest.approx(97.0, abs=0.05),
        ("oracle", 1): pytest.approx(96.17, abs=0.05),
        ("oracle", 80): pytest.approx(98.6, abs=0.05),
    }, "docs/imports.md"
    (limit,) = majority_limits(Store(tmp_path), Store(tmp_path).find_run(run_id)).values()
    assert 100 * limit.accuracy == pytest.approx(96.96, abs=0.01), "docs/imports.md"
    assert [100 * bound for bound in limit.interval] == pytest.approx([95.1, 98.1], abs=0.05)
    labelled = query(Store(tmp_path), LABELLED_SQL.format(run_id=run_id)).to_pylist()
    (theirs,) = [row for row in labelled if (row["selector"], row["n"]) == ("majority", 80)]
    compared = compare_run(Store(tmp_path), run_id)
    assert 100 * sum(bool(one.their_verdict) for one in compared) / 500 == pytest.approx(95.6, abs=0.05)
    assert (theirs["unknown"], len(compared)) == (0, 500)
