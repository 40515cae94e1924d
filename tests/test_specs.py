"""Specs: programs, what they mean, tests, splits and generation."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from overthink.storage.keys import content_key
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import SpecsSource, domain_of_source, has_references
from overthink.tasks.datasets.spec_clauses import CHANGES, CONDITIONS, Change, Leave, Part
from overthink.tasks.datasets.spec_tests import HIDDEN, INPUTS, PUBLIC, GradedSpec, generate_specs
from overthink.tasks.datasets.specs import FINISHES, MOST_CLAUSES, NUMBERS, REDUCTIONS, Spec, draw_spec
from overthink.tasks.datasets.splits import Split
from overthink.tasks.errors import ProblemError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ADD, SQUARE = Part(CHANGES[0], "k"), Part(CHANGES[6], 0)
EVEN, MORE = Part(CONDITIONS[0], 0), Part(CONDITIONS[3], 9)
SPEC = Spec(
    name="tally",
    numbers=NUMBERS[0],
    clauses=(Leave("keep", EVEN), Change(ADD), Change(SQUARE, MORE, ADD)),
    reduction=REDUCTIONS[0],
    finish=Part(FINISHES[2], 3),
    told_before=(True, False),
)
PROGRAM = """\
def tally(values, k):
    result = 0
    for x in values:
        if x % 2 != 0:
            continue
        x = x + k
        if x > 9:
            x = x * x
        else:
            x = x + k
        result += x
    return result * 3
"""


def passes(program: str, tests: list[str]) -> bool:
    """Whether a program of ours passes all tests; run here, since no model wrote it."""
    names: dict[str, object] = {}
    exec(program, names)
    try:
        for test in tests:
            exec(test, names)
    except Exception:  # other arguments, or another result
        return False
    return True


def generated() -> list[GradedSpec]:
    return [spec for split in SPLITS for spec in generate_specs(split, 60, 1, MOST_CLAUSES, seed=3)]


def test_question_program_and_result_by_hand() -> None:
    assert SPEC.question == (
        "Write the Python function tally(values, k). It goes through the numbers in values. With each: add k; "
        "before all that, keep it only if it is even; after all that, if it is more than 9, square it, otherwise add "
        "k. It returns the sum of what is left, times 3."
    )
    assert SPEC.program == PROGRAM
    assert SPEC.result({"values": (1, 2, 8), "k": 2}) == 3 * ((4 + 2) + 10 * 10)


def test_each_program_passes_its_tests_and_no_other_of_its_kind_does() -> None:
    specs = generated()
    for tested in specs:
        tests = [*tested.hidden, *tested.public]
        assert passes(tested.spec.program, tests)
        assert passes(tested.spec.program, tested.inputs), "no call raises"
        assert not any(passes(less.program, tested.hidden) for less in tested.spec.reduced)
    for tested, other in pairwise(specs):
        assert not passes(replace(other.spec, name=tested.spec.name).program, tested.hidden)


def test_tests_and_inputs_are_as_many_as_said_and_never_the_same_call() -> None:
    for tested in generated():
        assert (len(tested.hidden), len(tested.public), len(tested.inputs)) == (HIDDEN, PUBLIC, INPUTS)
        called = [test.removeprefix("assert ").split(" == ")[0].split(" is ")[0] for test in tested.hidden]
        assert not set(called) & {*tested.inputs} and len(set(called)) == HIDDEN


def test_a_spec_of_one_split_belongs_to_it_and_no_test_program_is_in_training() -> None:
    for split in SPLITS:
        assert {tested.spec.split for tested in generate_specs(split, 30, 1, MOST_CLAUSES, seed=9)} == {split}
    source = random.Random(5)
    trained = [spec for spec in (draw_spec(source, 1 + index % 3) for index in range(6000)) if spec.split == "train"]
    assert len(trained) > 4500
    held_out = {tested.spec.body for seed in (0, 1) for tested in generate_specs("test", 60, 1, 3, seed)}
    assert not held_out & {spec.body for spec in trained}


def test_other_words_for_the_same_program_are_in_the_same_split() -> None:
    assert replace(SPEC, name="fold", told_before=(False, False)).split == SPEC.split


def test_generation_never_changes() -> None:
    # Written down once: other draws would be other problems, and another hash would move test problems into training.
    problems = load_problems(SpecsSource(source="specs", count=12))
    assert len({problem.question for problem in problems.problems}) == 12
    told = [[one.problem_key, one.question, one.reference, one.fields] for one in problems.problems]
    assert content_key(told) == "7b807d2ef1c015abf69a"
    assert load_problems(SpecsSource(source="specs", count=5)).problems == problems.problems[:5]
    others = load_problems(SpecsSource(source="specs", count=12, seed=1))
    assert not {one.question for one in problems.problems} & {one.question for one in others.problems}


def test_problems_have_what_their_domain_reads() -> None:
    source = SpecsSource(source="specs", count=7, shortest=2, longest=4)
    problems = load_problems(source).problems
    assert [problem.level for problem in problems] == ["2", "3", "4", "2", "3", "4", "2"]
    assert {problem.subject for problem in problems} == {"programs"}
    for problem in problems:
        assert problem.reference == "\n".join(problem.fields["tests"])
        assert problem.fields["inputs"][0].startswith(f"{problem.fields['entry_point']}(")
        assert all(test.startswith("assert ") for test in problem.fields["public_tests"])
    assert has_references(source) and domain_of_source(source) == "code"


def test_too_many_specs_are_refused_and_so_are_numbers_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overthink.tasks.datasets.spec_tests.MOST_DRAWS", 3)
    with pytest.raises(ProblemError, match="specs: split test has too few distinct specs of 1 clauses"):
        load_problems(SpecsSource(source="specs", count=60, longest=1))
    with pytest.raises(ValueError, match="shortest = 4 is more than longest = 2"):
        SpecsSource(source="specs", count=1, shortest=4, longest=2)
