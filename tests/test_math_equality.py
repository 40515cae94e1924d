"""Which answers are the same: by kind, both ways, and in the forms that grading and grouping ask for."""

import json
import time

import pytest
from conftest import SHARED_DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from math_cases import CASES, DIFFERENT, EQUAL, shared_cases

from overthink.tasks.domains.math.equality import GRADE, STRICT, same
from overthink.tasks.domains.math.extraction import extract_answer
from overthink.tasks.domains.math.numerics import Undecided
from overthink.tasks.domains.math.reading import LONGEST, read_answer

WANTING = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the shared data sets are not beside this checkout")
DECIDED = {
    "(consistent with 3,4 vs (3,4))": "different",  # a list has no order, a tuple has one
    "equal (or refused both ways)": "equal",
    "equal": "equal",
    "different": "different",
    True: "equal",
    False: "different",
}


def verdict(one: str, other: str) -> str:
    try:
        return "equal" if same(read_answer(one), read_answer(other), GRADE) else "different"
    except Undecided:
        return "unknown"


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_both_ways(one: str, other: str) -> None:
    assert (verdict(one, other), verdict(other, one)) == ("equal", "equal")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_both_ways(one: str, other: str) -> None:
    assert (verdict(one, other), verdict(other, one)) == ("different", "different")


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not beside this checkout")
def test_every_shared_case_has_its_verdict_both_ways() -> None:
    wrong, judged = [], 0
    for case in shared_cases():
        if case["via"].startswith("extract") or case["kind"] == "time":
            continue
        answers, expected = (
            (case["answer"], case["expected"])
            if isinstance(case["answer"], list)
            else ([case["answer"]], [case["expected"]])
        )
        # What stands in brackets behind a float says where it came from.
        reference = case["reference"].split(" ")[0] if case["kind"].startswith("float") else case["reference"]
        for answer, right in zip(answers, expected, strict=True):
            judged += 1
            found = verdict(reference, answer), verdict(answer, reference)
            if found[0] != found[1] or (right is not None and found[0] != DECIDED[right]):
                wrong.append((case["kind"], reference, answer, right, found))
    assert (wrong, judged) == ([], 189)


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not beside this checkout")
def test_every_shared_text_gives_its_answer() -> None:
    cases = [case for case in shared_cases() if case["via"].startswith("extract")]
    found = {case["answer"]: extract_answer(case["answer"]) for case in cases}
    wrong = [
        (text, answer, case["reference"])
        for case, (text, answer) in zip(cases, found.items(), strict=True)
        if answer is None or verdict(case["reference"], answer) != "equal"
    ]
    assert (wrong, len(cases)) == ([], 12)


@pytest.mark.parametrize("tower", ["7^{7^{7^{7}}}", "9^9^9^9", r"e^{e^{e^{e^e}}}", r"\sin(10^{10^{10}})", "3!!!!!"])
def test_a_tower_is_unknown_to_all_but_itself(tower: str) -> None:
    assert (verdict(tower, "3"), verdict("3", tower), verdict(tower, f"${tower}$")) == ("unknown", "unknown", "equal")


@pytest.mark.parametrize(("one", "other"), [("10^{10^{10}}", "10^{10^{10}}+1"), ("2^{3^{20}}", "2^{3^{20}}+1")])
def test_large_numbers_that_cannot_be_told_apart_are_unknown(one: str, other: str) -> None:
    assert verdict(one, other) == "unknown"


def test_large_numbers_that_can_be_told_apart_are_different() -> None:
    assert verdict("7^{7^{7}}", "7^{7^{6}}") == "different"


@pytest.mark.parametrize(
    "text",
    [
        "{" * 3000,
        "(" * 3000,
        r"\frac" * 700,
        "1+" * 1900 + "1",
        "x^" * 1900 + "x",
        "-" * 3900,
        "!" * 100,
        "\\pm " * 900,
        "1," * 1900,
        r"\text{" * 600,
        "|" * 3000,
        "\\" * 3000,
        "7" * LONGEST,
        "x" * (LONGEST + 1),
        r"\left(" * 600,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_text_is_read_in_no_time(text: str) -> None:
    start = time.process_time()
    answer = read_answer(text)
    assert same(answer, read_answer(text), GRADE)
    assert time.process_time() - start < 5


PIECES = st.sampled_from(
    [
        r"\frac",
        r"{",
        r"}",
        r"(",
        r")",
        r"[",
        r"]",
        r"1",
        r"2",
        r"12",
        r"x",
        r"X",
        r"+",
        r"-",
        r"^",
        r"_",
        r"!",
        r",",
        r"=",
        r"<",
        r"\pm",
        r"\sqrt",
        r"\text{cm}",
        r"\text{",
        r"%",
        r"\%",
        r"$",
        r"\$",
        r"\circ",
        r"and",
        r"or",
        r"no",
        r"\cup",
        r"\infty",
        r":",
        r".",
        r"0.5",
        r"/",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        r"\\",
        r"&",
        r"\{",
        r"\}",
        r"\ne",
        r"\in",
        r"\sin",
        r"e",
        r"i",
        r"|",
        r"\ldots",
        r"1,000",
    ]
)
ANYTHING = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=12))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(one=ANYTHING, other=ANYTHING)
def test_anything_equals_itself_and_verdicts_are_symmetric(one: str, other: str) -> None:
    assert verdict(one, one) == "equal"
    assert verdict(one, other) == verdict(other, one)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(one=ANYTHING, other=ANYTHING)
def test_equal_keys_are_strictly_equal_answers(one: str, other: str) -> None:
    first, second = read_answer(one), read_answer(other)
    assert same(first, first, STRICT)
    if first.key == second.key:
        assert same(first, second, STRICT)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(value=st.fractions(max_denominator=10**6))
def test_a_rational_has_one_key_in_all_spellings(value: object) -> None:
    above, _, below = str(value).partition("/")
    spellings = [
        str(value),
        rf"\frac{{{above}}}{{{below or 1}}}",
        f"${value}$",
        rf"2\cdot\frac{{{above}}}{{2\cdot {below or 1}}}",
    ]
    assert {read_answer(text).key for text in spellings} == {str(value)}


WRAPPINGS = [
    r"\boxed{%s}",
    r"\boxed{ %s }",
    "The answer is %s.",
    "The answer is $%s$.",
    "The answer is\n\\[\n%s\n\\]",
    "The answer is **%s**.",
]


def references() -> list[str]:
    def rows(name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (SHARED_DATA / name).read_text().splitlines()]

    found = [str(row["answer"]) for row in rows("math500.jsonl")]
    found += [str(row["extracted_groundtruth"]) for row in rows("aime24.jsonl") + rows("amc23.jsonl")]
    gsm8k = rows("gsm8k_train.jsonl") + rows("gsm8k_test.jsonl")
    return found + [str(row["answer"]).rpartition("####")[2].strip() for row in gsm8k]


@WANTING
def test_every_reference_equals_itself_in_every_wrapping() -> None:
    found = references()
    assert len(found) == 9362
    wrong = [
        (reference, wrapping, answer)
        for reference in dict.fromkeys(found)
        for wrapping in WRAPPINGS
        if (answer := extract_answer(wrapping % reference)) is None or verdict(reference, answer) != "equal"
    ]
    assert wrong == []
