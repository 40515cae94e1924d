"""The suites of a program in the sandbox: what grades it, what is a signal, and what it cannot claim."""

import json
import re
from collections import deque
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from coded import ADD, CODE, problem, results
from sandboxes import lack

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.published import PUBLISHED
from overthink.tasks.datasets.row_layouts import Columns
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.code.coding import Code
from overthink.tasks.domains.code.docstring_examples import example_tests
from overthink.tasks.domains.code.each_test import Unknown, canonical, form
from overthink.tasks.domains.code.failures import judged
from overthink.tasks.domains.program_domain import SuiteResult
from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.programs import ProgramEnd, ProgramOutcome

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
APART = ADD | {
    "public_tests": ["assert add(0, 0) == 0", "assert add(1, 2) == 3", "assert add(2, 2) == 4"],
    "generated_tests": ["assert add(5, 5) == 10", "assert add(1, 1) == 3", "assert add(", "add(1)"],
    "inputs": ["add(1, 2)", "add('a', 'b')", "add(1, 'b')"],
}
SUM = {
    "question": "Print the sum of two numbers.",
    "tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "-1 1", "output": "0"}, {"input": "5 5", "output": "10"}],
    "public_tests": [{"input": "1 2\n", "output": "3"}],
}
PRINTS = "a, b = map(int, input().split())\nprint({})"
FAST = Code().configured({"cpu_seconds": 1}, 0)


@pytest.fixture(autouse=True, scope="module")
def _holding() -> None:
    if reason := lack():
        pytest.skip(reason)


async def run(row: dict[str, Any], program: str, domain: Code = CODE) -> dict[str, SuiteResult]:
    return await results(domain.tested(problem(row, domain), program, 0), IsolatedSandbox(Bubblewrap()))


async def verdict(row: dict[str, Any], program: str, domain: Code = CODE) -> tuple[str, str]:
    found = await run(row, program, domain)
    return domain.verdict(problem(row, domain), [*found.values()])


@pytest.mark.parametrize(
    "tests",
    [
        "assert add(1, 2) == 3",
        ["assert add(1, 2) == 3", "assert math.isclose(add(0.1, 0.2), 0.3)"],
        "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        "def check(candidate):\n    assert candidate(1, 2) == 3\n\ncheck(add)",
        "METADATA = {'author': 'x'}\n\ndef check(add):\n    assert math.isclose(add(1, 2), 3)",
        "def test_sum():\n    assert add(1, 2) == 3\n\ndef test_more():\n    pass",
        "import unittest\nunittest.TestCase().assertEqual(add(1, 2), 3)",
    ],
)  # fmt: skip
async def test_tests_in_every_form_grade(tests: Any) -> None:
    row = {"tests": tests, "entry_point": "add"}
    assert await verdict(row, RIGHT) == ("equal", "passes the hidden tests")
    assert (await verdict(row, WRONG))[0] == "different"


async def test_a_check_that_calls_check_means_the_programs() -> None:
    row = {"tests": "def check(candidate):\n    assert check(4) == 2", "entry_point": "half"}
    assert (await verdict(row, "def half(x):\n    return x / 2\ndef check(x):\n    return half(x)"))[0] == "equal"


async def test_a_function_may_be_called_as_a_builtin_is() -> None:
    row = {"tests": "assert sum([1, 2]) == 4\nassert max(1, 2) == 2", "entry_point": "sum"}
    program = "def sum(x):\n    return 4\ndef max(*x):\n    return 0"
    assert (await verdict(row, program))[0] == "equal"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (WRONG, "AssertionError, in assert add(1, 2) == 3"),
        ("def other():\n    pass", "NameError: name 'add' is not defined, in assert add(1, 2) == 3"),
        ("import nothing_there", "ModuleNotFoundError: No module named 'nothing_there'"),
        ("def add(a, b):\n    while True: pass", "took more CPU time than it may"),
        ("def add(a, b):\n    return bytearray(2**40)", "took more memory than it may"),
        ("def add(a, b):\n    while True: print('x' * 2**16)", "wrote more output than it may"),
        ("def add(a, b):\n    break", "SyntaxError: 'break' outside loop"),
        ("import os\nos._exit(0)", "ended before its tests had returned"),
        ("import os\nos.abort()", "was ended by a signal"),
    ],
)
async def test_a_verdict_says_what_failed(program: str, reason: str) -> None:
    assert await verdict(ADD, program, FAST) == ("different", reason)


