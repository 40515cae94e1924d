"""What a critique's verdict is, in every family's words: the last that it gives, and nothing where it gives none."""

import pytest

from overthink.tasks.engines.prm.critic_families import CRITIC_FAMILIES, CriticFamilyName
from overthink.tasks.engines.prm.verdicts import mean, step_verdicts

CUT = False  # a limit cut the text off

WHOLE_TEXTS: list[tuple[CriticFamilyName, str, bool | None]] = [
    ("critic", "2 + 2 is 4, as it says.\nVerdict: Yes", True),
    ("critic", "2 + 2 is 4, not 5.\n\n**Verdict:** No", False),
    ("critic", "- verdict: no.", False),
    ("critic", "Verdict: $\\boxed{Yes}$", True),
    ("critic", "Verdict: Yes, the step is right.", True),
    # empty, and none
    ("critic", "", None),
    ("critic", " \n\n", None),
    ("critic", "The step is right.", None),
    ("critic", "The verdict: I cannot say.", None),
    ("critic", "Verdict:", None),
    ("critic", "Verdict: Yes/No", None),
    ("critic", "Verdict: Yes or No", None),
    ("critic", "Verdict: No errors were found", None),
    ("critic", "Verdict: Nothing is wrong", None),
    # undecided: both words on the line
    ("critic", "Verdict: Yes-or-No", None),
    ("critic", "Verdict: Yes, or No?", None),
    ("critic", "Verdict: Yes? No.", None),
    ("critic", "Verdict: Yes\\No", None),
    ("critic", "Verdict: Yes & No", None),
    ("critic", "Verdict: Yes, no, maybe", None),
    ("critic", "Verdict: **Yes** or **No**", None),
    ("critic", "Verdict: Yes (or no, read strictly)", None),
    ("critic", "Verdict: **Yes** / __No__", None),
    ("critic", "Verdict: Yes\nWait.\nVerdict: Yes or No", None),
    ("critic", "Verdict: Yes, no errors were found", True),
    ("critic", "Verdict: No\nYes, it is wrong.", False),
    # ways to write it
    ("critic", "Verdict: __Yes__", True),
    ("critic", "Verdict: No_errors", None),
    ("critic", "Verdict\uff1a Yes", True),
    ("critic", "Verdict:\nYes", True),
    ("critic", "**Verdict:**\n\n**No**", False),
    ("critic", 'I am to end with "Verdict: Yes" or "Verdict: No".', None),
    # two, and one in the middle
    ("critic", "Verdict: Yes\nWait, 3 * 4 is 12.\nVerdict: No", False),
    ("critic", "Verdict: No\nVerdict: No", False),
    ("critic", "Verdict: Yes\n\nThe step adds what the problem names.", True),
    ("genprm", "</analyze>\n<output>\n**Judgement**: $\\boxed{Yes}$\n</output>", True),
    ("genprm", "It is $\\boxed{12}$.</analyze>\n<output>\n**Judgement**: $\\boxed{No}$\n</output>", False),
    ("genprm", "**Judgement**: $\\boxed{\\text{No}}$", False),
    ("genprm", "It comes to $\\boxed{12}$.", None),
    ("genprm", "**Judgement**: Yes", None),
    ("thinkprm", "Step 1: \\boxed{correct}\n</think>\nIs the solution correct? Yes", True),
    ("thinkprm", "</think>\n\nIs the solution correct? no", False),
    ("thinkprm", "Step 1: \\boxed{correct}\nStep 2: \\boxed{incorrect}", None),
    ("thinkprm", "Is the solution correct? I think so. Is the solution correct?\nNo.", False),
    ("r-prm", "Conclusion: ...\nVerification: Is the step correct (Yes/No)? Yes", True),
    ("r-prm", "Verification: Is the step correct (Yes/No)? No.", False),
    ("r-prm", "Verification: Is the step correct (Yes/No)? X", None),
]
CUT_TEXTS: list[tuple[CriticFamilyName, str, bool | None]] = [
    ("critic", "Verdict: Yes", True),
    ("critic", "Verdict: No**\n\n", False),
    ("genprm", "**Judgement**: $\\boxed{Yes}$\n</output>\n", True),
    ("critic", "Verdict: Yes\nBut let me look again at the", None),
    ("thinkprm", "Is the solution correct? No. Let me", None),
    ("critic", "First I look at", None),
]


@pytest.mark.parametrize(("family", "text", "is_right"), WHOLE_TEXTS)
def test_the_last_verdict_of_a_text_counts(family: CriticFamilyName, text: str, is_right: bool | None) -> None:
    said = CRITIC_FAMILIES[family].verdict.read(text, is_whole=True)
    assert (None if said is None else said.is_right) == is_right


@pytest.mark.parametrize(("family", "text", "is_right"), CUT_TEXTS)
def test_of_a_text_that_was_cut_only_a_last_word_counts(
    family: CriticFamilyName, text: str, is_right: bool | None
) -> None:
    said = CRITIC_FAMILIES[family].verdict.read(text, is_whole=CUT)
    assert (None if said is None else said.is_right) == is_right


@pytest.mark.parametrize("family", CRITIC_FAMILIES)
def test_a_family_reads_its_own_example(family: CriticFamilyName) -> None:
    form = CRITIC_FAMILIES[family].verdict
    for word, other, is_right in zip(form.words, reversed(form.words), (True, False), strict=True):
        text = "\n" + form.example.format(word)
        said = form.read(text, is_whole=True)
        assert said is not None
        assert (said.is_right, said.word, text[said.begin :][: len(word)]) == (is_right, word, word)
        assert form.other(said) == other


def test_the_other_word_is_written_as_the_one_that_was_said() -> None:
    form = CRITIC_FAMILIES["thinkprm"].verdict
    for said, other in (("Yes", "No"), ("yes", "no"), ("NO", "YES")):
        found = form.read(f"Is the solution correct? {said}", is_whole=True)
        assert found is not None
        assert form.other(found) == other


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("Step 1: 2 + 2 = 4. \\boxed{correct}\nStep 2: so 5. \\boxed{incorrect}", [True, False, False]),
        ("Step 1: \\boxed{correct}\nStep 2: \\boxed{incorrect}, no, \\boxed{correct}", [True, True, None]),
        ("**Step 2**: \\boxed{correct}", [None, True, None]),
        ("Step 1: \\boxed{incorrect}\nStep 2: \\boxed{correct}", [False, False, False]),
        ("Step 1: \\boxed{correct}\nLet me double check\nStep 1: \\boxed{incorrect}", [False, False, False]),
        ("\\boxed{correct}", [None, None, None]),
        ("Step 1: \\boxed{correct}\nStep " + "2" * 5000 + ": \\boxed{incorrect}", [True, None, None]),
        ("", [None, None, None]),
    ],
)
def test_steps_of_a_whole_solution_are_judged_under_their_headings(text: str, verdicts: list[bool | None]) -> None:
    assert step_verdicts(text, 3) == verdicts


def test_unknown_scores_are_in_no_mean() -> None:
    assert mean([0.25, None, 0.75]) == 0.5
    assert mean([None, None]) is None
    assert mean([0.0, None]) == 0.0
