"""The paper's own rule, case by case as paper section 1 has it."""

import pytest

from overthink.tasks.analysis.difficulty import DIFFICULTIES
from overthink.tasks.strategy.paper_rule import paper_rule

MATH, AIME = {"math500"}, {"aime24"}


@pytest.mark.parametrize(
    ("parameters", "problem_sets", "methods"),
    [
        (500_000_000, MATH, ["beam_search"] * 3),
        (3_200_000_000, MATH, ["beam_search"] * 3),
        (7_600_000_000, MATH, ["dvts", "dvts", "beam_search"]),
        (32_800_000_000, MATH, ["dvts", "dvts", "beam_search"]),
        (72_700_000_000, MATH, ["best_of_n"] * 3),
        (900_000, {"chains-test"}, ["beam_search"] * 3),
        (7_600_000_000, AIME, ["dvts"] * 3),
        (14_700_000_000, AIME, ["best_of_n"] * 3),
        (7_600_000_000, MATH | AIME, ["dvts", "dvts", "beam_search"]),
    ],
)
def test_size_and_difficulty(parameters: int, problem_sets: set[str], methods: list[str]) -> None:
    rule = paper_rule("policy", parameters, problem_sets)
    assert rule is not None and rule.selector is None
    assert [rule.methods[difficulty] for difficulty in DIFFICULTIES] == methods


def test_policies_that_were_distilled_from_r1_vote() -> None:
    rule = paper_rule("DeepSeek-R1-Distill-Qwen-1.5B", 1_800_000_000, MATH)
    assert rule is not None
    assert (rule.methods["hard"], rule.selector) == ("best_of_n", "majority")


def test_a_policy_of_unknown_size_has_no_rule() -> None:
    assert paper_rule("fake", None, MATH) is None
