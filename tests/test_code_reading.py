"""Which part of a text is the program: blocks that follow it, what stands in front of it, what it needs behind it."""

import pytest
from coded import CODE, problem

from overthink.tasks.domains.code.program_text import Wanted

PROMPT = 'def add(a, b):\n    """Add."""\n'
WHOLE = "def add(a, b):\n    return a + b\n"
BODY = "    return a + b\n"


def read(text: str, prompt: str = PROMPT, used: tuple[str, ...] = ()) -> str | None:
    return Wanted("add", prompt, frozenset({"add", *used})).program_in(text)


def value(program: str | None, call: str = "add(1, 2)") -> object:
    """What a call of ours to a program of ours gives."""
    names: dict[str, object] = {"__name__": "program"}
    exec(compile(str(program), "program", "exec"), names)
    return eval(call, names)


@pytest.mark.parametrize(
    "behind",
    [
        "```\nUsage:\n```python\nprint(add(1, 2))\n```",
        "```\nDone",
        "```\n\nOutput:\n```\n3\n```",
        "```\n\nOutput:\n```python\n    3\n```",
        "```\nTest:\n```python\nfrom solution import add\n\ndef test():\n    assert add(1, 2) == 3\n```",
        "```\n```python\nx = add(1, 2)\nassert x == 3\n```",
        "```\n\nThe next:\n```python\n    return a - b\n```",
        "```\n\nThe next:\n```\ndef sub(a, b):\n    return a - b\n```",
    ],
)
def test_a_continuation_is_not_lost_to_the_blocks_behind_it(behind: str) -> None:
    assert read(BODY + behind) == (PROMPT + BODY).rstrip()
    if "The next" not in behind:
        assert read(f"```python\n{BODY}{behind}") == PROMPT + BODY.rstrip()


def test_a_block_that_only_uses_the_function_or_is_prose_is_no_program() -> None:
    assert read("```python\nprint(add(1, 2))\n```") is None and read("Done") is None and read("3") is None
    assert read("```python\nimport math\n```") is None


def test_a_function_that_returns_nothing_is_its_first_block() -> None:
    text = "```python\n    a.append(b)\n```\nSo:\n```python\nx = []\nfor n in range(3):\n    add(x, n)\nprint(x)\n```"
    assert read(text) == PROMPT + "    a.append(b)"


@pytest.mark.parametrize("use", ["add = add(1, 2)", "from solution import add\nadd(1, 2)", "add.x = add(2, 1)"])
def test_a_use_is_not_taken_for_the_function(use: str) -> None:
    assert value(read(f"```python\n{WHOLE}```\n```python\n{use}\n```")) == 3


NEEDED = {
    "an attribute": ("return add.memo[a] + b", "add.memo = {1: 1}", 3),
    "a loop": ("return T[a] + b", "T = {}\nfor i in range(9):\n    T[i] = i", 3),
    "a loop of calls": ("return T[a] + b", "T = []\nfor i in range(9):\n    T.append(i)", 3),
    "an item": ("return T[a] + b", "T = {}\nT[1] = 1\nT.update({2: 2})", 3),
    "an addition": ("return T[a] + b", "T = [0]\nT += [1]", 3),
    "a try": ("return gcd(a, b)", "try:\n    from math import gcd\nexcept ImportError:\n    gcd = None", 1),
    "a setting": ("import sys; return sys.getrecursionlimit()", "import sys\nsys.setrecursionlimit(1234)", 1234),
    "a star": ("return gcd(a, b)", "from math import *", 1),
    "a registration": ("return R[0]()", "R = []\ndef reg(f):\n    R.append(f)\n@reg\ndef impl():\n    return 7", 7),
    "a filler": ("return T[a]", "T = []\ndef fill():\n    for n in range(3):\n        T.append(n * n)\nfill()", 1),
    "a method": ("return N().go()", "class N:\n    pass\ndef _go(self):\n    return 8\nN.go = _go", 8),
    "a subclass": ("return len(N.__subclasses__())", "class N:\n    pass\nclass M(N):\n    pass", 1),
    "itself": ("return a + b", "double = lambda f: lambda *a: 2 * f(*a)\nadd = double(add)", 6),
}


