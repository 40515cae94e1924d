"""`overthink import inspect`, on a log that inspect_ai 0.3.285 wrote for a scripted model, and on bad ones.

Its events were taken out by inspect_ai itself; the `.eval` archive holds zstd, as it writes by default.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_importers import reported

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers import eval_archive
from overthink.tasks.importers.imported import ImportedRollout, ImportedSet
from overthink.tasks.importers.inspect_logs import read_inspect

FILES = Path(__file__).parent / "imported_files"
EVAL = FILES / "sums.eval"


def logged(**changes: Any) -> dict[str, Any]:
    """One sample of a log, as little as it may hold."""
    return {"id": 1, "input": "2 + 2?", "target": "4", "output": said("\\boxed{4}")} | changes


def said(content: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content} | message, "stop_reason": "stop"}]}


def log(path: Path, *samples: Any, **changes: Any) -> Path:
    value = {"version": 2, "eval": {"task": "sums", "model": "some/model"}, "samples": list(samples)} | changes
    path.write_text(json.dumps(value))
    return path


def read_samples(folder: Path, *samples: Any) -> ImportedSet:
    (found,) = read_inspect(log(folder / "a_log.json", *samples), {})
    return found


def rollout(folder: Path, **changes: Any) -> ImportedRollout:
    (problem,) = read_samples(folder, logged(**changes)).problems
    (found,) = problem.rollouts
    return found


@pytest.fixture(scope="module")
def sums() -> ImportedSet:
    (found,) = read_inspect(EVAL, {})
    return found


def test_an_archive_and_a_json_file_of_one_log_are_one_content(sums: ImportedSet) -> None:
    (other,) = read_inspect(FILES / "sums.json", {})
    assert other == sums
    assert (sums.policy, sums.n, sums.budgets, sums.independent) == ("mockllm/model", 3, (1, 2), True)


def test_epochs_are_rollouts_with_their_tokens(sums: ImportedSet) -> None:
    assert [(each.problem.problem_id, len(each.rollouts)) for each in sums.problems] == [("2", 2), ("10", 3), ("a", 3)]
    assert [rollout.completion_tokens for rollout in sums.problems[2].rollouts] == [20, 21, 22]
    assert [rollout.text for rollout in sums.problems[1].rollouts] == [
        "None is: \\boxed{B}.",
        "\\boxed{B}",
        "\\boxed{A}",
    ]
    assert [said[-1] for said in reported(sums, "output.usage.output_tokens")] == [41, 63, 63]


def test_a_problem_holds_the_users_words_and_the_choices(sums: ImportedSet) -> None:
    two, ten, a = (each.problem for each in sums.problems)
    assert (two.question, two.reference) == ("What is 3 * 2?", "6"), "without the system's words, of targets the first"
    assert (ten.question, ten.reference) == ("Which is even?\n\nA) 1\nB) 2", "B")
    assert (a.level, a.subject) == ("1", "sum")


def test_reasoning_that_is_kept_apart_stays_so(sums: ImportedSet) -> None:
    whole, cut = sums.problems[0].rollouts
    assert (whole.reasoning, whole.reasoning_tokens, whole.stop_reason) == ("Is it \\boxed{5}? no.", 11, "stop")
    assert [step.text for step in whole.steps] == ["So 2 * 3.", "The answer is \\boxed{6}."]
    assert (cut.reasoning, cut.stop_reason) == (None, "length"), "its marks are found by the option --reasoning"


def test_scores_are_reported_the_first_as_label(sums: ImportedSet) -> None:
    assert [said[0:2] + said[5:6] for said in reported(sums, "scores.includes")][:4] == [
        ("answer", 0, True),
        ("answer", 1, True),
        ("answer", 0, True),
        ("answer", 1, True),
    ]
    assert {said[0] for said in reported(sums, "scores.exact")} == {None}
    assert [(said.field, said.measure) for said in sums.reported][:2] == [
        ("results.includes.accuracy", "accuracy"),
        ("results.includes.stderr", None),
    ]


def test_a_sample_that_failed_is_missing_and_not_wrong(sums: ImportedSet) -> None:
    assert [said.answer for said in sums.reported if said.field == "samples.error"] == [
        "2, epoch 3: RuntimeError('the tool is not there\\nat all')",
        *(f"lost, epoch {epoch}: RuntimeError('the tool is not there\\nat all')" for epoch in (1, 2, 3)),
    ]


CONTENTS: dict[str, tuple[dict[str, Any], tuple[str, str | None]]] = {
    "older logs": ({"output": said("8", reasoning="hm")}, ("8", "hm")),
    "redacted": (
        {"output": said([{"type": "reasoning", "reasoning": "x9f", "redacted": True}, {"type": "text", "text": "8"}])},
        ("8", None),
    ),
    "a summary": (
        {
            "output": said(
                [
                    {"type": "reasoning", "reasoning": "x9f", "redacted": True, "summary": "adds"},
                    {"type": "text", "text": "8"},
                ]
            )
        },
        ("8", "adds"),
    ),
    "an image": ({"output": said([{"type": "image", "image": "data:"}, {"type": "text", "text": "8"}])}, ("8", None)),
    "two texts": ({"output": said([{"type": "text", "text": "so"}, {"type": "text", "text": "8"}])}, ("so\n8", None)),
    "an attachment": ({"output": said("attachment://k"), "attachments": {"k": "8"}}, ("8", None)),
    "no answer": ({"output": {"choices": []}}, ("", None)),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_text_is_what_the_model_said_last(name: str, tmp_path: Path) -> None:
    changes, expected = CONTENTS[name]
    found = rollout(tmp_path, **changes)
    assert (found.text, found.reasoning) == expected


@pytest.mark.parametrize(
    ("value", "verdict", "number"),
    [
        ("C", True, None),
        ("I", False, None),
        ("N", False, None),
        ("P", None, None),
        ("good", None, None),
        (1, True, 1.0),
        (0.0, False, 0.0),
        (0.5, None, 0.5),
        (True, True, 1.0),
        (float("nan"), None, None),
        ([1, 0], None, None),
        ({"a": 1}, None, None),
        (None, None, None),
    ],
)
def test_a_score_that_is_no_verdict_is_unknown(
    value: Any, verdict: bool | None, number: float | None, tmp_path: Path
) -> None:
    found = read_samples(tmp_path, logged(scores={"s": {"value": value, "answer": "4"}}))
    assert reported(found, "scores.s") == [("answer", 0, None, None, "4", verdict, number)]


def test_tokens_of_a_sample_are_those_of_its_one_model_or_unknown(tmp_path: Path) -> None:
    one = {"some/model": {"output_tokens": 7}}
    assert rollout(tmp_path, model_usage=one).completion_tokens == 7
    assert rollout(tmp_path, model_usage=one | {"judge": {"output_tokens": 9}}).completion_tokens is None


def test_a_sample_without_a_target_has_no_reference(tmp_path: Path) -> None:
    for target in ("", []):
        (problem,) = read_samples(tmp_path, logged(target=target)).problems
        assert problem.problem.reference is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "twice": (logged(), "sample 1 is there twice in epoch 1"),
    "another input": (logged(epoch=2, input="3?"), "sample 1 has another input or target than in"),
    "no id": ({k: v for k, v in logged().items() if k != "id"}, "field 'id' is missing"),
    "no words": (logged(id=2, input=[{"role": "system", "content": "x"}]), "field 'input' holds no text of a user"),
    "a number": (logged(id=2, output=said(5)), "field 'output.choices.0.message.content"),
    "no object": (5, "not a JSON object"),
    "negative tokens": (logged(id=2, output={"usage": {"output_tokens": -1}}), "field 'output.usage.output_tokens'"),
    "half a character": (logged(id=2, input="\ud800"), "field 'input' is not valid Unicode"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_sample_that_cannot_be_used_is_refused_by_its_place(name: str, tmp_path: Path) -> None:
    bad, message = REFUSED[name]
    with pytest.raises(ProblemError, match=r"a_log\.json, sample 1: ") as caught:
        read_samples(tmp_path, logged(), bad)
    assert message in str(caught.value)


def repacked(path: Path, change: Callable[[str, bytes], bytes | None], how: int = zipfile.ZIP_DEFLATED) -> Path:
    """The log once more, with what `change` makes of its entries, by an archiver that knows no zstd."""
    with eval_archive.opened_archive(EVAL) as archive, zipfile.ZipFile(path, "w", how) as made:
        for name in archive.names:
            data = change(name, json.dumps(archive.document(name)).encode())
            if data is not None:
                made.writestr(name, data)
    return path


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_read(how: int, tmp_path: Path, sums: ImportedSet) -> None:
    assert read_inspect(repacked(tmp_path / "a.eval", lambda _, data: data, how), {}) == [sums]


def test_a_log_that_has_not_ended_is_read_without_its_results(tmp_path: Path, sums: ImportedSet) -> None:
    path = repacked(tmp_path / "a.eval", lambda name, data: None if name == "header.json" else data)
    (found,) = read_inspect(path, {})
    assert found.problems == sums.problems and found.policy == sums.policy
    assert {said.field for said in found.reported} == {"samples.error"}


def only(kept: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, data: data if name.startswith(kept) else None


def broken(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with one thing wrong."""
    data = bytearray(EVAL.read_bytes())
    match name:
        case "cut off":
            path.write_bytes(data[: len(data) // 2])
        case "no archive":
            path.write_bytes(b"{}")
        case "no log":
            repacked(path, only("summaries"))
        case "no samples":
            repacked(path, only("header"))
        case "torn sample":
            repacked(path, lambda entry, text: text[:-5] if entry.startswith("samples/") else text)
        case "too large":
            monkeypatch.setattr(eval_archive, "MOST_UNPACKED", 9000)
            path.write_bytes(data)
        case "a large sample":
            monkeypatch.setattr(eval_archive, "LONGEST_LINE", 1000)
            path.write_bytes(data)
        case "other bytes":
            data[data.index(b"samples/2_epoch_1.json") + 60] ^= 0xFF
            path.write_bytes(data)
        case "an entry twice":
            with zipfile.ZipFile(path, "w") as made, pytest.warns(UserWarning, match="Duplicate"):
                made.writestr("header.json", "{}")
                made.writestr("header.json", "{}")
    return path


BROKEN = {
    "cut off": "cannot be read as an archive .*: name a whole .eval file",
    "no archive": "cannot be read as an archive",
    "no log": "it holds no header.json, so it is no log of inspect_ai",
    "no samples": "no sample in it",
    "torn sample": r"samples/2_epoch_1\.json: cannot be read \(not JSON",
    "too large": "unpacked, are more than the 9,000 that are read",
    "a large sample": r"\.json: cannot be read \(its [\d,]+ bytes are more than the 1,000",
    "other bytes": r"samples/2_epoch_1\.json: cannot be read \(",
    "an entry twice": "an entry is there twice",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_refused_by_its_entry(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProblemError, match=BROKEN[name]):
        read_inspect(broken(tmp_path / "a.eval", name, monkeypatch), {})


def test_an_entry_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    """A bomb: the size in the directory is a small part of what zstd would write."""
    data = bytearray(EVAL.read_bytes())
    place = data.rindex(b"samples/2_epoch_1.json") - 46  # its entry in the directory
    assert data[place : place + 4] == b"PK\x01\x02"
    data[place + 24 : place + 28] = (100).to_bytes(4, "little")
    (tmp_path / "a.eval").write_bytes(data)
    with pytest.raises(ProblemError, match="its size or its checksum is another than the archive says"):
        read_inspect(tmp_path / "a.eval", {})


def test_logs_that_hold_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="no log in it or below it"):
        read_inspect(tmp_path, {})
    with pytest.raises(ProblemError, match="no sample in it"):
        read_samples(tmp_path)
    with pytest.raises(ProblemError, match="field 'samples' is no list: the log was written with log_samples off"):
        read_inspect(log(tmp_path / "a_log.json", samples=None), {})
    with pytest.raises(ProblemError, match="every sample in it failed: no net"):
        read_samples(tmp_path, logged(error={"message": "no net\nat all"}))
    with pytest.raises(ProblemError, match=r"field 'eval\.task' is missing"):
        read_inspect(log(tmp_path / "a_log.json", logged(), eval={"model": "m"}), {})
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ProblemError, match=r"list\.json: not a JSON object"):
        read_inspect(tmp_path / "list.json", {})


def test_each_log_of_a_folder_is_a_set_and_a_task_is_there_once(tmp_path: Path) -> None:
    log(tmp_path / "1_a.json", logged())
    log(tmp_path / "2_b.json", logged(), eval={"task": "more", "model": "m"})
    assert [found.label for found in read_inspect(tmp_path, {})] == ["more", "sums"]
    log(tmp_path / "3_a.json", logged())
    with pytest.raises(ProblemError, match="task sums has logs in .*1_a.json and in .*3_a.json: name one"):
        read_inspect(tmp_path, {})


@pytest.mark.usefixtures("prefect_server")
def test_the_command_imports_and_grades(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported = overthink("import", "inspect", EVAL, "--store", store)
    assert imported.returncode == 0, imported.stderr
    assert "11 tokens of reasoning a solution; 1 of 8 never ended it and have no answer\n" in imported.stdout
    assert "overthink compare" not in imported.stdout, "it brings no choices"
    sql = """SELECT problem_id, answer, stop_reason, reasoning_text, reasoning_tokens FROM rollouts
    WHERE reasoning_text IS NOT NULL ORDER BY problem_id, sample_index"""
    assert [tuple(row.values()) for row in query(Store(store), sql).to_pylist()] == [
        ("2", "6", "stop", "Is it \\boxed{5}? no.", 11),
        ("2", None, "reasoning", " Is it \\boxed{6}? I am", None),
        ("a", "6", "stop", " Try 7: \\boxed{7}? no. ", None),
    ]
    sql = "SELECT problems, accuracy, policy_tokens FROM summary WHERE selector = 'majority' AND n = 1"
    ((problems, accuracy, tokens),) = (tuple(row.values()) for row in query(Store(store), sql).to_pylist())
    assert (problems, tokens) == (3, pytest.approx((41 + 63 + 63) / 3)), "the tokens of all rollouts of a problem"
    assert accuracy == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
    refused = overthink("import", "inspect", tmp_path / "no.eval", "--store", store)
    assert refused.returncode == 2 and "no.eval: cannot be read" in refused.stderr


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    "id",
    "epoch",
    "input",
    "choices",
    "target",
    "output",
    "scores",
    "metadata",
    "model_usage",
    "attachments",
    "error",
)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=VALUES)
def test_whatever_a_field_holds_it_is_read_or_refused(field: str, value: Any, tmp_path: Path) -> None:
    try:
        read_samples(tmp_path, logged(**{field: value}))
    except ProblemError as error:
        assert "a_log.json" in str(error) and "\n" not in str(error)
