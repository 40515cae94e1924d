"""Programs with generated tests as CodeT stores them: whose they are, and which tests are taken."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from conftest import SHARED_DATA
from sandboxes import lack

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.asserted import all_assertions, assertions
from overthink.tasks.importers.codet import read_codet
from overthink.tasks.importers.imported import ImportedSet

HUMANEVAL = SHARED_DATA / "code" / "HumanEval.jsonl.gz"
STORED = SHARED_DATA / "rollouts" / "codet"
WANTING = pytest.mark.skipif(not STORED.is_dir(), reason="real rollouts are not shipped: ../shared/data")


def packed(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    return path


def prompt(name: str, example: bool = False) -> str:
    shown = f"    >>> {name}(2)\n    4\n" if example else ""
    return f'def {name}(number):\n    """ The {name} of a number.\n{shown}    """\n'


def hidden(name: str) -> str:
    return f"assert {name}(3) == {6 if name == 'double' else 9}"


def folder(root: Path, names: Sequence[str], **lines: list[dict[str, Any]]) -> tuple[Path, Path]:
    """CodeT's files for functions by name, and the problems' file, in the order of the tasks' numbers."""
    numbers = {"double": 2, "square": 10, "triple": 3}
    programs = [{"prompt": prompt(name), "samples": ["    return 2 * number\n", "    pass\n\ndef"]} for name in names]
    asked = [f"{prompt(name)}    pass\n\n# check the correctness of {name}\nassert " for name in names]
    tests = [
        {"prompt": text, "samples": [f"{name}(2) == 4\nassert {name}(0) == 0\nassert {name}("]}
        for text, name in zip(asked, names, strict=True)
    ]
    rows = [
        {"task_id": f"Ours/{numbers[name]}", "prompt": prompt(name, True), "entry_point": name, "test": hidden(name)}
        for name in numbers
    ]
    packed(root / "codet" / "a_solutions.jsonl.gz", lines.get("programs", programs))
    packed(root / "codet" / "a_tests.jsonl.gz", lines.get("tests", tests))
    return root / "codet", packed(root / "problems.jsonl.gz", rows)


def test_lines_are_those_of_the_sorted_numbers(tmp_path: Path) -> None:
    found = read_codet(*folder(tmp_path, ["square", "double"]))
    assert [each.problem.problem_id for each in found.problems] == ["Ours/10", "Ours/2"]
    assert (found.n, found.budgets, found.independent) == (2, (1, 2), True)
    first = found.problems[0]
    assert (first.problem.question, first.problem.reference) == (prompt("square", True), None)
    assert first.problem.fields == {
        "prompt": prompt("square", True),
        "entry_point": "square",
        "tests": "assert square(3) == 9",
        "generated_tests": ["assert square(2) == 4", "assert square(0) == 0"],
    }
    assert [rollout.text for rollout in first.rollouts] == ["    return 2 * number\n", "    pass\n\ndef"]


def test_names_of_files_are_in_no_key(tmp_path: Path) -> None:
    contents = {read_codet(*folder(tmp_path / name, ["square"])).content for name in "ab"}
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["double", "square"],
            r"a_solutions.jsonl.gz, line 1: field 'prompt' is not that of Ours/10 \(square\), which",
        ),
        (["square", "triple"], r"a_solutions.jsonl.gz, line 2: field 'prompt' is not that of Ours/2 \(double\), which"),
        (["square", "double", "triple", "square"], "programs for 4 problems, and .*problems.jsonl.gz has 3"),
        ([], "programs for 0 problems"),
    ],
)
def test_what_belongs_to_another_problem_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=message):
        read_codet(*folder(tmp_path, names))


def test_a_prompt_of_another_problem_with_the_same_function_is_refused(tmp_path: Path) -> None:
    other = {"prompt": prompt("square").replace("square of", "root of"), "samples": ["x"]}
    for what in ("programs", "tests"):
        with pytest.raises(ProblemError, match="line 1: field 'prompt' is not that of"):
            read_codet(*folder(tmp_path, ["square"], **{what: [other]}))
    with pytest.raises(ProblemError, match="programs for 1 problem, and tests for 0"):
        read_codet(*folder(tmp_path, ["square"], tests=[]))


def test_a_folder_with_none_or_two_of_its_files_is_refused(tmp_path: Path) -> None:
    path, problems = folder(tmp_path, ["square"])
    (path / "b_tests.jsonl").write_text("")
    with pytest.raises(ProblemError, match=r"it holds 2 files \*tests\*"):
        read_codet(path, problems)
    with pytest.raises(ProblemError, match=r"it holds 0 files \*solutions\*"):
        read_codet(tmp_path, problems)
    (path / "b_tests.jsonl").unlink()
    (path / "a_tests.jsonl.gz").write_bytes((path / "a_tests.jsonl.gz").read_bytes()[:40])
    with pytest.raises(ProblemError, match=r"a_tests.jsonl.gz: cannot be read .*was it cut off"):
        read_codet(path, problems)


