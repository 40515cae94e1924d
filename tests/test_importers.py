"""Readers of other tools' rollouts: what they bring, and what they refuse, by file, line and field."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED_DATA
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.importers.compute_optimal_tts import read_compute_optimal_tts
from overthink.tasks.importers.imported import ImportedSet, powers_of_two
from overthink.tasks.importers.mapped_jsonl import parse_mapping, read_mapped_jsonl
from overthink.tasks.importers.score_transforms import score_transform
from overthink.tasks.importers.search_and_learn import read_search_and_learn
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe

FUZZ = settings(deadline=None, derandomize=True)
TAG = "ки\n"
CONFIG = {
    "method": "beam_search",
    "method_config": {"task_name": "MATH"},
    "LM": ["/models/small-policy"],
    "RM": "/models/some-prm",
    "prm_step_tag": TAG,
}
PAIRS = ["question=q", "reference=gold", "text=out", "scores=rewards", "problem_id=id", "tokens=len", "answer=said"]
COLUMNS = parse_mapping(PAIRS)


def write_lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def output(answer: str = "4", **changes: Any) -> dict[str, Any]:
    value = {
        "text": f"two and two {TAG}\\boxed{{{answer}}} {TAG}",
        "value": [0.5, 0.25],
        "extracted_answer": answer,
        "token_history": [3, 5],
    }
    return value | changes


def record(question: str = "2 + 2?", vote: int | None = 1, tokens: int = 40, **changes: Any) -> dict[str, Any]:
    value = {
        "question": question,
        "groundtruth": "It is $2 + 2 = \\boxed{4}$.",
        "result": {"majority_vote": vote, "total_completion_tokens": tokens},
        "output": [output()],
    }
    return value | changes


def tts_folder(root: Path, records: dict[int, list[Any]], sizes: str = "40_4_1", **config: Any) -> Path:
    """A result folder in that tool's layout, `records` by question."""
    folder = root / "MATH_beam_search" / "small-policy" / "some-prm" / sizes
    for question, found in records.items():
        for index, value in enumerate(found):
            write_lines(folder / f"question_{question}" / f"record_{index}.jsonl", value)
    write_lines(folder / "config.json", CONFIG | config)
    write_lines(folder / "avg_result.json", [{"majority_vote": 0.5, "total_completion_tokens": 30.0}])
    return folder


def learned(**changes: Any) -> dict[str, Any]:
    """One line of search-and-learn."""
    value = {
        "problem": "2 + 2?",
        "answer": "4",
        "unique_id": "sum/1.json",
        "level": 2,
        "subject": "Sums",
        "completions": ["so\n\n\\boxed{4}", "it is 5\n\n"],
        "scores": [[0.5, 0.25], [0.75, 1.0]],
        "completion_tokens": [0, 7],
        "pred": "so\n\n\\boxed{4}",
        "pred_naive@2": "\\boxed{5}",
        "pred_maj@1": "\\boxed{}",
    }
    return value | changes


def row(**changes: Any) -> dict[str, Any]:
    """One line of a JSONL with column names of its own."""
    value = {"q": "2 + 2?", "gold": "4", "out": "so\n\n4", "rewards": [0.5, 0.25], "id": 7, "len": 9, "said": "4"}
    return value | changes


def read_tts(folder: Path, *rows: Any) -> list[ImportedSet]:
    return read_compute_optimal_tts(tts_folder(folder, {0: list(rows)}))


def read_learned(folder: Path, *rows: Any) -> list[ImportedSet]:
    return [read_search_and_learn(write_lines(folder / "some.jsonl", *rows), independent=False)]


def read_rows(folder: Path, *rows: Any) -> list[ImportedSet]:
    return [read_mapped_jsonl(write_lines(folder / "some.jsonl", *rows), COLUMNS, independent=False)]


def reported(imported: ImportedSet, field: str) -> list[tuple[Any, ...]]:
    return [
        (said.measure, said.sample_index, said.selector, said.n, said.answer, said.correct, said.value)
        for each in imported.problems
        for said in each.reported
        if said.field == field
    ]


