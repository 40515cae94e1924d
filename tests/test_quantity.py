"""Quantities: numbers and units in every spelling, tolerances, wrong units, and groups that depend on no order."""

import gzip
import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import BASE

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.known_domains import domain_of
from overthink.tasks.domains.quantity.measured import measured
from overthink.tasks.domains.quantity.unit_text import UnitText, read_unit
from overthink.tasks.domains.quantity.unit_verdicts import A_DIFFERENCE, ANOTHER_KIND, ANOTHER_UNIT, UNKNOWN_UNIT
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.records import Problem

SCIENCE = Path(__file__).parents[2] / "shared" / "data" / "science"
QUANTITY = domain_of("quantity")
EQUAL_TO_2500_J = [
    *(
        "2.5 × 10^3 J",
        "2.5\\times10^{3}\\ \\text{J}",
        "2.5×10³ J",
        "2.5 x 10^3 J",
        "2.5 * 10**3 J",
        "2.5e3 J",
        "2.5E+3J",
    ),
    *(
        "2500 J",
        "2,500 J",
        "2{,}500\\,\\mathrm{J}",
        "2 500 J",
        "2\u202f500 J",
        "2.5 kJ",
        "2.5\\ \\mathrm{kJ}",
        "2.5 KJ",
    ),
    *(
        "5000/2 J",
        "\\frac{5}{2}\\,\\text{kJ}",
        "$2.5 \\cdot 10^3$ joules",
        "W = 2500\\,\\mathrm{N\\,m}",
        "2500 N·m",
        "+2500. J",
    ),
    *(
        "≈ 2500 J",
        "about 2500 J",
        "2500 kg m² s⁻²",
        "2500 kg·m^2/s^2",
        "2500 \\frac{\\mathrm{kg\\,m^2}}{\\mathrm{s^2}}",
        "2500 W s",
    ),
    *(
        "2500 ± 20 J",
        "**2500 J**",
        "25 × 10^2 J",
        "2,5 kJ",
        "0.0025 MJ",
        "2500 J of heat",
        "\\(2.5 \\times 10^{3} J\\)",
        "2500 V A s",
    ),
]


