"""Every reference of every preset's files, graded against itself: bare, in a box, in a sentence, in a display."""

from collections.abc import Callable
from pathlib import Path

import pytest

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import FileSource, domain_of_source, options_of_source
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.choice.letters import LETTERS
from overthink.tasks.domains.known_domains import domain_of

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = [
    ("math500", "math500.jsonl"),
    ("aime24", "aime24.jsonl"),
    ("amc23", "amc23.jsonl"),
    ("gsm8k", "gsm8k_test.jsonl"),
    ("aime25", "math/aime25.jsonl"),
    ("hmmt", "math/comp_math_24_25_aime24_aime25_hmmt2425.jsonl"),
    ("olympiadbench", "math/olympiadbench_text_en_675.jsonl"),
    ("math_perturb", "math/math_perturb_hard.jsonl"),
    ("mmlu", "science/mmlu_stem_first500.jsonl"),
    ("scibench", "science/atkins.json"),
    ("scibench", "science/chemmc.json"),
    ("scibench", "science/thermo.json"),
]
FORMS: dict[str, Callable[[str], str]] = {
    "box": lambda answer: f"We add.\n\nSo it is \\boxed{{{answer}}}.",
    "boxed display": lambda answer: f"We add.\n\\[ \\boxed{{{answer}}} \\]",
    "sentence": lambda answer: f"We add.\n\nThe answer is {answer}.",
    "display": lambda answer: f"We add.\n\nThe answer is\n\\[ {answer} \\]",
}
# What cannot be cut out of a sentence: prose around formulas, what is broken off, "!" before a space (docs/grading.md).
NOT_CUT_OUT = {
    ("hmmt", "hmmt_F_2024_team_10", "sentence"),
    ("hmmt", "hmmt_F_2025_team_9", "sentence"),
    ("hmmt", "hmmt_F_2025_team_10", "sentence"),
    ("hmmt", "hmmt_F_2025_team_10", "display"),
    ("olympiadbench", "1965", "sentence"),
    ("olympiadbench", "2349", "sentence"),  # $221,$8$
}


@pytest.mark.parametrize(("preset", "name"), FILES)
def test_every_reference_is_right_by_itself(preset: str, name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    source = FileSource.model_validate({"source": "file", "path": path, "preset": preset})
    domain = domain_of(domain_of_source(source))
    domain = domain.configured(options_of_source(source, domain.name), 0)
    problems = load_problems(source, asking=Asking(domain)).problems
    wrong = set()
    with domain.judge(10.0) as judge:
        for problem in problems:
            right = str(problem.reference)
            said = LETTERS[int(right)] if domain.name == "choice" else right
            read = {form: domain.read(problem, tell(said)) for form, tell in FORMS.items()} | {"bare": right}
            verdicts = judge.grade(problem, [answer or "" for answer in read.values()])
            wrong |= {
                (preset, problem.problem_id, form)
                for form, judged in zip(read, verdicts, strict=True)
                if judged.verdict != "equal"
            }
    assert wrong == {one for one in NOT_CUT_OUT if one[0] == preset}