def test_compute_optimal_tts_brings_steps_scores_and_tokens(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record())
    (problem,) = found.problems
    assert (problem.problem.problem_id, problem.problem.question, problem.problem.reference) == (
        "question_0",
        "2 + 2?",
        "4",
    )
    (rollout,) = problem.rollouts
    assert rollout.text == "two and two\n\n\\boxed{4}"
    assert [(step.text, step.score, step.completion_tokens) for step in rollout.steps] == [
        ("two and two", 0.5, 3),
        ("\\boxed{4}", 0.25, 5),
    ]
    assert rollout.completion_tokens == 8
    assert (found.policy, found.prm, found.method_id) == ("small-policy", "some-prm", "beam_search-n4")
    assert (found.n, found.budgets, found.independent) == (4, (4,), False)


def test_compute_optimal_tts_keeps_what_it_reported(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record(vote=0))
    assert reported(found, "result.majority_vote") == [("choice", None, "majority", 4, "4", False, None)]
    assert reported(found, "result.total_completion_tokens") == [("policy_tokens", None, None, None, None, None, 40)]
    assert reported(found, "output.extracted_answer") == [("answer", 0, None, None, "4", False, None)]
    assert [(said.field, said.measure, said.value) for said in found.reported] == [
        ("avg_result.majority_vote", "accuracy", 0.5),
        ("avg_result.total_completion_tokens", "policy_tokens", 30.0),
    ]


def test_a_label_is_not_spread_over_different_answers(tmp_path: Path) -> None:
    result = {"majority_vote": 1, "prm_avg_vote": 0}
    (found,) = read_tts(tmp_path, record(output=[output("4"), output("5"), output("4")], result=result))
    assert reported(found, "result.prm_avg_vote") == [("choice", None, "prm_mean_vote", 4, None, False, None)]
    assert [said[5] for said in reported(found, "output.extracted_answer")] == [None, None, None]


def test_an_unknown_verdict_is_not_wrong(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record(vote=None))
    assert reported(found, "result.majority_vote")[0][5] is None


def test_further_records_of_a_search_are_sets_of_their_own(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {10: [record("ten")], 2: [record("two"), record("two", output=[output("5")])]})
    first, second = read_compute_optimal_tts(folder)
    assert [each.problem.problem_id for each in first.problems] == ["question_2", "question_10"]
    assert [each.problem.problem_id for each in second.problems] == ["question_2"]
    assert second.problems[0].rollouts[0].text.endswith("{5}")
    assert (first.label, second.label) == ("", "record-1")
    assert first.reported and not second.reported, "its summary is of the first records"


def test_records_of_best_of_n_count_together(tmp_path: Path) -> None:
    records = [record(output=[output(str(answer))]) for answer in (4, 5)]
    (found,) = read_compute_optimal_tts(tts_folder(tmp_path, {0: records}, sizes="40_1_2", method="best_of_n"))
    assert [rollout.text[-3:] for rollout in found.problems[0].rollouts] == ["{4}", "{5}"]
    assert (found.n, found.budgets, found.independent) == (2, (1, 2), True)
    assert [said[0] for said in reported(found, "result.majority_vote")] == [None, None], "no vote over both"
    assert [said[1] for said in reported(found, "output.extracted_answer")] == [0, 1]


def test_a_search_that_ended_without_a_path_leaves_a_problem_without_rollouts(tmp_path: Path) -> None:
    folder = tts_folder(tmp_path, {0: [record()], 1: [record("dead", output=[])]})
    (found,) = read_compute_optimal_tts(folder)
    assert [len(each.rollouts) for each in found.problems] == [1, 0]


def test_a_reference_without_a_box_is_the_whole_ground_truth(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record(groundtruth="204"))
    assert found.problems[0].problem.reference == "204"


def test_search_and_learn_brings_every_piece_that_was_scored(tmp_path: Path) -> None:
    (found,) = read_learned(tmp_path, learned())
    (problem,) = found.problems
    assert (problem.problem.problem_id, problem.problem.level, problem.problem.subject) == ("sum/1.json", "2", "Sums")
    assert [[(step.text, step.score) for step in rollout.steps] for rollout in problem.rollouts] == [
        [("so", 0.5), ("\\boxed{4}", 0.25)],
        [("it is 5", 0.75), ("", 1.0)],
    ]
    assert (found.n, found.budgets, found.independent) == (2, (1, 2), False)
    assert (found.policy, found.prm) == (None, None)


