"""Imports that bring what a domain grades by: columns of a JSONL, of lm-eval's documents and of inspect's samples."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import SHARED_DATA
from test_importers import write_lines
from test_inspect_logs import log, logged, said
from test_lm_eval import sample

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.domain_fields import fields_in

SCIENCE = SHARED_DATA / "science"
PAGE = (Path(__file__).parents[1] / "docs" / "imports.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.usefixtures("prefect_server")

ASKED = {"q": "Which one is aromatic?", "opts": ["hexane", "benzene"], "gold": "B", "out": "It is (B)."}
CHOICE = ["--map", "question=q", "--map", "reference=gold", "--map", "text=out", "--map", "options=opts"]
MEASURED = {"q": "How much?", "gold": 3.52, "u": "kJ", "tol": 0.01, "out": "\\boxed{3530 J}"}
QUANTITY = ["--map", "question=q", "--map", "reference=gold", "--map", "text=out"]
UNIT = ["--map", "unit=u", "--map", "tolerance=tol"]


def imported(folder: Path, layout: str, path: Path, *words: str) -> list[tuple[Any, ...]]:
    """The reference, answer and verdict of each rollout, in the order of their problems."""
    store = folder / "store"
    done = overthink("import", layout, path, "--store", store, *words)
    assert done.returncode == 0, done.stderr
    sql = (
        "SELECT g.reference, r.answer, g.correct FROM rollouts r JOIN grades g USING (rollout_id) "
        "ORDER BY r.problem_id, r.sample_index"
    )
    return [tuple(row.values()) for row in query(Store(store), sql).to_pylist()]


def refused(folder: Path, layout: str, path: Path, *words: str) -> str:
    done = overthink("import", layout, path, "--store", folder / "store", *words)
    assert done.returncode == 2, done.stdout
    assert not (folder / "store" / "runs").exists()
    return " ".join(done.stderr.split())


def test_options_of_a_jsonl(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ASKED, ASKED | {"out": "hexane"}, ASKED | {"q": "And?", "gold": 0})
    found = imported(tmp_path, "jsonl", path, *CHOICE, "--domain", "choice", "--independent")
    assert found[:1] == [("1", "1", True)]
    assert sorted(found[1:]) == [("0", "1", False), ("1", "0", False)]
    questions = query(Store(tmp_path / "store"), "SELECT question FROM problems").to_pylist()
    assert {"question": "And?\n\nA. hexane\nB. benzene"} in questions


def test_options_in_several_columns_and_as_scores(tmp_path: Path) -> None:
    row = {"q": "Which?", "a": "hexane", "b.c": "benzene", "gold": "benzene", "out": "B"}
    path = write_lines(tmp_path / "a.jsonl", row)
    words = [*CHOICE[:6], "--map", "options=a,b.c", "--domain", "choice"]
    assert imported(tmp_path, "jsonl", path, *words) == [("1", "1", True)]
    row = {"scores": {"hexane": 0, "benzene": 1}, "bad": {"hexane": 0}, "q": "Which?", "out": "B"}
    path = write_lines(tmp_path / "b.jsonl", row)
    words = ["--map", "options=scores", "--map", "reference=bad", *CHOICE[:2], *CHOICE[4:6], "--domain", "choice"]
    told = refused(tmp_path / "b", "jsonl", path, *words)
    assert told.endswith(
        "b.jsonl, line 1: its answer has not one score for each option (reference=bad, options=scores)"
    )
    words[3] = "reference=scores"
    assert imported(tmp_path / "c", "jsonl", path, *words) == [("1", "1", True)]


def test_units_and_tolerances_of_a_jsonl(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", MEASURED, MEASURED | {"q": "And?", "tol": None, "u": "J"})
    found = imported(tmp_path, "jsonl", path, *QUANTITY, *UNIT, "--domain", "quantity")
    assert [each[1:] for each in found] == [("3530 J", True), ("3530 J", False)]
    strict = ["--map", "unit=u", "--domain-options", "tolerance=0.001"]
    found = imported(tmp_path / "strict", "jsonl", path, *QUANTITY, *strict, "--domain", "quantity")
    assert [correct for *_, correct in found] == [False, False]


def test_an_order_that_is_drawn_is_the_one_that_the_letters_mean(tmp_path: Path) -> None:
    rows = [ASKED | {"q": f"Which, of {number}?", "out": "A"} for number in range(8)]
    path = write_lines(tmp_path / "a.jsonl", *rows)
    shuffled = imported(tmp_path, "jsonl", path, *CHOICE, "--domain", "choice", "--domain-options", "shuffle=true")
    assert {answer for _, answer, _ in shuffled} == {"0", "1"}


@pytest.mark.parametrize(
    ("row", "words", "message"),
    [
        (ASKED, [*CHOICE[:6], "--domain", "choice"], "--domain choice: its answers are graded by options, name their"),
        ({**ASKED, "opts": "x"}, CHOICE, "a.jsonl, line 2: its options are a str: a list is wanted, a mapping, or a"),
        ({**ASKED, "gold": "D"}, CHOICE, "line 2: its answer 'D' is none of its 2 options (reference=gold, options="),
        (
            {"q": "?", "gold": "B", "out": "B"},
            CHOICE,
            "line 2: field 'opts' is missing (fields there: q, gold, out): it is the options",
        ),
        ({**ASKED, "opts": ["a", "b"]}, CHOICE, "line 2: problem 0 has other options than in"),
        (
            ASKED,
            [*CHOICE, "--map", "colour=u"],
            "--map colour=u: there is no key 'colour': name one of question, re",
        ),
        (ASKED, [*CHOICE, "--domain-options", "shuffle"], "--domain-options takes KEY=VALUE, not 'shuffle'"),
        (ASKED, [*CHOICE, "--domain-options", "size=3"], "--domain-options {'size': 3}: there is no option 'size'"),
        (ASKED, ["--domain", "colours"], "there is no domain 'colours': name one of math, choice"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_place(
    row: dict[str, Any], words: list[str], message: str, tmp_path: Path
) -> None:
    first = ASKED if "other options" in message else ASKED | {"q": "First?"}
    path = write_lines(tmp_path / "a.jsonl", first, row)
    assert message in refused(tmp_path, "jsonl", path, *([] if "--domain" in words else ["--domain", "choice"]), *words)


def test_a_format_that_brings_no_options_says_so(tmp_path: Path) -> None:
    said = refused(tmp_path, "answer-counts", tmp_path / "a.jsonl", "--domain", "choice")
    assert said == "--domain choice: its answers are graded by options, answer-counts does not bring them"


def test_options_of_lm_evals_documents(tmp_path: Path) -> None:
    document = {"question": "Which?", "choices": ["hexane", "benzene"], "answer": 1}
    path = write_lines(tmp_path / "s.jsonl", sample(doc=document, target="B", resps=[["The answer is B.", "hexane"]]))
    words = ["--domain", "choice", "--map", "options=choices"]
    expected = [("1", "1", True), ("1", "0", False)]
    assert imported(tmp_path, "lm-eval", path, *words) == expected
    assert imported(tmp_path / "other", "lm-eval", path, *words, "--map", "reference=answer") == expected
    document["choices"] = "hexane"
    bad = write_lines(tmp_path / "bad.jsonl", sample(doc=document))
    assert "bad.jsonl, line 1, document 0: its options are a str" in refused(tmp_path / "bad", "lm-eval", bad, *words)


def test_choices_and_metadata_of_inspects_samples(tmp_path: Path) -> None:
    asked = {"input": "Which two?", "choices": ["hexane", "benzene", "phenol"], "target": ["B", "C"]}
    right = logged(**asked, output=said("B and C are correct."))
    path = log(tmp_path / "a_log.json", right, logged(**asked, id=2, output=said("\\boxed{B}")))
    found = imported(tmp_path, "inspect", path, "--domain", "choice", "--map", "options=choices")
    assert found == [("1, 2", "1, 2", True), ("1, 2", "1", False)]
    (question,) = {row["question"] for row in query(Store(tmp_path / "store"), "FROM problems").to_pylist()}
    assert question == "Which two?\n\nA. hexane\nB. benzene\nC. phenol", "once, and in the domain's words"
    path = log(tmp_path / "b_log.json", logged(metadata={"u": "kJ"}, target="4", output=said("\\boxed{4000 J}")))
    found = imported(tmp_path / "b", "inspect", path, "--domain", "quantity", "--map", "unit=u")
    assert found == [("4 kJ", "4000 J", True)]


def test_a_column_of_a_domain_is_in_the_keys_of_grades_and_a_path_is_not(tmp_path: Path) -> None:
    def keys(name: str, **changes: Any) -> dict[str, str]:
        path = write_lines(tmp_path / name / "a.jsonl", MEASURED | changes)
        imported(tmp_path / name, "jsonl", path, *QUANTITY, *UNIT, "--domain", "quantity")
        found = query(Store(tmp_path / name / "store"), "SELECT kind, stage_key FROM stage_uses").to_pylist()
        return {row["kind"]: row["stage_key"] for row in found}

    plain = keys("one")
    assert keys("two") == plain
    changed = keys("three", tol=0.5)
    assert {kind for kind in plain if changed[kind] != plain[kind]} == {"problems", "grade", "select"}


@pytest.mark.skipif(not SCIENCE.is_dir(), reason="stored answers are not shipped: ../shared/data")
def test_chembenchs_stored_answers_are_read_and_judged_as_it_did(tmp_path: Path) -> None:
    """By the script and the columns of docs/imports.md."""
    script, commands = re.findall(r"```(?:python|sh)\n(.*?)```", PAGE.split("## ChemBench")[1], re.DOTALL)[:2]
    (tmp_path / "split.py").write_text(script)
    answers = SCIENCE / "chembench_llama3.1-8b-instruct.jsonl.gz"
    subprocess.run([sys.executable, "split.py", answers], cwd=tmp_path, check=True)
    for command in re.findall(r"^overthink (import (?:[^\\\n]|\\\n)*)", commands, re.MULTILINE):
        done = overthink(*shlex.split(command.replace("\\\n", " ")), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (query_of,) = re.findall(r'^overthink sql "(.*?)"', commands, re.MULTILINE | re.DOTALL)
    choice, numbers = query(Store(tmp_path / "store"), query_of).to_pylist()
    assert [*choice.values()][1:] == [1059, 1059, 1059, 376]
    assert [*numbers.values()][1:] == [244, 229, 0, 86]


def test_half_a_character_in_a_field_is_told_with_its_column() -> None:
    row = {"gen": ["assert f('\ud800')"], "setup": {"\udfff": 1}, "fine": ["\U0001f600"]}
    assert fields_in("line 3", row, {"inputs": "fine"}) == {"inputs": ["\U0001f600"]}
    for key, column in {"generated_tests": "gen", "test_setup": "setup"}.items():
        with pytest.raises(
            ProblemError, match=rf"line 3: field '{column}' \({key}\) is not valid Unicode text; mend it"
        ):
            fields_in("line 3", row, {"inputs": "fine", key: column})
