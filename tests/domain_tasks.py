"""Tasks of several domains, and a scripted policy that solves each problem with a probability of its own."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plans import BASE

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.recipes.loading import check_recipe

Row = dict[str, Any]
PROBLEMS = 24
MORE = "\n\nThat is all."
REPLIES = 8  # different solutions of each problem, of which number % 9 are right
METHODS: list[Row] = [
    {"method": "cot"},
    {"method": "best_of_n", "n": 16},
    {"method": "beam_search", "n": 12},
    {"method": "dvts", "n": 12},
]


@dataclass(frozen=True)
class Task:
    """One domain's rows, in a layout that ships or is spelled out, and how a right and a wrong solution to a row end.

    `mapped` are the columns that a strategy's domain reads of a file, as `solve --map` takes them.
    """

    domain: str
    rows: list[Row]
    preset: str | Row
    mapped: list[str]
    written: Callable[[Row, bool, int], str]
    chance: float | None = None
    shown: Callable[[str], str] = str  # a stored answer as people read it

    def recipe(self, folder: Path, **changes: Any) -> Row:
        """A recipe on a scripted policy and a fake PRM, whose files are written into the folder."""
        script = folder / "script.json"
        script.write_text(json.dumps({"policy": self.script(folder)}), encoding="utf-8")
        return {
            "name": "task",
            "problems": self.problems(folder),
            "policy": {"engine": "scripted", "script": str(script)},
            "prm": {"engine": "fake"},
            "methods": METHODS,
            "budgets": [1, 4, 16],
            "sampling": {"max_tokens": 512},
            "shard_size": 10,
            **changes,
        }

    def problems(self, folder: Path) -> Row:
        """The rows as a recipe's problems, written into the folder."""
        path = folder / f"{self.domain}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
        return {"source": "file", "path": str(path), "preset": self.preset}

    def script(self, folder: Path) -> Row:
        """What the policy says: an idea and a solution, step by step or at once, and something more behind it."""
        recipe = check_recipe(BASE | {"problems": self.problems(folder)})
        problems = load_problems(recipe.problems, asking=recipe.asking).problems
        return {
            problem.asked: _continuations(
                [self.written(row, reply < number % 9, reply) for reply in range(REPLIES)], seed=number
            )
            for number, (problem, row) in enumerate(zip(problems, self.rows, strict=True))
        }


def _continuations(solutions: list[str], seed: int) -> dict[str, list[str]]:
    """Each solution after an idea of its own, in an order of the problem's own.

    From an idea the other solutions come too, so that a search has something to find; from a step of a solution, all
    that begin with it.
    """
    turned = solutions[seed % REPLIES :] + solutions[: seed % REPLIES]
    ideas = {f"Idea {number}.": solution for number, solution in enumerate(turned)}
    said = defaultdict(list, {"": [f"{idea}\n\n{solution}{MORE}" for idea, solution in ideas.items()]})
    for idea, own in ideas.items():
        for solution in (own, *turned):
            steps = [idea, *solution.split("\n\n")]
            for count in range(1, len(steps)):
                said["\n\n".join(steps[:count])].append("\n\n".join(steps[count:]) + MORE)
    return said


def _letter(row: Row, right: bool, reply: int) -> str:
    place = (row["answer"] + (0 if right else 1 + reply % 3)) % 4
    ways = ("\\boxed{%s}", "The answer is (%s).", "[ANSWER]%s[/ANSWER]", "**Answer:** %s")
    return ways[reply % 4] % "ABCD"[place]


def _amount(row: Row, right: bool, reply: int) -> str:
    value = float(row["answer_number"]) * (1.01 if right else 1.5 + reply % 2)
    ways = (f"{value:.4f}\\ \\mathrm{{atm}}", f"{value * 101.325:.3f} kPa", f"{value:.4f} atm")
    return f"\\boxed{{{ways[reply % 3]}}}"


def _program(row: Row, right: bool, reply: int) -> str:
    """One with a blank line in it, so that a search meets it in two steps."""
    name = re.findall(r"add_(\d+)", row["hidden"][0])[0]
    wrong = ("x - 1", "x * 2 + 40")[reply % 2]
    return f"```python\ndef add_{name}(x):\n\n    return {f'x + {name}' if right else wrong}\n```"


def _name(row: Row, right: bool, reply: int) -> str:
    written = (row["answer"][0].lower(), f"the {row['answer'][0]}.", row["answer"][0].replace("-", " "))
    return f"\\boxed{{{written[reply % 3] if right else ('Old Town', 'Port')[reply % 2]}}}"


CHOICE = Task(
    domain="choice",
    rows=[
        {
            "question": f"Which of these is number {number}?",
            "subject": "college_chemistry",
            "choices": ["0", "1", "2", "3"],
            "answer": number % 4,
        }
        for number in range(PROBLEMS)
    ],
    preset="mmlu",
    mapped=["options=choices", "reference=answer"],
    written=_letter,
    chance=0.25,
    shown=lambda answer: f"{'ABCD'[int(answer)]}. {answer}",
)
QUANTITY = Task(
    domain="quantity",
    rows=[
        {
            "problem_text": f"What is the pressure of gas {number}?",
            "answer_number": str(1.5 + number),
            "unit": "$\\mathrm{atm}$",
            "source": "atkins",
        }
        for number in range(PROBLEMS)
    ],
    preset="scibench",
    mapped=["question=problem_text", "unit=unit", "reference=answer_number"],
    written=_amount,
)
CODE = Task(
    domain="code",
    rows=[
        {
            "question": f"Write a function that adds {number} to a number.",
            "hidden": [f"assert add_{number}(1) == {number + 1}", f"assert add_{number}(5) == {number + 5}"],
            "public": [f"assert add_{number}(0) == {number}"],
        }
        for number in range(PROBLEMS)
    ],
    preset={"columns": {"tests": "hidden", "public_tests": "public"}, "domain": "code"},
    mapped=["public_tests=public", "tests=hidden"],
    written=_program,
    shown=lambda answer: answer.split("\n")[0],
)
TEXT = Task(
    domain="text",
    rows=[
        {"question": f"What is town {number} called?", "answer": [f"New Port-{number}", f"Old Port {number}"]}
        for number in range(PROBLEMS)
    ],
    preset={"columns": {}, "domain": "text"},
    mapped=["reference=answer"],
    written=_name,
)
TASKS = {task.domain: task for task in (CHOICE, QUANTITY, CODE, TEXT)}
