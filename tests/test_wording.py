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
    assert found == (boxed, lenient)


STATED = [
    ("The answer is J.K. Rowling.", "J.K. Rowling"),
    ("The answer is J. K. Rowling. She wrote it.", "J. K. Rowling"),
    ("The answer is St. Louis.", "St. Louis"),
    ("The answer is Mr. Darcy. He loves Elizabeth.", "Mr. Darcy"),
    ("The final answer is Dr. No.", "Dr. No"),
    ("The answer is **Dr. Jekyll and Mr. Hyde**.", "Dr. Jekyll and Mr. Hyde"),
    ("The answer is George W. Bush. Al Gore lost.", "George W. Bush"),
    ("The answer is the U.S. Supreme Court.", "the U.S. Supreme Court"),
    ("The answer is Washington, D.C.", "Washington, D.C"),
    ("The answer is Washington, D.C. It is no state.", "Washington, D.C"),
    ("The answer is Malcolm X. He spoke there.", "Malcolm X"),
    ("The answer is vitamin C. The body needs it.", "vitamin C"),
    ("The answer is Martin Luther King Jr. Hope this helps!", "Martin Luther King Jr"),
    ("The answer is Warner Bros. Pictures.", "Warner Bros. Pictures"),
    ("The answer is Chanel No. 5. I like it.", "Chanel No. 5"),
    ("The answer is no. Fish are cold.", "no"),
    ("The answer is yes. Cats are warm.", "yes"),
    ("The answer is Oslo. Bergen is smaller.", "Oslo"),
    ("the answer is paris. it is in france.", "paris"),
    ("The answer is: not guilty.", "not guilty"),
    ("Answer: in vitro", "in vitro"),
    ("**Answer:** Mt. Everest", "Mt. Everest"),
    ("The answer is Gone with the Wind.", "Gone with the Wind"),
    ("The answer is About a Boy, since it is a novel.", "About a Boy"),
    ("The answer is I, Robot.", "I, Robot"),
    ("The answer is In Cold Blood, which Capote wrote.", "In Cold Blood"),
    ("The answer is Guinea because of the capital.", "Guinea"),
    ("The answer is Paris (the capital of France).", "Paris"),
    ("The answer is example.com. Try it!", "example.com"),
    ("The answer is 3.14. Pi is longer.", "3.14"),
    ("The answer is $\\text{Paris}$.", "\\text{Paris}"),
    ("The answer is Prof. Plum\nin the library", "Prof. Plum"),
    ("So the answer is Henry V.\nHenry IV came before.", "Henry V"),
    ("\\boxed{The answer is J.K. Rowling}", "J.K. Rowling"),
    ("The answer is Paris. So the answer is not clear.", "Paris"),
    ("The answer is not clear.", None),
    ("The answer: we need to think", None),
    ("The answer is in the third chapter.", None),
]


@pytest.mark.parametrize(("text", "answer"), STATED)
def test_a_statement_says_a_whole_name(text: str, answer: str | None) -> None:
    assert TEXT.extract(text) == answer