@pytest.mark.parametrize("ended", ["wall", "killed"])
def test_what_says_nothing_of_a_program_is_unknown(ended: ProgramEnd) -> None:
    outcome = ProgramOutcome("", "", "", None, ended, None, None)
    for row in (APART, SUM):
        posed = problem(row)
        for suite in CODE.suites(posed).of(RIGHT):
            result = suite.result([outcome] * len(suite.executions))
            assert set(result.passed) <= {None} and result.behaviour is None and result.cpu_seconds is None
            assert suite.suite != "hidden" or CODE.verdict(posed, [result])[0] == "unknown"
    assert CODE.verdict(problem(ADD), []) == ("unknown", "there are no results of hidden tests")


def test_one_wrong_test_is_enough_beside_unknown_ones() -> None:
    found = SuiteResult("hidden", (None, True, False), None, "wall", "", None)
    assert judged(found, "")[0] == "different"
    assert judged(SuiteResult("hidden", (None, True), None, "wall", "", None), "")[0] == "unknown"


STACK = "class Stack:\n    def __init__(self):\n        self.n = 0\n    def push(self, x):\n        self.n += 1\n"
IN_ORDER = {
    "the state is what it is there": (
        "s = Stack()\ns.push(1)\nassert s.n == 1\ns.push(2)\nassert s.n == 2\nassert s.n == 3",
        (True, True, False),
    ),
    "a loop that asserts is a test": (
        "for n in range(3):\n    assert Stack().n == n\nassert Stack().n == 0",
        (False, True),
    ),
    "a list whose statements build on one another": (["s = Stack()", "s.push(1)", "assert s.n == 1"], (True,)),
    "a list with a function of its own": (["def check(s):\n    assert s.n == 0", "check(Stack())"], (True,)),
}


@pytest.mark.parametrize("kind", IN_ORDER)
async def test_public_tests_find_what_the_statements_before_them_make(kind: str) -> None:
    tests, passed = IN_ORDER[kind]
    row = {"question": "Write Stack.", "entry_point": "Stack", "tests": "assert Stack().n == 0", "public_tests": tests}
    assert (await run(row, STACK))["public"].passed == passed


async def test_signals_are_judged_apart() -> None:
    found = await run(APART, "def add(a, b):\n    return a + b if a < 2 else 0\n")
    assert found["hidden"].passed == (True,)
    assert found["public"].passed == (True, True, False)
    assert found["generated"].passed == (False, False, False, False)
    assert (await run(APART, RIGHT))["generated"].passed == (True, False, False, False)
    assert found["inputs"].passed == () and found["inputs"].behaviour is not None
    assert all(one.cpu_seconds is not None for one in found.values())


async def test_programs_that_give_equal_results_behave_alike() -> None:
    other = "def add(x, y):\n    print('hello')\n    return x.__add__(y)\n"
    of = {program: (await run(APART, program))["inputs"].behaviour for program in (RIGHT, WRONG, other)}
    assert of[RIGHT] != of[WRONG], "WRONG raises for texts"
    same = APART | {"inputs": ["add(1, 2)", "add(2.5, 3)"]}
    assert (await run(same, RIGHT))["inputs"].behaviour == (await run(same, RIGHT + "x = 1\n"))["inputs"].behaviour


@pytest.mark.parametrize(
    "program", ["def other():\n    pass", "def add(a, b):\n    raise ValueError", "import sys\nsys.exit()", "1 / 0"]
)
async def test_a_program_that_fails_at_every_call_has_no_behaviour(program: str) -> None:
    found = await run(APART, program)
    assert found["inputs"].behaviour is None and found["public"].passed == (False, False, False)