def test_search_and_learn_counts_of_zero_tokens_are_unknown(tmp_path: Path) -> None:
    (found,) = read_learned(tmp_path, learned())
    assert [rollout.completion_tokens for rollout in found.problems[0].rollouts] == [None, 7]
    (found,) = read_learned(tmp_path, learned(completion_tokens=None))
    assert [rollout.completion_tokens for rollout in found.problems[0].rollouts] == [None, None]


def test_search_and_learn_predictions_are_kept(tmp_path: Path) -> None:
    (found,) = read_learned(tmp_path, learned())
    assert reported(found, "pred_naive@2") == [("choice", None, "prm_last_max", 2, "5", None, None)]
    assert reported(found, "pred_maj@1") == [("choice", None, "majority", 1, "", None, None)]


def test_independent_rollouts_answer_only_budgets_that_every_problem_has(tmp_path: Path) -> None:
    short = learned(unique_id="b", completions=["\\boxed{4}"], scores=[[0.5]], completion_tokens=None)
    path = write_lines(tmp_path / "some.jsonl", learned(), short)
    assert read_search_and_learn(path, independent=True).budgets == (1,)
    assert read_search_and_learn(path, independent=False).budgets == (1, 2)


def test_jsonl_groups_rows_of_one_problem(tmp_path: Path) -> None:
    (found,) = read_rows(tmp_path, row(), row(id="8", q="3?"), row(out="a\n\nb", said=None, len=None))
    assert [each.problem.problem_id for each in found.problems] == ["7", "8"]
    first = found.problems[0]
    assert [rollout.text for rollout in first.rollouts] == ["so\n\n4", "a\n\nb"]
    assert [rollout.completion_tokens for rollout in first.rollouts] == [9, None]
    assert reported(found, "answer") == [("answer", 0, None, None, "4", None, None)] * 2
    assert (found.n, found.budgets, found.is_scored) == (2, (1, 2), True)


def test_jsonl_orders_by_sample_index_and_reads_steps(tmp_path: Path) -> None:
    columns = parse_mapping(["question=q", "reference=r", "steps=s", "sample_index=i"])
    rows = [{"q": "x", "r": "1", "s": ["second"], "i": 5}, {"q": "x", "r": "1", "s": ["first", "two"], "i": 3}]
    found = read_mapped_jsonl(write_lines(tmp_path / "a.jsonl", *rows), columns, independent=False)
    assert [rollout.text for rollout in found.problems[0].rollouts] == ["first\n\ntwo", "second"]
    assert found.problems[0].problem.problem_id == "0"
    assert not found.is_scored


@pytest.mark.parametrize(("lengths", "total"), [((9, 3), 12.0), ((9, None), None)])
def test_what_independent_rollouts_cost_is_their_sum_or_unknown(
    tmp_path: Path, lengths: tuple[int | None, ...], total: float | None
) -> None:
    path = write_lines(tmp_path / "a.jsonl", *(row(len=length) for length in lengths))
    found = read_mapped_jsonl(path, COLUMNS, independent=True)
    assert [said[-1] for said in reported(found, "tokens")] == [total]


@pytest.mark.parametrize("unknown", ["null", "NaN"])
def test_an_unknown_score_stays_unknown(tmp_path: Path, unknown: str) -> None:
    line = json.dumps(row()).replace("[0.5, 0.25]", f"[0.5, {unknown}]")
    (found,) = read_rows(tmp_path, line)
    assert [step.score for step in found.problems[0].rollouts[0].steps] == [0.5, None]


