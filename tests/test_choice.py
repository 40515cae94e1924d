"""Multiple choice: how options are shown, how letters are read, and what the data call right."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bare_stages import carry_out, without_prefect
from plans import BASE
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.presets import PRESETS
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.row_layouts import Columns
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.choice.letters import LETTERS, chosen
from overthink.tasks.domains.known_domains import domain_of
from overthink.tasks.domains.user_template import read_template
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.records import Problem
from overthink.tasks.reporting.results import accuracy_notes

SCIENCE = Path(__file__).parents[2] / "shared" / "data" / "science"
CHOICE = domain_of("choice")
OPTIONS = ("5 mol", "benzene", "A mixture of $\\mathrm{CO}$ and water", "none of the above", "$x^2 + 1$")
SPELLINGS = {
    "B": [
        *("B", "b", "(B)", "(b)", "B.", "B)", "B) benzene", "B. benzene", "B: benzene", "(B) benzene", "**B**", "$B$"),
        *("\\boxed{B}", "\\boxed{\\text{B}}", "\\boxed{\\textbf{(B)}\\ 5}", "$\\boxed{\\mathrm{B}}$", "\\boxed{b}"),
        *("\\boxed{B. benzene}", "\\boxed{\\text{Option B}}", "\\boxed{\\text{(B) benzene}}", "\\boxed{benzene}"),
        *("[ANSWER]B[/ANSWER]", "[ANSWER] B. benzene [/ANSWER]", "<answer>B</answer>", "[answer]b[/answer]"),
        *("The answer is B.", "the answer is (B)", "The correct answer is B: benzene.", "The answer is: **B**"),
        *("Answer: B", "**Answer:** B", "**Answer: B**", "Final Answer: (B) benzene", "ANSWER: B", "Answer:\nB"),
        *(
            "The correct option is B.",
            "Option B is correct.",
            "(B) is the correct answer.",
            "I choose B.",
            "I'd go with (B)",
        ),
        *(
            "The correct choice would be B, since it has a ring.",
            "The answer is option B.",
            "The answer is $\\textbf{B}$.",
        ),
        *(
            "It boils.\nTherefore, (B).",
            "Some thought about A and C.\n\nB",
            "The answer is B, not C.",
            "benzene",
            "Benzene.",
        ),
        *(
            "The answer is benzene.",
            "The best answer is **B. benzene**",
            "A is wrong. The right answer is B",
            "b) benzene",
        ),
        *(
            "\\boxed{A} was my first thought, but it is\n\\boxed{B}",
            "Answer: A\n\nWait, no.\n\nAnswer: B",
            "The answer is `B`",
        ),
        *(
            *(
                "So the answer is (B).\nOther options:\nA. 5 mol: wrong\nC. a mixture: wrong",
                "The answer is [B].",
                "答案：B",
            ),
            *("It has a ring, which is option B.", "[ANSWER]B", "Thus, B is the correct choice."),
            "<think>The answer is C</think>The answer is B",
            "The final answer is $\\boxed{\\text{B}}$. I hope it is correct.",
            *("Ans: B", "ANSWER - B", "Answer → B", "#### B", "∴ B", "选B", "Let's go with B.", "It must be B."),
            *("I think it's B.", "The compound is benzene (option B).", "The answer is B; A is wrong."),
            *("Correct option: B", "\\boxed{\\text{The answer is B}}", "The letter is B.", '{"answer": "B"}'),
            *("The answer is B, A is an amount.", "**B**\n\nExplanation: A is an amount."),
        ),
    ],
    "B, D": [
        "The answers are:\nB. benzene\nD. none of the above",
        *(
            "B, D",
            "B and D",
            "(B) and (D)",
            "B,D",
            "BD",
            "b, d",
            "\\boxed{B, D}",
            "\\boxed{B} and \\boxed{D}",
            "Answer: B, D",
        ),
        *(
            "[ANSWER]D, B[/ANSWER]",
            "[ANSWER] B D [/ANSWER]",
            "The answers are B and D.",
            "B. benzene, D. none of the above",
        ),
        *("\\boxed{\\text{B and D}}", "The correct answers are (B), (D).", "B and D are correct."),
        *("B + D", "\\boxed{\\{B, D\\}}", "Both B and D", "Answer: B and D only", "B & D"),
    ],
    "A": [
        "The answer is A.",
        "5 mol",
        "\\boxed{5\\ \\text{mol}}",
        "The answer is A because it is.",
        "A, as 1 = 1",
        "Let us see.\n\nWhich is (A).",
    ],
    "C": ["A mixture of CO and water", "Answer: a mixture of CO and water."],
    "D": ["None of the above.", "The answer is none of the above"],
    "E": ["\\boxed{x^2+1}", "E) x^2+1"],
    None: [
        *("", "None", "none", "I cannot answer this.", "The answer is unclear.", "\\boxed{F}", "F", "N/A", "\\boxed{}"),
        *(
            "A good question. I do not know.",
            "There is a mixture.",
            "toluene",
            "<think>The answer is B",
            "[ANSWER][/ANSWER]",
        ),
        *(
            "The answer is a good one.",
            "I am not able to help with that.",
            "[ANSWER]unknown[/ANSWER]",
            "B or not B?",
            *("A/B?", "The answer is A/B.", "It is not B.", "Either A or B"),
            "A. 5 mol is too little.\nB. benzene is too much.",
        ),
    ],
}
CASES = [(text, wanted) for wanted, texts in SPELLINGS.items() for text in texts]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_a_letter_is_read_however_it_is_written(text: str, wanted: str | None) -> None:
    found = chosen(text, OPTIONS)
    assert (None if found is None else ", ".join(LETTERS[place] for place in found)) == wanted


def loaded(folder: Path, *rows: dict[str, Any], **settings: Any) -> tuple[Problem, ...]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"columns": {"options": "options"}} | settings
    source = FileSource.model_validate({"source": "file", "path": path, **columns})
    return load_problems(source, asking=Asking(CHOICE)).problems


ROW = {"question": "Which ring?", "options": ["hexane", "benzene", "octane"], "answer": 1}


@pytest.mark.parametrize(
    ("change", "reference"),
    [
        ({}, "1"),
        ({"answer": "B"}, "1"),
        ({"answer": "(B)"}, "1"),
        ({"answer": "benzene"}, "1"),
        ({"answer": ["C", "A"]}, "0, 2"),
        ({"answer": "A, C"}, "0, 2"),
        ({"answer": [2, "benzene"]}, "1, 2"),
        ({"answer": "C", "options": {"A": "hexane", "B": "octane", "C": "benzene"}}, "2"),
        ({"options": ["1", "2", "3"]}, "1"),
        ({"options": ["1", "2", "3"], "answer": "1"}, "0"),
    ],
)
def test_the_reference_is_the_place_of_the_right_option(change: dict[str, Any], reference: str, tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, ROW | change)
    assert problem.reference == reference


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": 3}, "its answer 3 is none of its 3 options"),
        ({"answer": "D"}, "its answer 'D' is none of its 3 options"),
        ({"answer": "2"}, "its answer '2' may count options from 0 or 1: say domain_options.count_from"),
        ({"answer": "C", "options": ["C", "N", "O"]}, "its answer 'C' may be option A or C: give its number instead"),
        ({"answer": "N", "options": ["N", "N", "O"]}, "its answer 'N' may be option A or B"),
        ({"options": ["one"]}, "it has 1 options: 2 to 26 can be told apart by letters"),
        ({"options": "a, b"}, "its options are a str: a list is wanted, a mapping, or a column each"),
        ({"options": None}, "field 'options' is null"),
        ({"options": ["a", " "]}, "its option B is ' ': a text is wanted"),
        ({"options": ["a", True]}, "its option B is True: a text is wanted"),
    ],
)
def test_a_bad_row_is_told_with_its_place(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=rf"rows.jsonl, row 1: {re.escape(told)}"):
        loaded(tmp_path, ROW | change)


def test_options_stand_below_the_question_with_letters(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, ROW)
    assert problem.question == problem.asked == "Which ring?\n\nA. hexane\nB. benzene\nC. octane"
    assert (problem.chance, problem.fields["question"]) == (1 / 3, "Which ring?")
    assert CHOICE.read(problem, "The answer is benzene.") == "1"
    assert CHOICE.read(problem, "I do not know.") is None
    with CHOICE.judge(1.0) as judge:
        assert [one.verdict for one in judge.grade(problem, ["1", "0", "0, 1"])] == ["equal", "different", "different"]
        assert judge.groups(["1", "0, 1", "1"]) == [0, 1, 0]
    assert CHOICE.is_final("So the answer is B") and not CHOICE.is_final("A. hexane is no ring.")


def test_several_right_ones_are_guessed_together(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, ROW | {"answer": "A, C"})
    assert problem.chance == 1 / 3


def test_a_template_puts_the_lettered_options_where_it_says(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW))
    asking = Asking(CHOICE, read_template("{options}\n{question}"))
    (problem,) = load_problems(
        FileSource(source="file", path=path, columns=Columns(options="options")), asking=asking
    ).problems
    assert problem.asked == "A. hexane\nB. benzene\nC. octane\nWhich ring?"


def test_a_shuffled_order_is_that_of_the_seed_and_read_back() -> None:
    options = [f"option {number}" for number in range(10)]
    problem = Problem("key", "id", "q", None, fields={"options": options})
    orders = set()
    for seed in range(5):
        domain = CHOICE.configured({"shuffle": True}, seed)
        posed = domain.posed(problem, 3)
        assert posed.reference == "3" and domain.options == {"shuffle": seed}
        letter = re.search(r"([A-J])\. option 3$", posed.question, re.MULTILINE)
        assert letter is not None and domain.read(posed, f"\\boxed{{{letter[1]}}}") == "3"
        assert domain.configured({"shuffle": True}, seed).posed(problem, 3) == posed
        orders.add(posed.question)
    assert len(orders) == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shufle": True}, "there is no option 'shufle': did you mean shuffle"),
        ({"shuffle": "yes"}, "shuffle: true or false is wanted, not 'yes'"),
        ({"count_from": 2}, "count_from: 2 is unknown: name one of 0, 1"),
    ],
)
def test_wrong_options_of_the_domain_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"domain_options: {told}"):
        check_recipe(BASE | {"domain": "choice", "domain_options": options})


def test_mathematics_has_no_options() -> None:
    with pytest.raises(UserError, match="domain_options: the domain math has no option 'shuffle': leave it out"):
        check_recipe(BASE | {"domain_options": {"shuffle": True}})


def test_gpqas_layout_is_shuffled_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    names = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    path = tmp_path / "gpqa.csv"
    path.write_text(f"Question,{','.join(names)}\n" + "".join(f"q{n}?,right,w1,w2,w3\n" for n in range(8)))
    problems = {"source": "file", "path": str(path), "preset": "gpqa"}
    recipe = check_recipe(BASE | {"problems": problems})
    assert (recipe.domain, recipe.domain_options) == ("choice", {"shuffle": True})
    found = load_problems(recipe.problems, asking=recipe.asking).problems
    assert {problem.reference for problem in found} == {"0"}
    assert len({re.search(r"(.)\. right", problem.question)[1] for problem in found}) > 1  # type: ignore[index]
    kept = check_recipe(BASE | {"problems": problems, "domain_options": {"shuffle": False}})
    assert load_problems(kept.problems, asking=kept.asking).problems[0].question.startswith("q0?\n\nA. right\n")
    seeded = check_recipe(BASE | {"problems": problems, "seed": 1})
    assert load_problems(seeded.problems, asking=seeded.asking).problems != found
    spelled = {"source": "file", "path": str(path), "preset": PRESETS["gpqa"].model_dump()}
    assert hash(check_recipe(BASE | {"problems": spelled}).problems) is not None


def reply(problem: Problem, number: int) -> str:
    """Right where the number is even; each of five ways to write a letter."""
    place = (int(str(problem.reference)) + number % 2) % len(problem.fields["options"])
    ways = ("\\boxed{%s}", "The answer is (%s).", "[ANSWER]%s[/ANSWER]", "**Answer:** %s", "%s")
    return "Because.\n" + ways[number % 5] % LETTERS[place]


def test_mmlu_runs_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = SCIENCE / "mmlu_stem_first500.jsonl"
    if not path.exists():
        pytest.skip("needs shared/data")
    without_prefect(monkeypatch.setattr)
    script = tmp_path / "script.json"
    value = BASE | {
        "problems": {"source": "file", "path": str(path), "preset": "mmlu", "limit": 40},
        "policy": {"engine": "scripted", "script": str(script)},
        "prm": None,
        "methods": [{"method": "best_of_n", "n": 5}],
        "budgets": [1, 5],
        "selectors": ["majority"],
    }
    recipe = check_recipe(value)
    problems = load_problems(recipe.problems, asking=recipe.asking)
    texts = {problem.asked: {"": [reply(problem, number) for number in range(5)]} for problem in problems.problems}
    script.write_text(json.dumps({"policy": texts}))
    carry_out(plan_evaluation(recipe, problems), tmp_path / "store")
    store = Store(tmp_path / "store")
    rows = query(store, "SELECT n, accuracy FROM summary ORDER BY n").to_pylist()
    assert [(row["n"], row["accuracy"]) for row in rows] == [(1, pytest.approx(0.6)), (5, 1.0)]
    right = query(store, "SELECT count(*) FILTER (correct) AS right, count(*) AS all FROM grades").to_pylist()
    assert right == [{"right": 120, "all": 200}]
    assert query(store, "SELECT DISTINCT chance FROM problems").to_pylist() == [{"chance": 0.25}]
    (run,) = store.runs()
    assert accuracy_notes(store, run.run_id) == "; chance 25.0 %"


def test_all_of_mmlus_and_chembenchs_rows_are_read() -> None:
    if not SCIENCE.exists():
        pytest.skip("needs shared/data")
    mmlu = FileSource(source="file", path=SCIENCE / "mmlu_stem_first500.jsonl", preset="mmlu")
    assert len(load_problems(mmlu, asking=Asking(CHOICE)).problems) == 500
    chembench = FileSource(source="file", path=SCIENCE / "chembench_items.jsonl", preset="chembench")
    found = load_problems(chembench, skip_bad_rows=True, asking=Asking(CHOICE))
    assert (len(found.problems), len(found.dropped)) == (1356, 244), "the rest asks for numbers"
    assert {problem.reference.count(",") for problem in found.problems if problem.reference} == {0, 1, 2, 3, 4, 6}


def bare(text: str) -> str:
    """An option without what ChemBench's prompts leave out of it."""
    return re.sub(r"\\(?:ce|pu|math)(?![a-z])|[{}$\s\\]|\[(?:START|END)[^\]]*\]", "", text)