async def test_a_test_without_an_end_takes_nothing_from_the_others() -> None:
    found = await run(APART, "def add(a, b):\n    while a == 0 or a == 'a': pass\n    return a + b\n", FAST)
    assert found["public"].passed == (False, True, True) and found["hidden"].passed == (True,)
    assert found["inputs"].behaviour is not None, "out of time is a result"
    endless = await run(APART, "def add(a, b):\n    while True: pass", FAST)
    assert endless["generated"].passed == (False,) * 4 and endless["generated"].ended in ("exit", "cpu")


LIES = {
    "exit at once": "import os\nos._exit(0)",
    "exit in the function": "def add(a, b):\n    raise SystemExit(0)",
    "leave in the function": "import os\ndef add(a, b):\n    os._exit(0)",
    "no assertion error": "import builtins\nbuiltins.AssertionError = SystemExit\n" + WRONG,
    "hide builtins": "exec = compile = eval = print = dict = int = lambda *a, **k: 1\n" + WRONG,
    "replace builtins": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: ''\n" + WRONG,
    "the driver's own names": "passes = result = told = run = given = lambda *a, **k: True\n" + WRONG,
    "print results": "print('0 1\\n1 1\\n2 1')\nfor n in range(3):\n    print('%016x' % 0, n, 1)\n" + WRONG,
    "print in the function": "def add(a, b):\n    print('\\n0 1\\n1 1')\n    return a - b",
    "close the output": "import os, sys\nsys.stdout.close()\nos.close(1)\n" + WRONG,
    "a signal handler": "import signal\nsignal.signal = lambda *_: None\n" + WRONG,
    "catch everything": "def add(a, b):\n    try:\n        return a - b\n    finally:\n        raise KeyboardInterrupt",
}


@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_passes_a_test(lie: str) -> None:
    row = APART | {"public_tests": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"]}
    found = await run(row, LIES[lie])
    assert found["hidden"].passed == (False,) and found["public"].passed == (False, False)
    assert not found["generated"].passed[0]


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        ("a + b", (True, True, True)),
        ("a + b, end=' \\n\\n'", (True, True, True)),
        ("a - b", (False, False, False)),
        ("a + b if a < 5 else 1 / 0", (True, True, False)),
        ("a + b)\nraise SystemExit(a < 0", (True, False, True)),
        ("' ', a + b", (False, False, False)),
    ],
)
async def test_a_program_that_reads_input_is_right_where_its_output_is(answer: str, passed: tuple[bool, ...]) -> None:
    found = await run(SUM, PRINTS.format(answer))
    assert found["hidden"].passed == passed and found["public"].passed == passed[:1]
    said, reason = CODE.verdict(problem(SUM), [*found.values()])
    assert said == ("equal" if all(passed) else "different")
    assert all(passed) or reason.startswith(f"test {passed.index(False) + 1} of 3: ")


async def test_what_suites_share_is_run_once_and_outputs_are_behaviour() -> None:
    posed = problem(SUM | {"inputs": ["1 2\n", "7 8"]})
    assert len(next(CODE.tested(posed, "print()", 3))) == 4
    sandbox = IsolatedSandbox(Bubblewrap())
    of = [
        (await results(CODE.tested(posed, PRINTS.format(answer), 0), sandbox))["inputs"].behaviour
        for answer in ("a + b", "b + a, ''", "a - b", "1 / 0")
    ]
    assert of[0] == of[1] != of[2] and of[0] is not None and of[3] is None


def test_examples_of_a_docstring_are_public_tests() -> None:
    docstring = """Examples.

    >>> f(1)  # one
    'a'
    >>> g(
    ...     2)
    [1.0, 2]
    >>> h(3)
    <object h>
    >>> x = 1
    >>> bad(1)
    Traceback (most recent call last):
    ValueError
    """
    expected = ("assert (f(1)) == ('a')", "assert (g(2)) == ([1.0, 2])", "assert repr(h(3)) == '<object h>'")
    assert example_tests(docstring) == expected
    assert example_tests(">>>f(1)\n1") == ()


