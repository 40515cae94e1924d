"""Every row of the tables in docs/domains.md, and every recipe and row of data in it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from plans import BASE

from overthink.tasks.datasets.presets import PRESETS
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.domains.known_domains import DOMAINS, domain_of
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.records import Problem

PAGE = (Path(__file__).parents[1] / "docs" / "domains.md").read_text(encoding="utf-8")
ASSERTIONS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0"
CASES = '[{"input": "1 2", "output": "3"}, {"input": "-1 1", "output": "0"}]'
TOWERS = "Eiffel Tower\nLa dame de fer"
PROMPT = 'def add(a, b):\n    """Add."""'
EXAMPLES = dict(re.findall(r"```json\n(.*?)\n```\n```yaml\n(.*?)```", PAGE, re.DOTALL))


def rows(header: str) -> list[list[str]]:
    """The cells of a table, without the backticks around a cell."""
    table = PAGE.split(f"| {header}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[re.sub("^`|`$", "", cell.strip()) for cell in line.strip("|").split("|")] for line in table]


def problems(data: str, recipe: str, folder: Path) -> tuple[Problem, ...]:
    path = folder / "tasks.jsonl"
    path.write_text(data)
    value: dict[str, Any] = yaml.safe_load(recipe)
    value["problems"]["path"] = str(path)
    checked = check_recipe(BASE | value)
    return load_problems(checked.problems, asking=checked.asking).problems


@pytest.mark.parametrize("data", EXAMPLES)
def test_own_data_is_read_as_the_page_says(data: str, tmp_path: Path) -> None:
    (problem,) = problems(data, EXAMPLES[data], tmp_path)
    assert problem.reference in ("42", "1", "3.52 × 10^-19 J", ASSERTIONS, CASES, TOWERS)


@pytest.mark.parametrize(("text", "answer"), rows("text, with the options above"))
def test_a_choice_is_read_as_the_page_says(text: str, answer: str) -> None:
    (row,) = (json.loads(data) for data in EXAMPLES if "options" in data)
    posed = domain_of("choice").posed(Problem("k", "id", "q", None, fields=row), row["answer"])
    assert (domain_of("choice").read(posed, text) or "") == answer


@pytest.mark.parametrize(("reference", "unit", "answer", "verdict"), rows("reference | unit"))
def test_a_quantity_is_judged_as_the_page_says(reference: str, unit: str, answer: str, verdict: str) -> None:
    domain = domain_of("quantity")
    posed = domain.posed(Problem("k", "id", "q", reference, fields={"unit": unit}), reference)
    with domain.judge(1.0) as judge:
        (judged,) = judge.grade(posed, [str(domain.read(posed, f"\\boxed{{{answer}}}"))])
    assert judged.verdict == verdict


@pytest.mark.parametrize(("text", "program"), rows("text | program"))
def test_a_program_is_read_as_the_page_says(text: str, program: str) -> None:
    text, program = (one.replace("\\n", "\n").replace("\\t", "\t") for one in (text, program))
    posed = Problem("k", "id", "q", None, fields={"prompt": PROMPT, "entry_point": "add"})
    assert (domain_of("code").read(posed, text) or "") == program


@pytest.mark.parametrize(("one", "other", "verdict"), rows("answer | another"))
def test_a_text_is_judged_as_the_page_says(one: str, other: str, verdict: str) -> None:
    with domain_of("text").judge(5) as judge:
        (judged,) = judge.grade(Problem("k", "id", "q", one), [other])
    assert judged.verdict == verdict


def test_the_page_names_the_domains_and_the_presets_beside_mathematics() -> None:
    assert {row[0] for row in rows("domain |")} <= set(DOMAINS)
    assert {row[0] for row in rows("preset |")} == {
        name for name, one in PRESETS.items() if one.domain in ("choice", "quantity", "code")
    }