REFUSED: dict[str, tuple[Callable[..., list[ImportedSet]], Any, str]] = {
    "no scores": (read_tts, {k: v for k, v in output().items() if k != "value"}, "field 'output.0.value' is missing"),
    "a word for a score": (
        read_tts,
        output(value=[0.5, "0.25"]),
        "value.1': a number is wanted, not '0.25'",
    ),
    "true for a score": (read_tts, output(value=[0.5, True]), "field 'output.0.value.1'"),
    "a score above 1": (read_tts, output(value=[0.5, 1.5]), "1.5 is too large: give at most 1"),
    "an infinite score": (read_tts, output(value=[0.5, float("inf")]), "finite number"),
    "too few scores": (read_tts, output(value=[0.5]), "output 0: field 'value' has 1 values for 2 steps"),
    "too few tokens": (read_tts, output(token_history=[3]), "field 'token_history' has 1 values for 2 steps"),
    "a negative count": (read_tts, output(token_history=[3, -1]), "field 'output.0.token_history.1'"),
    "no last tag": (read_tts, output(text=f"a {TAG}b"), "does not end with the step tag"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_output_is_refused_by_file_line_and_field(name: str, tmp_path: Path) -> None:
    read, bad, message = REFUSED[name]
    with pytest.raises(ProblemError) as caught:
        read(tmp_path, record(output=[bad]))
    assert "record_0.jsonl, line 1" in str(caught.value)
    assert message in str(caught.value)


BAD_LINES: dict[str, tuple[Callable[..., list[ImportedSet]], Any, str]] = {
    "learned: no scores": (
        read_learned,
        {k: v for k, v in learned(unique_id="b").items() if k != "scores"},
        "field 'scores' is missing (fields there: problem, answer,",
    ),
    "learned: null scores": (read_learned, learned(unique_id="b", scores=None), "field 'scores'"),
    "learned: too few": (read_learned, learned(scores=[[0.5, 0.5]]), "'scores' has 1 values for 2 completions"),
    "learned: steps": (read_learned, learned(scores=[[0.5], [0.5, 1]]), "completion 0: field 'scores' has 1 values"),
    "learned: twice": (read_learned, learned(), "unique_id 'sum/1.json' is there twice"),
    "learned: cut off": (read_learned, json.dumps(learned())[:-9], "not JSON"),
    "learned: no object": (read_learned, [1], "not a JSON object"),
    "learned: prediction": (read_learned, learned(unique_id="b", **{"pred_maj@2": 5}), "field 'pred_maj@2' is no text"),
    "learned: another format": (read_learned, record(), "field 'problem' is missing (fields there: question,"),
    "learned: no question": (read_learned, learned(problem=" "), "field 'problem': it is empty: give at least 1"),
    "learned: half a character": (read_learned, learned(problem="\ud800"), "field 'problem'"),
    "rows: half a character": (read_rows, row(out="so \ud800\n\n4"), "field 'out' is not valid Unicode text; mend it"),
    "rows: a key twice": (
        read_rows,
        json.dumps(row())[:-1] + ', "gold": "5"}',
        "line 3: the key 'gold' is there twice: keep one",
    ),
    "learned: a key twice": (read_learned, json.dumps(learned())[:-1] + ', "scores": []}', "the key 'scores' is there"),
    "rows: no column": (read_rows, {"q": "x"}, "field 'gold' (reference) is missing or null (fields there: q)"),
    "rows: null scores": (read_rows, row(rewards=None), "field 'rewards' (scores) is missing or null"),
    "rows: a word": (read_rows, row(rewards=["high", 0.5]), "field 'rewards.0': a number is wanted, not 'high'"),
    "rows: too many": (read_rows, row(rewards=[0.5] * 3), "field 'rewards' has 3 values for 2 steps"),
    "rows: other reference": (read_rows, row(gold="5"), "problem 7 has another question or reference than in"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_by_file_line_and_field(name: str, tmp_path: Path) -> None:
    read, bad, message = BAD_LINES[name]
    good = learned() if read is read_learned else row()
    with pytest.raises(ProblemError) as caught:
        read(tmp_path, good, "", bad)
    assert "some.jsonl, line 3" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sample_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    columns = parse_mapping(["question=q", "reference=r", "text=t", "sample_index=i"])
    path = write_lines(tmp_path / "a.jsonl", *({"q": "x", "r": "1", "t": "y", "i": 3} for _ in range(2)))
    with pytest.raises(ProblemError, match="line 2: problem 0 has sample 3 twice"):
        read_mapped_jsonl(path, columns, independent=False)


FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda folder: read_compute_optimal_tts(folder / "nowhere"), "nowhere is not a folder"),
    "empty": (read_compute_optimal_tts, "no folder question_0"),
    "missing file": (lambda folder: read_search_and_learn(folder / "no.jsonl", False), "no.jsonl: cannot be read"),
    "a folder": (lambda folder: read_search_and_learn(folder, False), "is a folder"),
    "also a folder": (lambda folder: read_mapped_jsonl(folder, COLUMNS, False), "is a folder"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_not_there_is_told(name: str, tmp_path: Path) -> None:
    read, message = FOLDERS[name]
    with pytest.raises(ProblemError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("reader", [read_search_and_learn, lambda path, _: read_rows(path.parent)])
def test_an_empty_file_is_refused(reader: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="in it"):
        reader(write_lines(tmp_path / "some.jsonl"), False)


def broken(folder: Path, name: str) -> Path:
    """A folder of that tool with one thing wrong."""
    root = tts_folder(folder, {0: [record()], 1: [record("other"), record("other")]})
    match name:
        case "no config":
            (root / "config.json").unlink()
        case "torn config":
            (root / "config.json").write_text('{"method": ')
        case "listed config":
            write_lines(root / "config.json", [CONFIG])
        case "config without tag":
            write_lines(root / "config.json", {k: v for k, v in CONFIG.items() if k != "prm_step_tag"})
        case "torn summary":
            (root / "avg_result.json").write_text("[")
        case "no record":
            (root / "question_0" / "record_0.jsonl").unlink()
        case "a record between":
            (root / "question_1" / "record_0.jsonl").unlink()
        case "empty record":
            (root / "question_0" / "record_0.jsonl").write_text("")
        case "two results":
            tts_folder(folder, {0: [record()]}, sizes="40_4_4")
    return folder


BROKEN = {
    "no config": r"config.json: cannot be read",
    "torn config": r"config.json: not JSON",
    "listed config": r"config.json: not a JSON object",
    "config without tag": r"config.json: field 'prm_step_tag' is missing",
    "torn summary": r"avg_result.json: not JSON",
    "no record": r"question_0 holds no record_0.jsonl, so its search never ended",
    "a record between": r"question_1: record_0.jsonl is missing, but record_1.jsonl is there",
    "empty record": r"record_0.jsonl: 0 lines where there should be one record",
    "two results": r"several results below it; name one of .*40_4_1, .*40_4_4",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_by_its_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=BROKEN[name]):
        read_compute_optimal_tts(broken(tmp_path, name))


def test_records_of_one_answer_set_ask_one_question(tmp_path: Path) -> None:
    records = {0: [record(), record("another")]}
    with pytest.raises(ProblemError, match=r"record_1.jsonl, line 1: another question than in .*record_0"):
        read_compute_optimal_tts(tts_folder(tmp_path, records, method="best_of_n"))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["colour=red"], "no key 'colour': name one of question, reference, text"),
        (["question"], "not 'question'"),
        (["question=a", "question=b"], "names question twice"),
        (["question=a", "text=b"], "--map lacks reference"),
        (["question=a", "reference=b"], "--map lacks text or steps"),
    ],
)
def test_a_wrong_mapping_is_told(pairs: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_mapping(pairs)


def test_the_content_decides_and_the_place_does_not(tmp_path: Path) -> None:
    one = read_search_and_learn(write_lines(tmp_path / "one.jsonl", learned()), False)
    moved = read_search_and_learn(write_lines(tmp_path / "there" / "two.jsonl", learned()), False)
    other = read_search_and_learn(write_lines(tmp_path / "three.jsonl", learned(answer="5")), False)
    assert one.content == moved.content != other.content
    assert one.problem_set.name == moved.problem_set.name != other.problem_set.name


@pytest.mark.parametrize(("largest", "expected"), [(1, (1,)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16))])
def test_powers_of_two(largest: int, expected: tuple[int, ...]) -> None:
    assert powers_of_two(largest) == expected


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="real rollouts are not shipped: ../shared/data")
def test_real_rollouts_are_read_whole() -> None:
    first, second = read_compute_optimal_tts(SHARED_DATA / "rollouts" / "compute_optimal_tts")
    assert [len(found.problems) for found in (first, second)] == [500, 100]
    references = [json.loads(line)["answer"] for line in (SHARED_DATA / "math500.jsonl").open(encoding="utf-8")]
    assert [each.problem.reference for each in first.problems] == references
    (path,) = (SHARED_DATA / "rollouts" / "search_and_learn").iterdir()
    found = read_search_and_learn(path, independent=False)
    assert (len(found.problems), found.n, found.budgets) == (100, 16, (1, 2, 4, 8, 16))
    assert sum(len(said) for said in (each.reported for each in found.problems)) == 1500


def test_tokens_of_a_best_of_n_solution_are_its_total(tmp_path: Path) -> None:
    records = [record(output=[output(token_history=[count])]) for count in (8, 9)]
    (found,) = read_compute_optimal_tts(tts_folder(tmp_path, {0: records}, sizes="40_1_2", method="best_of_n"))
    rollouts = found.problems[0].rollouts
    assert [rollout.completion_tokens for rollout in rollouts] == [8, 9]
    assert [step.completion_tokens for step in rollouts[0].steps] == [None, None]


def test_no_token_counts_are_unknown_and_not_zero(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record(output=[output(token_history=[])]))
    assert found.problems[0].rollouts[0].completion_tokens is None


def test_a_reference_is_the_last_box_of_two_that_say_the_same(tmp_path: Path) -> None:
    (found,) = read_tts(tmp_path, record(groundtruth="so $\\boxed{1\\frac12},$ or $\\boxed{\\frac{3}{2}}$"))
    assert found.problems[0].problem.reference == "\\frac{3}{2}"


SCORED = parse_mapping(["question=q", "reference=gold", "text=out", "scores=reward"])


def rewarded(reward: Any, out: Any = "a\n\nb") -> dict[str, Any]:
    return {"q": "2 + 2?", "gold": "4", "out": out, "reward": reward}


def scores_of(found: ImportedSet) -> list[list[float | None]]:
    return [[step.score for step in rollout.steps] for each in found.problems for rollout in each.rollouts]


def test_one_score_of_a_rollout_is_of_all_its_text(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", rewarded(0.25), rewarded(1), '{"q":"2 + 2?","gold":"4","out":"","reward":NaN}'
    )
    found = read_mapped_jsonl(path, SCORED, independent=True)
    assert scores_of(found) == [[0.25], [1.0], [None]]
    (rollout, *_) = found.problems[0].rollouts
    assert (rollout.text, [step.text for step in rollout.steps]) == ("a\n\nb", ["a\n\nb"])


def test_one_score_for_several_steps_is_refused(tmp_path: Path) -> None:
    columns = parse_mapping(["question=q", "reference=gold", "steps=out", "scores=reward"])
    path = write_lines(tmp_path / "a.jsonl", rewarded(0.5, ["a", "b"]))
    with pytest.raises(ProblemError, match="line 1: field 'reward' has 1 values for 2 steps"):
        read_mapped_jsonl(path, columns, independent=True)


def test_a_sigmoid_is_of_each_score_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rewarded(0), rewarded([2, None]), rewarded(-30.5))
    found = read_mapped_jsonl(path, SCORED, independent=True, transform="sigmoid")
    (one,), (two, unknown), (low,) = scores_of(found)
    assert (one, unknown) == (0.5, None)
    assert two == pytest.approx(0.8807970779778823) and low == pytest.approx(5.676e-14, rel=1e-3)