async def test_without_public_tests_the_examples_are_a_signal() -> None:
    prompt = 'def add(a, b):\n    """Add.\n\n    >>> add(1, 2)\n    3\n    >>> add(1, 1)\n    3\n    """\n'
    found = await run(ADD | {"prompt": prompt}, RIGHT)
    assert found["public"].passed == (True, False) and found["inputs"].behaviour is not None


class Slotted:
    """Without a dictionary."""

    __slots__ = ("one", "other")

    def __init__(self, one: object, other: object) -> None:
        self.one, self.other = one, other


class Plain(SimpleNamespace):
    """With one."""


class Choice(Enum):
    """One of two."""

    ONE = 1
    OTHER = 2


class Raises:
    """All of its methods raise."""

    def __reduce_ex__(self, protocol: object) -> str:
        raise ValueError

    def __repr__(self) -> str:
        raise TypeError


def in_itself() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "value",
    [
        lambda: 1, len, problem, [].append, Slotted(1, 2).__init__, partial(lambda: 1), Slotted, json, object(),
        type("Empty", (), {})(), Slotted.__new__(Slotted), re.match("a", "a"), Raises(), [1, {"a": Raises()}],
        in_itself(), Plain(x=object()),
    ],
)  # fmt: skip
def test_a_value_that_nothing_tells_from_others_is_unknown(value: object) -> None:
    with pytest.raises(Unknown):
        form(value)


async def test_a_program_with_a_result_that_is_unknown_has_no_behaviour() -> None:
    same = APART | {"inputs": ["add(1, 2)", "add(0, 0)"]}
    for value in ("lambda: 1", "object()", "[print]"):
        found = await run(same, f"def add(a, b):\n    return a + b if a else {value}\n")
        assert found["inputs"].behaviour is None and found["public"].passed == (False, True, True)
    of = [
        (await run(same, f"from decimal import Decimal\ndef add(a, b):\n    return Decimal(a) + {one}\n"))["inputs"]
        for one in ("b", "1 - 1 + b", "1")
    ]
    assert of[0].behaviour == of[1].behaviour != of[2].behaviour and of[0].behaviour is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({3, 1, 2}, {2, 3, 1}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (1, True, True),
        (2, 2.0, True),
        (0.1 + 0.2, 0.3, False),
        ([1, 2], (1, 2), False),
        ([1, 2], [2, 1], False),
        ("1", 1, False),
        ([10**5000], [10**5000 + 1], False),
        (iter([1, 2]), iter([1, 2]), True),
        (iter([1, 2]), iter([1, 3]), False),
        (float("nan"), float("nan"), True),
        (None, "None", False),
        (2, Decimal(2), True),
        (Fraction(1, 2), 0.5, True),
        (Decimal("0.1"), Decimal("0.2"), False),
        (float("inf"), Decimal("Infinity"), True),
        (Fraction(1, 3), Fraction(1, 4), False),
        (date(2020, 1, 1), date(2020, 1, 2), False),
        (date(2020, 1, 1), date(2020, 1, 1), True),
        (timedelta(1), timedelta(2), False),
        (UUID(int=1), UUID(int=2), False),
        (PurePosixPath("a/b"), PurePosixPath("a/c"), False),
        (slice(1, 2), slice(1, 3), False),
        (re.compile("a" * 300), re.compile("a" * 299 + "b"), False),
        (re.compile("a"), re.compile("a", re.IGNORECASE), False),
        (re.compile("a"), re.compile("a"), True),
        (range(3), range(4), False),
        (range(10**9), range(10**9 + 1), False),
        ([0] * 20_000 + [1], [0] * 20_000 + [2], False),
        (deque([0] * 20_000 + [1]), deque([0] * 20_000 + [2]), False),
        (bytearray(b"a"), bytearray(b"b"), False),
        ({"a": 1}.keys(), {"b": 1}.keys(), False),
        ({"a": 1}.values(), {"a": 1}.values(), True),
        (ValueError("a"), ValueError("b"), False),
        (int, str, False),
        (..., NotImplemented, False),
        (Slotted(1, [2]), Slotted(1, [3]), False),
        (Slotted(1, [2]), Slotted(1, [2]), True),
        (Plain(x={1, 2}), Plain(x={2, 1}), True),
        (Plain(x=1), Plain(x=2), False),
        (Plain(x=1), Plain(y=1), False),
        (Choice.ONE, Choice.OTHER, False),
    ],
)
def test_results_have_one_form(one: object, other: object, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tests": "assert add("}, "its tests are no Python"),
        ({"tests": 7}, "its tests are neither Python"),
        ({"tests": "def check(candidate):\n    assert candidate(1)"}, "its tests only define what nothing calls"),
        ({"tests": "class T:\n    def test(self):\n        assert f(1)"}, "its tests only define what nothing calls"),
        ({"tests": [{"input": "1"}]}, "no text 'output'"),
        ({"tests": "assert f(1)", "entry_point": "f(x)"}, "is no name of a function"),
        ({"tests": "assert f(1)", "inputs": "f(1)"}, "its inputs are a str"),
        ({"tests": "assert f(1)", "generated_tests": [1]}, "its generated_tests are a list"),
        ({"tests": "assert f(1)", "test_setup": 1}, "its test_setup is a int"),
        ({"tests": "assert f(1)", "public_tests": ["f("]}, "its public_tests are no Python"),
    ],
)
def test_a_row_that_cannot_be_tested_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="its|no text") as error:
        problem(row)
    assert message in str(error.value)


