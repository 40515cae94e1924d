"""The domain of texts: what counts as one answer, and where an answer stands."""

import pytest

from overthink.tasks.domains.wording import Wording, normalised
from overthink.tasks.records import Problem

TEXT = Wording()

SAME = [
    ("The Eiffel Tower", "eiffel tower"),
    ("Eiffel   Tower.", "Eiffel Tower"),
    ("“Eiffel Tower”", "eiffel tower"),
    ("ﬁnland", "Finland"),
    ("STRASSE", "Straße"),
    ("state-of-the-art", "state of the art"),
    ("km/h", "km h"),
    ("don't", "dont"),
    ("U.S.A.", "USA"),
    ("\\text{Paris}", "Paris"),
    ("−5", "-5"),
    ("a cat and the dog", "cat and dog"),
    ("３.14", "3.14"),
    ("the answer: 1,000", "answer 1,000"),
    ("naïve", "nai\u0308ve"),
    ("50 %", "50%"),
]
DIFFERENT = [
    ("3.14", "314"),
    ("-5", "5"),
    (".5", "5"),
    ("10:30", "1030"),
    ("50%", "50"),
    ("1/2", "12"),
    ("vitamin A", "vitamin"),
    ("A", "B"),
    ("A", ""),
    ("the", ""),
    ("?", "!"),
    ("C++", "C"),
    ("Theseus", "seus"),
    ("naïve", "naive"),
]


def problem(reference: object) -> Problem:
    return TEXT.posed(Problem("k", "1", "Who?", reference if isinstance(reference, str) else "x"), reference)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_in_form_alone_is_equal(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert TEXT.grade(problem(one), other) == TEXT.grade(problem(other), one) == ("equal", None)
    assert TEXT.same([one, "else", other]) == [0, 1, 0]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_says_something_else_is_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)
    assert TEXT.grade(problem(one), other) == ("different", None)


def test_each_of_several_answers_is_right() -> None:
    several = problem(["NYC", "New\nYork  City", 1624])
    assert several.reference == "NYC\nNew York City\n1624"
    assert [TEXT.grade(several, answer)[0] for answer in ("new york city", "nyc.", "1624", "New York")] == [
        *["equal"] * 3,
        "different",
    ]
    with pytest.raises(ValueError, match="are not all texts or numbers"):
        problem(["NYC", {"x": 1}])


@pytest.mark.parametrize(
    ("text", "boxed", "lenient"),
    [
        ("So it is \\boxed{Marie Curie}.", "Marie Curie", "Marie Curie"),
        ("[ANSWER]Marie Curie[/ANSWER]", "Marie Curie", "Marie Curie"),
        ("Hm.\n\nThe final answer is Marie Curie.", "Marie Curie", "Marie Curie"),
        ("Marie Curie", None, "Marie Curie"),
        ("I thought.\nMarie Curie", None, None),
        ("<think>\\boxed{Ada}</think>", None, None),
        ("", None, None),
    ],
)
def test_where_an_answer_stands(text: str, boxed: str | None, lenient: str | None) -> None:
    found = TEXT.extract(text), TEXT.extract(text, "lenient")
    assert tuple(None if one is None else one.rstrip(".") for one in found) == (boxed, lenient)
