"""A program out of what a policy wrote: fences, continuations at any indentation, and text that runs on."""

import time

import pytest

from overthink.tasks.domains.code.coding import ONE_BLOCK, Code
from overthink.tasks.domains.code.fences import ends_a_block
from overthink.tasks.domains.code.program_text import Wanted
from overthink.tasks.domains.code.python_syntax import LONGEST, syntax_key

HELPERS = "import math\n\ndef half(x):\n    return x / 2\n"
PROMPT = HELPERS + '\ndef area(r):\n    """The area of a circle.\n\n    >>> area(0)\n    0\n    """\n'
BODY = "    if r < 0:\n        return None\n    return math.pi * r ** 2"
WHOLE = "def area(r):\n    return math.pi * r ** 2"
THREE = WHOLE.replace("math.pi", "3")
IN_A_LIST = THREE.replace("\n", "\n   ")


def read(text: str, prompt: str = PROMPT, entry_point: str | None = "area") -> str | None:
    return Wanted(entry_point, prompt).program_in(text)


def value(program: str | None, call: str = "area(2)") -> object:
    """What a call of ours to a program of ours gives."""
    names: dict[str, object] = {}
    exec(str(program), names)
    return eval(call, names)


def moved(indent: str) -> str:
    return "\n".join(indent + line[4:].replace("    ", indent) for line in BODY.split("\n"))


@pytest.mark.parametrize("indent", ["    ", "  ", " ", "\t", "        ", "   "])
@pytest.mark.parametrize(
    "around",
    ["{}", "{}\n", "\n{}", "```python\n{}\n```", "So:\n```\n{}\n```\nDone.", "{}\n```\nDone.", "```python\n{}"],
)
def test_a_body_at_any_indentation_continues_the_prompt(indent: str, around: str) -> None:
    program = read(around.format(moved(indent)))
    assert program is not None and program.startswith(HELPERS)
    assert value(program) == value(PROMPT + BODY) and value(program, "area(-1)") is None


@pytest.mark.parametrize(
    "body", [BODY.lstrip(), moved("").replace("return None", "    return None"), "# at once\n" + BODY]
)
def test_a_body_that_lost_its_indentation_is_put_into_the_function(body: str) -> None:
    program = read(body)
    assert value(program) == value(PROMPT + BODY) and value(program, "area(-1)") is None


RUN_ON = {
    "a class": "class Circle:\n    pass",
    "a function": "def other():\n    return area(1)",
    "a print": "print(area(1))",
    "a failing assertion": "assert area(1) == 3",
    "a main guard": 'if __name__ == "__main__":\n    print(area(int(input())))',
    "a main guard that is cut off": 'if __name__ == "__main__":\n    print(area(',
    "a comment": "# and now the next one",
    "prose": "This computes the area.",
    "a word": "Done",
    "a text that does not end": '"""An exercise:\n\n    def area(',
    "the function again": "def area(r):\n    return 0",
    "the function again, cut off": "def area(r):\n    return (0",
    "an endless loop": "while True:\n    area(1)",
    "a use": "result = area(1) / 0",
    "input": "r = float(input())",
    "an import that is cut off": "import math\nfrom",
    "another file": '"""Views."""\nfrom django.db import models\nimport nothing_there as r\n\nr = models.Model()',
    "what a name of ours would need": "r = nothing_there()\nx = nothing_there()",
}


@pytest.mark.parametrize("what", RUN_ON)
def test_what_runs_on_is_left_out(what: str) -> None:
    program = read(f"{BODY}\n\n{RUN_ON[what]}\n")
    assert value(program) == value(PROMPT + BODY)


@pytest.mark.parametrize("what", [one for one in RUN_ON if "again" not in one])
def test_so_it_is_behind_a_whole_function(what: str) -> None:
    program = read(f"{WHOLE}\n\n{RUN_ON[what]}\n")
    assert value(program) == value(PROMPT + BODY)


def test_helpers_behind_the_function_stay() -> None:
    helpers = "FACTOR = 3\n\n@staticmethod\ndef square(x):\n    return x * x"
    assert value(read(f"    return square(r) * FACTOR\n\n{helpers}\n\nprint(area(1))\n")) == 12


def test_what_the_tests_read_stays() -> None:
    text = "    return 3 * r\n\ndef twice(r):\n    return 2 * area(r)\n\ndef unread():\n    pass\n"
    program = Wanted("area", PROMPT, frozenset({"area", "twice"})).program_in(text)
    assert value(program, "twice(2)") == 12 and "unread" not in str(program)