def test_the_reference_is_the_text_of_the_tests() -> None:
    assert problem({"tests": ["assert f(1)", "assert f(2)"]}).reference == "assert f(1)\nassert f(2)"
    assert json.loads(str(problem(SUM).reference)) == SUM["tests"]
    assert problem({"question": "q"}).reference is None
    assert problem({"tests": ["assert len(f(1)) == 2"]}).fields["entry_point"] == "f"
    assert problem({"tests": "from math import isclose\nassert isclose(f(1), 2)"}).fields["entry_point"] == "f"
    posed = problem({"tests": "assert f(1)", "public_tests": ["assert f(2, [3])", "assert all(f(n) for n in (1, 2))"]})
    assert "f(2, [3])" in str(CODE.suites(posed).of("")[2].executions) and "f(n)," not in str(
        CODE.suites(posed).of("")[2]
    )


def test_a_row_of_mbpp_as_the_hub_has_it(tmp_path: Path) -> None:
    hub = PUBLISHED["mbpp"].hub
    assert hub is not None
    row = {
        "task_id": 2,
        "prompt": "Write a function to find the shared elements.",
        "test_imports": ["import math"],
        "test_list": ["assert set(shared((3, 4), (4, 5))) == set((4,))"],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    columns = Columns(**hub.columns)
    source = FileSource(source="file", path=tmp_path / "rows.jsonl", preset="mbpp", columns=columns)
    (posed,) = load_problems(source, asking=Asking(CODE)).problems
    assert (posed.problem_id, posed.question, posed.reference) == ("2", row["prompt"], row["test_list"][0])
    assert CODE.suites(posed).hidden_text == f"import math\n{row['test_list'][0]}"
    program = "def shared(a, b):\n    return {*a} & {*b}"
    assert CODE.read(posed, f"```python\n{program}\n```") == program and posed.fields["entry_point"] == "shared"


def test_options_are_in_keys_where_they_are_said() -> None:
    assert CODE.options == {} and FAST.options == {"cpu_seconds": 1}
    with pytest.raises(ValueError, match="there is no option 'cpu'"):
        CODE.configured({"cpu": 1}, 0)
    assert FAST.limits.cpu_seconds == 1 and FAST.limits.memory_bytes == 2**30