def test_its_options_are_told(tmp_path: Path) -> None:
    path, problems = folder(tmp_path, ["square"])

    def told(*words: object) -> str:
        done = overthink("import", *words, "--store", tmp_path / "store")
        assert done.returncode == 2
        return " ".join(done.stderr.split())

    assert told("codet", path).startswith("--problems: codet's files name no problem: name the file that has them")
    assert "--problems is for" not in told("codet", path, "--problems", tmp_path / "no.jsonl")
    assert "brings its problems itself" in told("inspect", path, "--problems", problems)
    assert "codet brings programs" in told("codet", path, "--problems", problems, "--domain", "math")
    assert "--map is for jsonl" in told("codet", path, "--problems", problems, "--map", "tests=t")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("assert f(1) == 2\nassert f(1)==2\nassert  f( 1 ) == 2", ["assert f(1) == 2"]),
        ("assert f(1) == [1,\n  2]\nprint(f)", ["assert f(1) == [1, 2]"]),
        ("assert \n    f(1) == 2, 'one'\nassert g(2) == 2", ["assert f(1) == 2, 'one'"]),
        ("assert f(1) ==\nassert f(2) == 2\nassert f(", ["assert f(2) == 2"]),
        ("assert (f(1) == 2, 'never fails')\nassert f is not None", []),
        ("    assert f(1) == 2\n    assert f(2) == 3 # so", ["assert f(1) == 2", "assert f(2) == 3"]),
        ("assert f(1) == 2; import os; os.remove('x')", []),
        ("assert f('\\d') == '\0'\nassert f(await x)\nassert f(3)", ["assert f(3)"]),
        ("x = 'assert f(1) == 2'\nassertEqual(f(1), 2)", []),
        ("assert " + "(" * 5000 + "f(1)", []),
        ("", []),
    ],
)
def test_complete_assertions_that_call_the_function_are_taken(text: str, expected: list[str]) -> None:
    assert assertions(text, "f", 5) == expected


def test_so_many_of_each_text_are_taken_and_equal_ones_once() -> None:
    texts = ["\n".join(f"assert f({number}) == 1" for number in range(first, first + 9)) for first in (0, 4)]
    assert all_assertions(texts, "f", 5) == [f"assert f({number}) == 1" for number in range(9)]


@pytest.fixture
def sandboxed(prefect_server: None) -> None:
    if reason := lack():
        pytest.skip(reason)


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(Store(store), sql).to_pylist()]


@pytest.mark.usefixtures("sandboxed")
def test_an_import_of_codet_is_run_graded_and_chosen_from(tmp_path: Path) -> None:
    path, problems = folder(tmp_path, ["square", "double"])
    done = overthink("import", "codet", path, "--problems", problems, "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    found = rows(
        tmp_path / "store", "SELECT problem_id, sample_index, correct FROM rollouts JOIN grades USING (rollout_id)"
    )
    assert sorted(found) == [("Ours/10", 0, False), ("Ours/10", 1, False), ("Ours/2", 0, True), ("Ours/2", 1, False)]
    suites = "SELECT suite, passed FROM test_results t JOIN rollouts r USING (rollout_id) WHERE sample_index = 0"
    assert sorted(rows(tmp_path / "store", f"{suites} AND problem_id = 'Ours/2'")) == [
        ("generated", [True, True]),
        ("hidden", [True]),
        ("inputs", []),
        ("public", [True]),
    ]
    chosen = "SELECT selector, n, problem_id, correct FROM selections WHERE selector = 'codet' AND n = 2"
    assert sorted(rows(tmp_path / "store", chosen)) == [("codet", 2, "Ours/10", False), ("codet", 2, "Ours/2", True)]


@pytest.mark.usefixtures("sandboxed")
def test_programs_of_a_jsonl_bring_their_tests(tmp_path: Path) -> None:
    row = {"q": "Double it.", "f": "double", "hidden": ["assert double(3) == 6"], "own": None}
    texts = ["```python\ndef double(x):\n    return x + x\n```", "def double(x):\n    return x", "I cannot."]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row | {"out": text}) + "\n" for text in texts))
    columns = {"question": "q", "text": "out", "tests": "hidden", "entry_point": "f", "generated_tests": "own"}
    words = [word for key, column in columns.items() for word in ("--map", f"{key}={column}")]
    done = overthink("import", "jsonl", path, *words, "--domain", "code", "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    graded = "SELECT sample_index, correct, reference FROM rollouts JOIN grades USING (rollout_id) ORDER BY 1"
    expected = [(number, number == 0, "assert double(3) == 6") for number in range(3)]
    assert rows(tmp_path / "store", graded) == expected
    row["hidden"] = ["assert double("]
    path.write_text(json.dumps(row | {"out": "x"}))
    done = overthink("import", "jsonl", path, *words, "--domain", "code", "--store", tmp_path / "other")
    assert (done.returncode, "a.jsonl, line 1: its tests are no Python that is read" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def stored() -> ImportedSet:
    return read_codet(STORED, HUMANEVAL)


@WANTING
def test_the_stored_programs_are_those_of_the_first_hundred(stored: ImportedSet) -> None:
    assert (len(stored.problems), stored.n) == (100, 100)
    assert stored.budgets == (1, 2, 4, 8, 10, 16, 32, 64, 100)
    assert [each.problem.problem_id.partition("/")[2] for each in stored.problems[:4]] == ["0", "1", "10", "100"]
    counts = [len(each.problem.fields["generated_tests"]) for each in stored.problems]
    assert (sum(counts), max(counts), counts.count(0)) == (5011, 261, 7)