def test_chembenchs_stored_answers_are_read_and_judged_as_it_did() -> None:
    path = SCIENCE / "chembench_llama3.1-8b-instruct.jsonl.gz"
    if not path.exists():
        pytest.skip("needs shared/data")
    with gzip.open(path, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if isinstance(row["parsed_output"], list)]
    read_alike = judged_alike = right = 0
    for row in rows:
        below = row["prompt"].rsplit("Options:\n", 1)[1].split("\n\nYou MUST")[0]
        shown = [line.split(". ", 1)[1] for line in re.split(r"\n(?=[A-Z]\. )", below)]
        scores = {bare(option): score for option, score in row["targets_"].items()}
        found = chosen(row["text"], shown) or ()
        read_alike += [LETTERS[place] for place in found] == sorted(set(row["parsed_output"]))
        is_right = set(found) == {place for place, option in enumerate(shown) if scores[bare(option)] > 0}
        judged_alike += is_right == (row["score"]["hamming"] == 0)
        right += is_right
    assert (len(rows), read_alike, judged_alike, right) == (1059, 1059, 1059, 376)


def test_an_import_without_options_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"q": "Which?", "a": "B", "text": "The answer is B."}))
    mapped = [word for pair in ("question=q", "reference=a", "text=text") for word in ("--map", pair)]
    words = ["import", "jsonl", str(path), *mapped, "--domain", "choice", "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, " ".join(result.stderr.split())) == (
        2,
        "--domain choice: its answers are graded by options, name their column: --map options=COLUMN",
    )