def test_minmax_is_over_the_whole_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rewarded(-3), rewarded([1, float("nan")]), rewarded(5))
    found = read_mapped_jsonl(path, SCORED, independent=True, transform="minmax")
    assert scores_of(found) == [[0.0], [0.5, None], [1.0]]


@pytest.mark.parametrize(
    ("transform", "rewards", "message"),
    [
        ("none", [1.5], "line 1: field 'reward': 1.5 is not in [0, 1]; for raw scores name --score-transform sigmoid"),
        ("none", [-0.1], "line 1: field 'reward': -0.1 is not in"),
        ("sigmoid", [0, 41.5], "line 2: field 'reward': 41.5 is so far out that its sigmoid cannot be told from 1"),
        ("sigmoid", [-1e300], "cannot be told from 0: name minmax instead"),
        ("minmax", [2.0, 2.0], "--score-transform minmax: all scores are 2"),
        ("sigmoid", [float("inf")], "line 1: field 'reward.0': a finite number is wanted, not inf"),
    ],
)
def test_a_score_without_a_place_is_refused_with_the_remedy(
    transform: Any, rewards: list[float], message: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.jsonl", *map(rewarded, rewards))
    with pytest.raises(UserError, match=re.escape(message)):
        read_mapped_jsonl(path, SCORED, independent=True, transform=transform)


@FUZZ
@example([0.0, 5e-324])
@example([-1.7e308, 0.0, 1.7e308])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=6))
def test_minmax_keeps_the_order_and_fills_the_unit_interval(scores: list[float]) -> None:
    assume(min(scores) < max(scores))
    scale = score_transform("minmax", scores)
    scaled = list(map(scale, scores))
    assert (min(scaled), max(scaled)) == (0, 1)
    assert [scaled[index] for index in sorted(range(len(scores)), key=scores.__getitem__)] == sorted(scaled)