@pytest.mark.parametrize("text", EQUAL_TO_2500_J)
def test_a_quantity_is_read_however_it_is_written(text: str) -> None:
    found = measured(text)
    assert found is not None and found.key == "2500 kilogram^1 meter^2 second^-2"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("8.314 J/(mol·K)", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("8.314 J/mol·K", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("8.314 J/mol/K", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("8.314 J mol-1 K-1", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("8.314 $\\mathrm{JK}^{-1} \\mathrm{~mol}^{-1}$", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("8.314 joules per mole per kelvin", "8.314 kelvin^-1 kilogram^1 meter^2 mole^-1 second^-2"),
        ("-3.5^{\\circ}\\mathrm{C}", "269.65 kelvin^1"),
        ("-3.5 degrees Celsius", "269.65 kelvin^1"),
        ("25 ℃", "298.15 kelvin^1"),
        ("0 °C", "273.15 kelvin^1"),
        ("-273.15 °C", "0 kelvin^1"),
        ("77 °F", "298.15 kelvin^1"),
        ("12 Å", "1.2e-09 meter^1"),
        ("3 \\mu\\mathrm{m}", "3e-06 meter^1"),
        ("50\\%", "0.5"),
        ("10^{-4}", "0.0001"),
        ("1.07 × 10^16 photons", "1.07e+16"),
        ("1,234,567", "1234567"),
        ("-1/2", "-0.5"),
        ("6.02e23", "6.02e+23"),
        ("E = 1 eV = 1.6e-19 J", "1.6e-19 kilogram^1 meter^2 second^-2"),
        ("3 grek", "3 grek^1"),
    ],
)
def test_units_are_read_however_they_are_written(text: str, key: str) -> None:
    found = measured(text)
    assert found is not None and found.key == key


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9^9^9^9",
        "1e300 Gm",
        "1e-320 nm",
        "1e-400",
        "5 eV^25",
        "5 m^20/0",
        "1e999",
        "5 m^99",
        "5 " + "m " * 40,
        "x" * 10**6,
        "5 J^(",
        "2\\pi",
        "",
        "J",
        "5 m/(s/(kg))",
        "\\frac" * 90,
    ],
)
def test_what_is_no_quantity_is_left_at_once(text: str) -> None:
    assert measured(text) is None


def problem(reference: str, **fields: Any) -> Problem:
    return QUANTITY.posed(Problem("key", "id", "How much?", reference, fields=fields), reference)


@pytest.mark.parametrize(
    ("reference", "unit", "answer", "verdict"),
    [
        ("50.7", "atm", "50.66", ("equal", None)),
        ("50.7", "atm", "50.66 atm", ("equal", None)),
        ("50.7", "atm", "5137 kPa", ("equal", None)),
        ("50.7", "atm", "61 atm", ("different", None)),
        ("50.7", "atm", "50.7 kPa", ("different", ANOTHER_UNIT)),
        ("50.7", "atm", "50.7 J", ("different", ANOTHER_UNIT)),
        ("50.7", "atm", "3 J", ("different", ANOTHER_KIND)),
        ("50.7", "atm", "50.7 grek", ("unknown", UNKNOWN_UNIT)),
        ("50.7", "atm", "2\\pi", ("unknown", "unread")),
        ("50.7", "atm", "it cannot be told", ("different", None)),
        ("3.52", "$10^{-19} \\mathrm{~J}$", "3.52", ("equal", None)),
        ("3.52", "$10^{-19} \\mathrm{~J}$", "3.52 \\times 10^{-19}", ("equal", None)),
        ("3.52", "$10^{-19} \\mathrm{~J}$", "2.2 eV", ("equal", None)),
        ("3.52", "$10^{-19} \\mathrm{~J}$", "3.52 J", ("different", None)),
        ("1.27", "$10^6$", "1270000", ("equal", None)),
        ("1.27", "$10^6$", "1.27", ("equal", None)),
        ("1.27", "$10^6$", "127", ("different", None)),
        ("-3.5", "$^{\\circ} \\mathrm{C}$", "269.65 K", ("equal", None)),
        ("-3.5", "$^{\\circ} \\mathrm{C}$", "-3.5 K", ("unknown", A_DIFFERENCE)),
        ("37", "K", "37 °C", ("unknown", A_DIFFERENCE)),
        ("6.64", "$10^3 \\mathrm{~J}^{\\circ} \\mathrm{C}^{-1}$", "6640 J/K", ("equal", None)),
        ("0.38", None, "38 %", ("equal", None)),
        ("27.58", None, "27.58 %", ("equal", None)),
        ("42000", None, "42000 mol", ("equal", None)),
        ("32", "%", "0.32", ("different", None)),
        ("32", "%", "32%", ("equal", None)),
        ("0", None, "0 J", ("equal", None)),
        ("0", None, "1e-9", ("different", None)),
        ("1.6e-19", "C", "-1.6e-19", ("different", None)),
        ("50 J", None, "0.05 kJ", ("equal", None)),
    ],
)
def test_an_answer_is_judged_in_the_references_unit(
    reference: str, unit: str | None, answer: str, verdict: tuple[str, str | None]
) -> None:
    asked = problem(reference, unit=unit)
    with QUANTITY.judge(1.0) as judge:
        (judged,) = judge.grade(asked, [str(QUANTITY.read(asked, f"\\boxed{{{answer}}}"))])
    assert (judged.verdict, judged.reason) == verdict


def test_the_tolerance_is_the_recipes_or_the_problems() -> None:
    asked, strict, absolute = problem("100"), {"tolerance": 0.001}, {"tolerance": 2.0, "absolute": True}

    def verdict(options: dict[str, Any], answer: str, one: Problem = asked) -> str:
        return str(QUANTITY.configured(options, 0).grade(one, answer)[0])  # type: ignore[attr-defined]

    assert [verdict({}, answer) for answer in ("105", "95", "94.9")] == ["equal", "equal", "different"]
    assert [verdict(strict, answer) for answer in ("100.1", "100.2")] == ["equal", "different"]
    assert [verdict(absolute, answer) for answer in ("102", "102.1", "98")] == ["equal", "different", "equal"]
    assert verdict(absolute, "0.0001", problem("0", tolerance="1e-3")) == "equal"
    assert verdict({}, "101", problem("100", tolerance=0.001)) == "different"
    assert (QUANTITY.options, QUANTITY.configured(strict, 0).options) == ({}, strict)


@pytest.mark.parametrize(
    ("reference", "fields", "told"),
    [
        ("many", {}, "its answer 'many' is no number with a unit that is read"),
        ("5", {"unit": "J^^2"}, r"its unit 'J\^\^2' is not read"),
        ("5", {"tolerance": "some"}, "its tolerance 'some' is no number from 0"),
        ("5", {"tolerance": -1}, "its tolerance -1 is no number from 0"),
    ],
)
def test_a_bad_row_is_told(reference: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        problem(reference, **fields)


def test_the_unit_is_asked_for_and_a_number_alone_is_in_it() -> None:
    asked = problem("2.5", unit="$10^3 \\mathrm{~J}$")
    assert asked.question == "How much?\n\nGive the answer in units of $10^3 \\mathrm{~J}$."
    assert asked.reference == "2.5 × 10^3 J"
    assert QUANTITY.read(asked, "The answer is 2.4.") == "2.4 × 10^3 J"
    assert QUANTITY.read(asked, "[ANSWER]2400[/ANSWER]") == "2400 J"
    assert QUANTITY.read(asked, "\\boxed{2.4\\ \\mathrm{kJ}}") == "2.4\\ \\mathrm{kJ}"
    assert QUANTITY.read(asked, "Nobody knows.") is None
    assert problem("2.5").question == "How much?"
    assert [QUANTITY.is_final(text) for text in ("$E = 5$", "\\boxed{5}", "[ANSWER]5[/ANSWER]")] == [False, True, True]


def test_votes_join_what_is_near_and_of_one_kind() -> None:
    answers = ["100 J", "0.101 kJ", "102 J", "104.9 J", "100 K", "-100 J", "100", "no idea", "no idea"]
    assert groups(answers) == [0, 0, 0, 1, 2, 3, 4, 5, 5]
    assert groups(["100 J", "100", "99.5"]) == [0, 0, 0], "a number alone is in the only unit there is"
    assert groups(["20 °C", "293.15 K", "21 °C"]) == [0, 0, 1], "a share of degrees counts from their zero"
    assert groups(["293.15 K", "294.15 K"]) == [0, 0]
    assert groups(["0", "0 ", "1e-300", "50 %", "0.5"]) == [0, 0, 1, 2, 2]


def groups(answers: list[str]) -> list[int]:
    with QUANTITY.judge(1.0) as judge:
        return judge.groups(answers)


AMOUNTS = st.builds(
    lambda value, unit: f"{value:.4g} {unit}".strip(),
    st.one_of(st.floats(90, 110), st.floats(-2, 2)),
    st.sampled_from(["", "J", "kJ", "K", "degC", "%", "grek", "eV"]),
)


@given(st.lists(st.one_of(AMOUNTS, st.sampled_from(["", "x", "2\\pi"])), max_size=9), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_groups_are_a_partition_that_depends_on_no_order(answers: list[str], random: Any) -> None:
    order = random.sample(range(len(answers)), len(answers))
    here, there = groups(answers), groups([answers[place] for place in order])

    def partition(labels: list[int], places: list[int]) -> set[frozenset[int]]:
        return {frozenset(place for place, label in zip(places, labels, strict=True) if label == one) for one in labels}

    assert partition(here, [*range(len(answers))]) == partition(there, order)
    assert all(
        here[one] == here[other] for one in range(len(here)) for other in range(one) if answers[one] == answers[other]
    )


def spellings(number: str, unit: UnitText | None, latex: str) -> Iterator[str]:
    """A quantity in eight spellings, the fifth in base units."""
    if unit is None:
        yield from (
            number,
            f"{number} ",
            f"${number}$",
            f"\\mathbf{{{number}}}",
            f"x = {number}",
            f"\\text{{{number}}}",
        )
        return
    if not unit.factors:
        power = f"10^{{{unit.power}}}"
        yield from (number, f"{number}{unit}", f"{number}e{unit.power}", f"${number} \\times {power}$")
        yield from (f"{number} \\cdot {power}", f"x \\approx {number}\\times {power}", f"{number} x 10**{unit.power}")
        return
    power, e = (f"\\times 10^{{{unit.power}}}", f"e{unit.power}") if unit.power else ("", "")
    raised = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    above = [name if up == 1 else f"{name}^{up}" for name, up in unit.factors if up > 0]
    below = [name if up == -1 else f"{name}^{-up}" for name, up in unit.factors if up < 0]
    line = "·".join(above) or "1"
    yield f"{number} \\times {latex.strip().strip('$')}" if unit.power else f"{number}\\ {latex.strip().strip('$')}"
    yield f"{number}{unit}"
    yield f"{number}{e} " + " ".join(f"{name}{str(up).translate(raised)}" for name, up in unit.factors)
    yield f"{number}{e} {line}/({'·'.join(below)})" if below else f"{number}{e} {line}"
    yield (
        f"{number}{power}\\,\\mathrm{{\\frac{{{line}}}{{{'·'.join(below)}}}}}"
        if below
        else f"{number}{power} \\mathrm{{{line}}}"
    )
    yield f"{number}{power} \\text{{ {'/'.join((line, *below))}}}"
    yield number
    found = measured(f"{number}{unit}")
    assert found is not None
    if found.dimensions:
        assert found.unit is not None
        yield f"{found.base!r} " + " ".join(f"{name}^{up}" for name, up in found.unit.dimensions)


def scaled(number: str, factor: str) -> str:
    return repr(float(Fraction(number) * Fraction(factor)))


@pytest.mark.parametrize("name", ["atkins", "chemmc", "thermo"])
def test_scibenchs_answers_are_right_in_every_spelling(name: str) -> None:
    path = SCIENCE / f"{name}.json"
    if not path.exists():
        pytest.skip("needs shared/data")
    problems = load_problems(FileSource(source="file", path=path, preset="scibench"), asking=Asking(QUANTITY)).problems
    wrong = []
    for one in problems:
        number, latex = str(one.fields["answer_number"]).strip(), str(one.fields["unit"])
        text = re.sub(
            r"\s*Give the answer in units of (.*)\.$", r"\1", one.question[len(one.fields["problem_text"].strip()) :]
        )
        unit = read_unit(str(one.reference).removeprefix(number)) if text.strip() else None
        for factor, verdict in (("1", "equal"), ("1.02", "equal"), ("1.2", "different")):
            if float(number) == 0 and factor != "1":
                continue
            for answer in spellings(number if factor == "1" else scaled(number, factor), unit, latex):
                read = QUANTITY.read(one, f"So it is\n\\[\\boxed{{{answer}}}\\]")
                found = None if read is None else QUANTITY.grade(one, read)  # type: ignore[attr-defined]
                if found is None or found[0] != verdict:
                    wrong.append((one.reference, factor, answer, read, found))
    assert wrong == []


def test_chembenchs_numbers_are_read_as_it_did() -> None:
    path = SCIENCE / "chembench_llama3.1-8b-instruct.jsonl.gz"
    if not path.exists():
        pytest.skip("needs shared/data")
    with gzip.open(path, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if not isinstance(row["parsed_output"], list)]
    alike, near = 0, dict.fromkeys((0.0, 0.01, 0.05), 0)
    for row in rows:
        answer = QUANTITY.extract(row["text"])
        ours = None if answer is None else measured(answer)
        theirs = row["parsed_output"] if isinstance(row["parsed_output"], int | float) else None
        alike += (None if ours is None else ours.value) == theirs
        for tolerance in near:
            near[tolerance] += ours is not None and math.isclose(ours.value, float(row["targets_"]), rel_tol=tolerance)
    # Of the 14 others, 13 are cut off without an answer, and ChemBench takes some number out of their text; of one with
    # three tags it takes none.
    assert (len(rows), alike) == (244, 230)
    assert near == {0.0: 73, 0.01: 86, 0.05: 92}


def test_a_tolerance_is_in_the_keys_of_grades_and_of_nothing_before_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def keys(options: dict[str, Any], **columns: Any) -> dict[str, str]:
        path.write_text(json.dumps({"question": "q?", "answer": "5"} | columns))
        problems = {"source": "file", "path": str(path)}
        recipe = check_recipe(BASE | {"problems": problems, "domain": "quantity", "domain_options": options})
        plan = plan_evaluation(recipe, load_problems(recipe.problems, asking=recipe.asking))
        return {use.kind.value: use.key for use in plan.uses()} | {"units": str(plan.problems.units)}

    plain = keys({})
    assert keys({"tolerance": 0.05, "absolute": False}) == plain

    def changed(found: dict[str, str]) -> set[str]:
        return {kind for kind in plain if found[kind] != plain[kind]}

    assert changed(keys({"tolerance": 0.01})) == {"grade", "select"}
    assert changed(keys({}, tolerance=0.01)) == {"problems", "grade", "select"}
    assert changed(keys({}, unit="kJ")) == {"problems", "grade", "select", "units"}
    assert keys({}, colour="red") == plain


PIECES = [
    "1",
    "2.5",
    "\\times",
    "10",
    "^",
    "{",
    "}",
    "-19",
    "e5",
    "J",
    "K",
    "°",
    "C",
    "/",
    "(",
    ")",
    " ",
    "\\frac",
    "\\text",
    "²",
]
PIECES += [
    "±",
    "=",
    ",",
    ".",
    "µ",
    "of",
    "\\",
    "٣",
    "½",
    "\n",
    "inf",
    "1e400",
    "0",
    "m^30",
    "%",
    "**",
    "[ANSWER]",
    "A)",
    "answer is ",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=20).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_not(text: str) -> None:
    asked = problem("5", unit="J")
    read = QUANTITY.read(asked, text)
    assert read is None or QUANTITY.grade(asked, read)[0] in ("equal", "different", "unknown")  # type: ignore[attr-defined]
    found = measured(text)
    assert found is None or math.isfinite(found.base)