@pytest.mark.parametrize("what", NEEDED)
def test_what_the_function_needs_behind_it_stays(what: str) -> None:
    body, behind, expected = NEEDED[what]
    more = "\n\nprint(add(1, 2))\nn = int(input())\nimport nothing_there\n"
    before = __import__("sys").getrecursionlimit()
    try:
        assert value(read(f"    {body}\n\n{behind}{more}")) == expected
        assert value(read(f"def add(a, b):\n    {body}\n\n{behind}{more}")) == expected
    finally:
        __import__("sys").setrecursionlimit(before)


def test_other_kinds_are_registered_behind_the_function() -> None:
    front = "from functools import singledispatch\n\n@singledispatch\n"
    text = f"{front}{WHOLE}\n@add.register\ndef _(a: int, b):\n    return 9\n"
    assert value(read(text)) == 9


@pytest.mark.parametrize(
    ("tests", "behind"),
    [
        ("def check(candidate):\n    assert candidate(1, 2) == 3", "candidate = input()"),
        ("def check(candidate):\n    assert candidate(1, 2) == 3", "candidate = open('nothing there')"),
        ("n = 3\nassert add(n, n) == 6", "n = int(input())"),
        ("n = 3\nassert add(n, n) == 6", "n = nothing_there()"),
        ("for n in (1, 2):\n    assert add(n, n) == 2 * n", "n = nothing_there()"),
        ("from math import pi\nassert add(pi, 0) == pi", "from nothing_there import pi"),
    ],
)
def test_what_tests_bind_themselves_is_not_read_from_the_program(tests: str, behind: str) -> None:
    posed = problem({"question": PROMPT, "entry_point": "add", "tests": tests})
    assert CODE.read(posed, f"{BODY}\n{behind}\n") == (PROMPT + BODY).rstrip()
    assert CODE.read(posed, f"{WHOLE}\n{behind}\n") == WHOLE.rstrip()


@pytest.mark.parametrize(
    "text",
    [
        f"from now on we add:\n\n{WHOLE}",
        f"class of easy problems\nimport is not needed\n\n{WHOLE}\nDone.",
        f"[BEGIN]\n{WHOLE}[DONE]\n",
        f"[BEGIN]\n{WHOLE}[DONE]\nThe next:\n[BEGIN]\ndef sub(a, b):\n    return a - b\n[DONE]",
        f"{WHOLE}[DONE]\nThe next: [BEGIN]",
        f"[PYTHON]\n{BODY}[/PYTHON]",
        f"Solution\n\n{WHOLE}",
        f"\ufeff{WHOLE}",
        f"```python\n\ufeff{WHOLE}```",
        "if True:\n    def add(a, b):\n        return a + b\nelse:\n    add = None\n",
        "try:\n    import nothing_there\nexcept ImportError:\n    def add(a, b):\n        return a + b\n",
        "from operator import *",
        "from operator import add",
        f"from __future__ import (\n    annotations,\n    division,\n)\n{WHOLE}",
        f"```python\nimport math\n```\n```python\n{WHOLE.replace('a + b', 'math.floor(a + b)')}```",
        f"```python\nimport math\ndef up(x):\n    return math.ceil(x)\n```\n```py\n{BODY.replace('a', 'up(a)')}```",
        f"```python\nK = 0\nprint(K)\n```\nThen\n```python\n{WHOLE.replace('+ b', '+ b + K')}```",
    ],
)
@pytest.mark.parametrize("before", ["", "import os\n", "from __future__ import annotations\nimport os\n"])
def test_a_program_is_found_behind_what_stands_before_it(text: str, before: str) -> None:
    program = read(text, before + PROMPT)
    assert value(program) == 3 and "[" not in str(program)


@pytest.mark.parametrize("stub", ["raise NotImplementedError", "raise NotImplementedError('your code')", "pass", "..."])
@pytest.mark.parametrize("head", [PROMPT + "    ", "def add(a, b):\n    ", "def add(a, b): "])
def test_a_stub_of_the_prompt_makes_room_for_the_body(stub: str, head: str) -> None:
    for body in (BODY, "return a + b", "```python\n\treturn a + b\n```"):
        program = read(body, head + stub + "\n")
        assert value(program) == 3 and stub not in str(program)