def test_a_row_of_several_rollouts_is_taken_apart(tmp_path: Path) -> None:
    columns = parse_mapping([*PAIRS, "correct=right"])
    several = row(
        out=["a\n\nb", "c", "d"], rewards=[[0.5, 1], 0.25, None], len=[3, None, 5], said=None, right=[True, False, None]
    )
    found = read_mapped_jsonl(write_lines(tmp_path / "a.jsonl", several), columns, True, explode=True)
    (problem,) = found.problems
    assert [rollout.text for rollout in problem.rollouts] == ["a\n\nb", "c", "d"]
    assert [rollout.completion_tokens for rollout in problem.rollouts] == [3, None, 5]
    assert scores_of(found) == [[0.5, 1.0], [0.25], [None]]
    assert [said[5] for said in reported(found, "answer")] == [True, False]
    assert (found.n, found.budgets) == (3, (1, 2, 3))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"out": "a"}, "line 1: field 'out' (text) is no list with a value for each rollout"),
        ({"out": []}, "line 1: field 'out' (text) is no list with a value for each rollout"),
        ({"rewards": [0.5]}, "line 1: field 'rewards' has 1 values for 2 rollouts"),
        ({"rewards": [0.5, 7]}, "line 1, rollout 1: field 'rewards': 7 is not in [0, 1]"),
        (
            {"len": [1, -4]},
            "line 1, rollout 1: field 'len': -4 is too small: give at least 0; mend the record",
        ),
    ],
)
def test_a_row_that_cannot_be_taken_apart_is_refused(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    several = row(out=["a", "b"], rewards=[0.5, 1], len=[3, 4], said=["4", "5"]) | bad
    with pytest.raises(ProblemError, match=re.escape(message)):
        read_mapped_jsonl(write_lines(tmp_path / "a.jsonl", several), COLUMNS, True, explode=True)


@pytest.mark.parametrize(("gold", "reference"), [(1e-05, "0.00001"), (4, "4"), ([1, 2], "1, 2")])
def test_a_reference_may_be_a_number_or_a_list(gold: Any, reference: str, tmp_path: Path) -> None:
    (found,) = read_rows(tmp_path, row(gold=gold))
    assert found.problems[0].problem.reference == reference


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("search-and-learn", [], "sigmoid", False), "--score-transform is for jsonl"),
        (("compute-optimal-tts", [], "none", True), "--explode is for jsonl"),
        (("jsonl", ["question=q", "reference=r", "text=t"], "minmax", False), "--score-transform is of scores"),
    ],
)
def test_options_that_do_nothing_are_refused(options: tuple[Any, ...], message: str) -> None:
    layout, mapping, transform, explode = options
    with pytest.raises(UserError, match=message):
        import_recipe(layout, Path("x"), ReadAs(mapping, transform, explode), None, GradedAs(extraction="boxed"), True)
