"""`overthink import lm-eval`, on files that lm-evaluation-harness 0.4.13 wrote for a scripted model, and on bad ones.

Of its `results_DATE.json` files only some fields are kept, none of them changed.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_importers import reported, write_lines
from test_inspect_logs import VALUES

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.importers.imported import ImportedSet
from overthink.tasks.importers.imported_reasoning import families_of, with_reasoning
from overthink.tasks.importers.lm_eval import read_lm_eval
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe

FILES = Path(__file__).parent / "imported_files"
LM_EVAL = FILES / "lm_eval"


def by_task() -> dict[str, ImportedSet]:
    return {found.label: found for found in read_lm_eval(LM_EVAL, {})}


def sample(**changes: Any) -> dict[str, Any]:
    """One line, of a document under one filter."""
    value = {
        "doc_id": 0,
        "doc": {"Problem": "2 + 2?", "Answer": 4, "level": 3},
        "target": "4",
        "arguments": [["Q: 2 + 2?", {"until": ["Q:"]}]],
        "resps": [["\\boxed{4}", "\\boxed{5}"]],
        "filtered_resps": ["4"],
        "exact_match": 1.0,
    }
    return value | changes


def read_lines(folder: Path, *lines: Any, columns: dict[str, str] | None = None) -> ImportedSet:
    (found,) = read_lm_eval(write_lines(folder / "some.jsonl", *lines), columns or {})
    return found


def test_each_task_of_a_folder_is_a_set() -> None:
    found = by_task()
    assert list(found) == ["sums", "sums_repeated"]
    assert {each.policy for each in found.values()} == {"some/model"}
    assert [(each.n, each.budgets, each.independent, each.is_scored) for each in found.values()] == [
        (1, (1,), True, False),
        (3, (1, 2, 3), True, False),
    ]


def test_a_document_is_a_problem_with_the_end_of_its_target_as_reference() -> None:
    problems = [each.problem for each in by_task()["sums"].problems]
    assert [(problem.problem_id, problem.question, problem.reference) for problem in problems] == [
        ("0", "What is 2 + 2?", "4"),
        ("1", "What is 30 * 2?", "60"),
        ("2", "What is 7 - 5?", "2"),
    ]


def test_repeats_are_rollouts_and_steps_are_between_blank_lines() -> None:
    found = by_task()["sums_repeated"]
    assert [len(problem.rollouts) for problem in found.problems] == [3, 3, 3]
    assert [step.text for step in found.problems[1].rollouts[0].steps] == ["It is $60.", "#### 60"]
    assert found.problems[0].rollouts[1].text == " <think> Try 7: \\boxed{7}? no. </think> The answer is **4**."


def test_filters_repeat_a_document_and_the_first_one_is_the_label() -> None:
    found = by_task()["sums"]
    assert [len(problem.rollouts) for problem in found.problems] == [1, 1, 1]
    assert [said[:1] + said[4:] for said in reported(found, "exact_match,strict-match")] == [
        ("answer", "4", True, 1.0),
        ("answer", "60", True, 1.0),
        ("answer", "[invalid]", False, 0.0),
    ]
    assert [said[0] for said in reported(found, "exact_match,flexible-extract")] == [None] * 3
    assert [(said.field, said.measure, round(said.value or 0, 4)) for said in found.reported] == [
        ("results.exact_match,strict-match", "accuracy", 0.6667),
        ("results.exact_match,flexible-extract", None, 0.6667),
    ]


def test_a_vote_of_the_harness_is_a_choice_of_majority() -> None:
    found = by_task()["sums_repeated"]
    assert reported(found, "exact_match,maj@3") == [
        ("choice", None, "majority", 3, answer, True, 1.0) for answer in ("4", "60", "2")
    ]
    assert {said[0] for said in reported(found, "exact_match,score-first")} == {None}, "of the first rollout or of all?"


def test_a_vote_of_more_than_there_are_is_no_choice(tmp_path: Path) -> None:
    found = read_lines(tmp_path, sample(filter="maj@64"))
    assert [said[0] for said in reported(found, "exact_match,maj@64")] == [None]


@pytest.mark.parametrize(
    "as_stored", [lambda prompt: [[prompt, {}]], lambda prompt: {"gen_args_0": {"a": prompt, "b": {}}}]
)
def test_where_the_prompt_opens_the_reasoning_all_that_is_cut_off_is_none(as_stored: Any, tmp_path: Path) -> None:
    """By default the harness lets a model write 256 tokens, in which a thinking one may close nothing."""
    cut = sample(arguments=as_stored("<|User|>2 + 2?<|Assistant|><think>\n"), resps=[["\\boxed{7}? No", "a</think>8"]])
    found = with_reasoning(read_lines(tmp_path, cut), families_of("any"))
    assert [(rollout.text, rollout.reasoning, rollout.stop_reason) for rollout in found.problems[0].rollouts] == [
        ("", "\\boxed{7}? No", "reasoning"),
        ("8", "a", None),
    ]
    assert with_reasoning(found, ()).content == found.content
    plain = read_lines(tmp_path, sample(arguments=as_stored("2 + 2?")))
    assert read_lines(tmp_path, sample(arguments=as_stored("<think>"))).content == plain.content, "in no key by itself"


def test_names_of_files_are_in_no_key(tmp_path: Path) -> None:
    (file,) = LM_EVAL.glob("samples_sums_2*")
    (named,) = read_lm_eval(file, {})
    (moved,) = read_lm_eval(Path(shutil.copy(file, tmp_path / "other.jsonl")), {})
    assert (named.policy, moved.policy, moved.reported) == ("some/model", None, ())
    assert named.problems == moved.problems


def test_older_lines_and_other_columns_are_read(tmp_path: Path) -> None:
    lines = sample(), sample(doc_id=1, doc={"body": "3 + 3?", "Answer": 6, "kind": "sum"}, target=6)
    with pytest.raises(
        ProblemError, match="line 2: no column of 'doc' is known .*--map question=COLUMN, of body, Answ"
    ):
        read_lines(tmp_path, *lines)
    (one,) = read_lines(
        tmp_path, lines[1], columns={"question": "body", "reference": "Answer", "subject": "kind"}
    ).problems
    assert (one.problem.question, one.problem.reference, one.problem.subject) == ("3 + 3?", "6", "sum")
    (first,) = read_lines(tmp_path, lines[0]).problems
    assert (first.problem.question, first.problem.level) == ("2 + 2?", "3")


@pytest.mark.parametrize(
    ("target", "reference"),
    [("A.\n#### 1,234", "1,234"), ("so \\boxed{5} or\n\\boxed{7}.", "7"), (" 4 ", "4"), (12, "12"), (0.5, "0.5")],
)
def test_a_reference_is_the_end_of_a_whole_solution(target: Any, reference: str, tmp_path: Path) -> None:
    (one,) = read_lines(tmp_path, sample(target=target)).problems
    assert one.problem.reference == reference


def test_metrics_that_say_nothing_stay_unknown(tmp_path: Path) -> None:
    line = sample(metrics=["half", "none", "word"], half=0.5, none=None, word="yes", resps=[["\\boxed{4}"]])
    found = read_lines(tmp_path, line)
    assert reported(found, "half,none") == [("answer", 0, None, None, "4", None, 0.5)]
    assert len(found.problems[0].reported) == 1
    nan = read_lines(tmp_path, json.dumps(sample()).replace("1.0", "NaN"))
    assert nan.problems[0].reported == ()


def test_a_column_that_map_names_is_there(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="line 1: field 'kind' is missing"):
        read_lines(tmp_path, sample(), columns={"subject": "kind"})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "twice": (sample(), "document 0 is there twice with filter 'none'"),
    "other responses": (sample(filter="b", resps=[["5", "6"]]), "document 0 has other responses than in"),
    "no document": ({k: v for k, v in sample().items() if k != "doc"}, "field 'doc' is missing"),
    "no responses": (sample(doc_id=1, resps=[]), "field 'resps'"),
    "an empty list": (sample(doc_id=1, resps=[[]]), "field 'resps' is no list with one list of texts"),
    "two prompts": (sample(doc_id=1, resps=[["a"], ["b"]]), "field 'resps' is no list with one list of texts"),
    "numbers": (sample(doc_id=1, resps=[[1.5]]), "field 'resps' is no list with one list of texts"),
    "an empty question": (sample(doc_id=1, doc={"question": " "}), "field 'question' is empty"),
    "an empty target": (sample(doc_id=1, target=""), "field 'target' is empty"),
    "an option's text": (sample(doc_id=1, arguments=[["Q", " 4"]]), "compares log-likelihoods of given answers"),
    "no arguments": (sample(doc_id=1, arguments=[["Q"]]), "compares log-likelihoods"),
    "no requests": (sample(doc_id=1, arguments=[]), "compares log-likelihoods"),
    "a negative number": (sample(doc_id=-1), "field 'doc_id'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_that_cannot_be_used_is_refused_by_file_line_and_field(name: str, tmp_path: Path) -> None:
    bad, message = REFUSED[name]
    with pytest.raises(ProblemError, match="some.jsonl, line 2: ") as caught:
        read_lines(tmp_path, sample(), bad)
    assert message in str(caught.value)


def test_log_likelihoods_are_refused_with_the_reason() -> None:
    with pytest.raises(ProblemError, match="samples_letters_.*line 1: no text was generated, for its task compares"):
        read_lm_eval(FILES / "log_likelihoods", {})


def test_what_is_not_there_or_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="run the harness with --log_samples"):
        read_lm_eval(tmp_path, {})
    with pytest.raises(ProblemError, match="cannot be read"):
        read_lm_eval(tmp_path / "no.jsonl", {})
    with pytest.raises(ProblemError, match="no sample in it"):
        read_lines(tmp_path)
    for day in (1, 2):
        write_lines(tmp_path / "two" / f"samples_sums_2026-01-0{day}T00-00-00.0.jsonl", sample())
    with pytest.raises(ProblemError, match="task sums has samples in .*name one file or folder"):
        read_lm_eval(tmp_path / "two", {})


def test_broken_results_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "samples_sums_2026-01-01T00-00-00.0.jsonl", sample())
    (tmp_path / "results_2026-01-01T00-00-00.0.json").write_text("{")
    with pytest.raises(ProblemError, match=r"results_.*\.json: not JSON"):
        read_lm_eval(path, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReadAs(["text=t"]), "--map text=t: there is no key 'text': did you mean test"),
        (ReadAs([], explode=True), "--explode is for jsonl"),
        (ReadAs([], "sigmoid"), "--score-transform is for jsonl"),
    ],
)
def test_options_of_other_formats_are_refused(options: ReadAs, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_recipe("lm-eval", Path("x"), options, None, GradedAs(), False)


@pytest.mark.usefixtures("prefect_server")
def test_the_command_imports_grades_and_compares(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported = overthink("import", "lm-eval", LM_EVAL, "--store", store)
    assert imported.returncode == 0, imported.stderr
    sql = "SELECT name, n, accuracy FROM summary JOIN runs USING (run_id) WHERE selector = 'majority' ORDER BY ALL"
    found = [tuple(row.values()) for row in query(Store(store), sql).to_pylist()]
    # 3 for 7 - 5 is wrong; of the repeats 2 of 3, 2 of 3 and 2 of 3 are right, cut reasoning counting as no answer.
    assert found[0] == ("lm-eval-sums", 1, pytest.approx(2 / 3))
    assert found[-1] == ("lm-eval-sums_repeated", 3, 1.0)
    assert found[1] == ("lm-eval-sums_repeated", 1, pytest.approx(6 / 9))
    sql = "SELECT text, answer, stop_reason, reasoning_text FROM rollouts WHERE reasoning_text IS NOT NULL ORDER BY 1"
    assert [tuple(row.values()) for row in query(Store(store), sql).to_pylist()] == [
        ("", None, "reasoning", "2 + 2, is it 5"),
        (" The answer is **4**.", "4", None, " Try 7: \\boxed{7}? no. "),
    ]
    compared = overthink("compare", "lm-eval-sums_repeated", "--store", store)
    assert compared.returncode == 0 and "3 of 3" in compared.stdout


FIELDS = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "exact_match")


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=VALUES)
def test_whatever_a_field_holds_it_is_read_or_refused(field: str, value: Any, tmp_path: Path) -> None:
    try:
        read_lines(tmp_path, sample(**{field: value}))
    except ProblemError as error:
        assert "some.jsonl" in str(error) and "\n" not in str(error)
