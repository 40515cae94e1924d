"""Rows of programs: tests that would pass every program are refused or read, and say what they are about."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from coded import CODE, problem, results
from sandboxes import lack

from overthink.tasks.domains.code import written_tests
from overthink.tasks.domains.code.docstring_examples import example_tests
from overthink.tasks.domains.code.written_tests import Case
from overthink.tasks.domains.quantity.quantities import Quantities
from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.errors import UserError
from overthink.tasks.importers.mapped_jsonl import parse_mapping
from overthink.tasks.records import Problem

QUANTITY = Quantities()

DATA = Path(__file__).parents[2] / "shared" / "data" / "code"
CHECK = "def check_all():\n    assert add(1, 2) == 3\n"


@pytest.fixture
def sandbox() -> IsolatedSandbox:
    if reason := lack():
        pytest.skip(reason)
    return IsolatedSandbox(Bubblewrap())


async def passed(row: dict[str, Any], program: str, sandbox: IsolatedSandbox, suite: str = "hidden") -> list[Any]:
    return [*(await results(CODE.tested(problem(row), program, 0), sandbox))[suite].passed]


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("pass", "test nothing"),
        ("assert True", "test nothing"),
        ("print(1)", "test nothing"),
        ("x = add(1, 2) == 3", "only define"),
        (["add(1, 2) == 3"], "write `assert` before it"),
        ("assert (add(1, 2) == 3, 'wrong')", "assert a tuple"),
        ("def test_a():\n    yield\n    assert add(1, 2) == 3", "async or yields"),
        ("async def test_a():\n    assert add(1, 2) == 3", "what nothing calls"),
        ("async def test_a():\n    assert add(1, 2) == 3\ntest_a()", "async or yields"),
        ("def test_a(x):\n    assert add(x, 2) == 3\nassert add(1, 2) == 3", "nothing calls test_a"),
        (
            "class TestA:\n    def test(self):\n        assert add(1, 2) == 4\nassert add(1, 2) == 3",
            "nothing calls TestA",
        ),
        ("def add(a, b):\n    return 3\nassert add(1, 2) == 3", "define add themselves"),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\nT\nunittest.main()",
            "unittest.main()",
        ),
        (CHECK + "1 + 1", "test nothing"),
        ({"inputs": ["1"], "outputs": []}, "of one length"),
        ({"fn_name": "add", "inputs": [[1]], "outputs": [1]}, "write them as assertions"),
        ("assert add(1, 2) == 3 + " + " + ".join("0" * 600), "no Python that is read"),
    ],
)
def test_tests_that_test_nothing_are_refused(tests: Any, message: str) -> None:
    with pytest.raises(ValueError, match="its tests|nothing calls|async or") as error:
        problem({"tests": tests, "entry_point": "add"})
    assert message in str(error.value)


def test_a_setup_is_python_and_defines_nothing_that_is_asked_for() -> None:
    for setup, message in (("import (", "its test_setup are no Python"), ("def add(): 3", "define add themselves")):
        with pytest.raises(ValueError, match=message):
            problem({"tests": "assert add(1, 2) == 3", "entry_point": "add", "test_setup": setup})


def test_lists_and_mappings_written_as_json_are_read() -> None:
    assert written_tests.tests_of('["assert add(1, 2) == 3"]', "tests") == ("assert add(1, 2) == 3",)
    cases = (Case("1 2", "3"), Case("4", "5"))
    assert written_tests.tests_of('[{"input": "1 2", "output": "3"}, {"input": "4", "output": "5"}]', "tests") == cases
    of_apps = {"inputs": ["1 2", "4"], "outputs": ["3", "5"]}
    assert written_tests.tests_of(of_apps, "tests") == written_tests.tests_of(json.dumps(of_apps), "tests") == cases
    assert problem({"tests": of_apps}).reference == json.dumps([vars(one) for one in cases])
    assert problem({"tests": of_apps, "entry_point": "main"}).fields["entry_point"] is None, "it reads its input"


@pytest.mark.parametrize("tests", ["", None, [], "[]", " "])
def test_a_column_of_tests_holds_tests(tests: Any) -> None:
    with pytest.raises(ValueError, match=r"it has no tests: name their column, as in columns\.tests"):
        problem({"tests": tests})


@pytest.mark.parametrize(
    "tests",
    [
        CHECK + "if __name__ == '__main__':\n    check_all()",
        "def check (candidate):\n    assert candidate(1, 2) == 3",
        '["assert add(1, 2) == 3"]',
    ],
)
async def test_what_is_read_grades(tests: str, sandbox: IsolatedSandbox) -> None:
    row = {"tests": tests, "entry_point": "add"}
    assert await passed(row, "def add(a, b):\n    return a + b", sandbox) == [True]
    assert await passed(row, "def add(a, b):\n    return 0", sandbox) == [False]


async def test_a_function_check_may_be_asked_for(sandbox: IsolatedSandbox) -> None:
    row = {"tests": "def check(candidate):\n    assert candidate(1, 2) == 3", "entry_point": "check"}
    assert await passed(row, "def check(a, b):\n    return a + b", sandbox) == [True]
    assert await passed(row, "def check(a, b):\n    return 0", sandbox) == [False]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"tests": "assert sum(10, 15) == 6"}, "sum"),
        ({"tests": "assert isclose(half(1), 0.5)", "test_setup": "from math import isclose"}, "half"),
        ({"tests": "assert set(shared(1)) == set()"}, "shared"),
    ],
)
def test_the_function_that_tests_are_about(row: dict[str, Any], name: str) -> None:
    assert problem(row).fields["entry_point"] == name


@pytest.mark.parametrize("name", [True, [], "None", "a.b", "class", 5])
def test_an_entry_point_is_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="is no name of a function"):
        problem({"tests": "assert add(1, 2) == 3", "entry_point": name})


def test_an_import_of_programs_asks_for_their_tests() -> None:
    with pytest.raises(UserError, match="--map lacks tests"):
        parse_mapping(["question=q", "text=t"], programs=True)


def test_a_tolerance_is_a_finite_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        QUANTITY.configured({"tolerance": float("inf")}, 0)
    with pytest.raises(ValueError, match="its tolerance True"):
        QUANTITY.posed(Problem("k", "id", "q", "1 m", fields={"tolerance": True}), "1 m")


def test_what_an_example_prints_is_no_test() -> None:
    assert example_tests(">>> greet('Bob')\nhello Bob\n>>> greet('Al')\nhello") == ()
    assert len(example_tests(">>> count('a')\nCounter({'a': 1})")) == 1


def test_published_tests_are_none_of_those() -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not here")
    humaneval = gzip.decompress((DATA / "HumanEval.jsonl.gz").read_bytes()).decode().splitlines()
    mbpp = (DATA / "mbpp_sanitized.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in (*humaneval, *mbpp)]
    for row in rows:
        tests = row.get("test", row.get("test_list"))
        assert problem({"tests": tests, "entry_point": row.get("entry_point"), "prompt": row["prompt"]}).reference
    assert len(rows) > 500