def test_a_decorated_function_is_one() -> None:
    text = "from functools import cache\n\n@cache\ndef area(r):\n    return 3 * r * r\n\narea = cache(area)\narea(1)\n"
    assert value(read(text)) == 12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"```python\n{THREE}\n```\nCall it:\n```python\nprint(area(2))\n```", 12),
        (f"First:\n```python\n{WHOLE}\n```\nBetter:\n```py\n{THREE}\n```", 12),
        (f"```bash\npip install x\n```\n```Python3\n{THREE}\n```\n```text\n12\n```", 12),
        (f"1. Do:\n   ```python\n   {IN_A_LIST}\n   ```\n2. Done.", 12),
        (f"~~~python\n{THREE}\n~~~", 12),
        ('````python\ndef area(r):\n    """\n    ```\n    """\n    return 5\n````', 5),
        ("Here it is:\n\ndef area(r):\n    return 5\n\nThat is all there is to it.", 5),
        ("area = lambda r: 5", 5),
        ("class area:\n    def __new__(cls, r):\n        return 5", 5),
        ("from __future__ import annotations\n\ndef area(r: Circle):\n    return half(10)", 5),
        ("```python\r\ndef area(r):\r\n    return 5\r\n```", 5),
    ],
)  # fmt: skip
def test_of_several_blocks_the_last_that_defines_the_function_counts(text: str, expected: int) -> None:
    assert value(read(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n\n", "    # nothing", "I cannot do that.", "```python\n```", "    return (", "Sure! area(r"),
        *("```json\n{}\n```", "\0", "    return '\ud800'\0", "    return 1\n  else:", '    """only a text'),
        ' of a circle.\n"""\n    return 3\nimport nothing_there\n',
        *("x" * (LONGEST + 1), "    " + "(" * 5000, "    return " + "-" * 90_000 + "1"),
    ],
)
def test_what_is_no_program_is_no_answer(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("(\n" * 30_000, "if x:\n" * 10_000, "x = 1 + \\\n" * 9_000, "```\n" * 20_000, "def area(:\n" * 9_000),
        *("a\n" * 20_000, "'" * 99_999, "def area(r): pass\narea(1)\n" * 3_000),
        *("from a import b\n" * 6_000, "def area(r): pass\n" + "area.x = 1\n" * 9_000),
    ],
)
def test_a_text_that_is_hard_to_read_takes_seconds_at_most(text: str) -> None:
    begin = time.process_time()
    read(text)
    assert time.process_time() - begin < 10


def test_a_method_is_continued_in_its_class() -> None:
    prompt = "class Circle:\n    def name(self):\n        return 'c'\n\n    def area(self, r):\n"
    for body in ("        return 3 * r", "return 3 * r", "            return 3 * r"):
        assert value(read(body, prompt, "Circle"), "Circle().area(2), Circle().name()") == (6, "c")


def test_a_question_that_is_no_code_is_no_prompt() -> None:
    assert read("def area(r):\n    return 5", "Area") == "def area(r):\n    return 5"
    assert (
        read("def area(r):\n    return g", "from math import pi as g")
        == "from math import pi as g\ndef area(r):\n    return g"
    )


@pytest.mark.parametrize("text", ["n = int(input())\nprint(n)", "```python\nn = int(input())\nprint(n)\n```\nDone."])
def test_a_program_that_reads_input_stays_as_it_is(text: str) -> None:
    assert read(text, "", None) == "n = int(input())\nprint(n)"


def test_prose_is_no_program_that_reads_input() -> None:
    assert read("Hello", "", None) is None and read("I cannot do that.", "", None) is None


@pytest.mark.parametrize(
    ("step", "is_end"),
    [
        ("```python\ndef f():", False),
        ("    return 1\n```", True),
        ("```", True),
        ("```python\nx = 1\n```", True),
        ("```\nx = 1", False),
        ("```\nx = 1\n```\nDone.", True),
        ("Let me think.", False),
        ("the fence ``` is three marks", False),
    ],
)
def test_a_fence_spans_steps(step: str, is_end: bool) -> None:
    assert ends_a_block(step) is is_end


def test_programs_are_one_where_their_syntax_is() -> None:
    same = [WHOLE, WHOLE + "  # twice", WHOLE.replace(" ** ", "**"), WHOLE.replace("\n", '\n    """Area."""\n')]
    assert len({syntax_key(one) for one in same}) == 1
    assert syntax_key(WHOLE) != syntax_key(WHOLE.replace("2", "3"))
    with Code().judge(1.0) as judge:
        assert judge.groups([WHOLE, "x = 1", same[1]]) == [0, 1, 0]


def test_a_prompt_is_shown_as_code_but_to_who_continues_it() -> None:
    assert Code().messages(PROMPT, "plain") == [{"role": "user", "content": PROMPT}]
    system, user = Code().messages(PROMPT, "qwen")
    assert system["content"] == ONE_BLOCK and f"```python\n{PROMPT}\n```" in user["content"]
    assert Code().messages("Add two numbers.", "qwen")[1]["content"] == "Add two numbers."


DEEP = {
    "elif": "def add(a, b):\n    if a < 0:\n        return b\n"
    + "".join(f"    elif a == {number}:\n        return {number} + b\n" for number in range(350)),
    "sum": f"def add(a, b):\n    return a + b{' + 0' * 1500}\n",
    "calls": f"def add(a, b):\n    return str(a){'.strip()' * 600}\n",
}


@pytest.mark.parametrize("name", DEEP)
def test_a_program_deeper_than_python_calls_is_read_and_told_apart(name: str) -> None:
    assert syntax_key(DEEP[name]) == syntax_key(f"# the same\n{DEEP[name]}") != syntax_key(f"{DEEP[name]}x = 1\n")


@pytest.mark.parametrize(("one", "other"), [("x = 1", "x = '1'"), ("f(a, [b])", "f(a, b)"), ("f([a, b])", "f([a], b)")])
def test_programs_of_another_structure_have_other_keys(one: str, other: str) -> None:
    assert syntax_key(one) != syntax_key(other)
