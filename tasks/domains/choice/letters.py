r"""Letters of options in a solution: `\boxed{B}`, "(B)", "B) text", "the answer is B", "A and C", an option's text."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from overthink.tasks.domains.answer_tags import MOST_READ, last_tag
from overthink.tasks.domains.math.extraction import last_box
from overthink.tasks.reasoning_marks import divide_by_any

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONGEST_ANSWER = 2_000  # characters behind "the answer is"

_STATED = re.compile(
    r"(?:\b(?:answers?|ans(?=\s*[:=])|(?:options?|choices?|statements?)(?=\s+(?:is|are|would|should|must)\b))\b"
    r"(?:\s+(?:to|for)\s+(?:the|this)\s+(?:question|problem))?"
    r"\s*(?:(?:is|are|(?:would|should|must|will)(?: therefore| then)? be)\b\s*[:=]?|[:=–—→]|-(?=\s))"
    r"|答案(?:是|为|：|:)|选择?)\s*",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"\b(?:I(?:d| would| will|ll)?|we|let us|lets) (?:choose|pick|select|go with)\s+", re.IGNORECASE)
_IS_RIGHT = re.compile(
    r"(?:^|(?<=[\s(*]))(?:(?:options?|choices?|answers?|letters?|statements?)\s+)?"
    r"(\(?[A-Z]\)?|(?:\(?[A-Z]\)?(?:, |,? and )){1,9}\(?[A-Z]\)?)"
    r"\s+(?:is|are)\s+(?:the\s+|both\s+|all\s+)?(?:only\s+|most\s+|best\s+)?(?:correct|right|true|answers?)\b"
)
_AT_THE_END = re.compile(
    r"(?:\b(?:(?:so|thus|hence|therefore),?|it is|its|it must be)\s+|[∴⇒→]\s*"
    r"|\b(?:options?|choices?|answers?|statements?)\s+|(?=\())"
    r"(\([A-Z]\)|[A-Z])(?=[).\s]*$)",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:not|nor|neither|\w+nt|cannot|wrong|incorrect|false|eliminated?)\b", re.IGNORECASE)
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|mathsf|textbf|textrm|textit|bf|rm|mbox|emph|boldsymbol)\b\s*")
_LATEX_SPACE = re.compile(r"\\(?:quad|qquad|[ ,;:!])|~")
_DECORATION = re.compile(r"[*`$\"“”'’_]|\\[()\[\]{}]")
_BRACKETS = re.compile(r"[\[\]<>]")
_NOUN = re.compile(
    r"^(?:(?:most likely|probably|definitely|clearly|both|either)\s+)?(?:the\s+)?(?:(?:correct|right|best)\s+)?"
    r"(?:(?:options?|choices?|letters?|answers?|statements?)\b\s*(?:is|are)?:?)?\s*",
    re.IGNORECASE,
)
_ONE = r"\(?([A-Z])(?![A-Za-z0-9])\)?"
_FIRST = re.compile(rf"{_ONE}[.):]?")
# Not the subject of a clause of its own, as in "B; A is wrong".
_NEXT = re.compile(rf"(?:\s*[,;&+]\s*(?:and\s+)?|\s+and\s+|\s+){_ONE}(?!\s+(?:is|isnt|was|does|has|would|can)\b)[.):]?")
_OR = re.compile(r",?\s*or\b|\s*/\s*\(?[A-Z]\b")
_LISTED = re.compile(r"(?:^|[,;\n]\s*|\band\s+)\(?([A-Z])[.):]\)?(?=\s)")
_TOGETHER = re.compile(r"[A-Z]{2,26}")
_SMALL_ONES = re.compile(r"\(?[a-z]\)?[.):]*|(?:\(?[a-z]\)?\s*[,;&]\s*){1,25}\(?[a-z]\)?\.?")
_ARTICLES = "AI"
_REASON = re.compile(r"(?:because|since|as|for|which)\b")

# What a payload is: all that was marked as the answer, the begin of a sentence's end, or a line by itself.
Kind = Literal["marked", "sentence", "line"]


def chosen(text: str, options: Sequence[str]) -> tuple[int, ...] | None:
    """Which of the options, as shown, a solution chooses, ascending; None where it chooses none, or it is unclear.

    The last tag, box or statement that says so counts; a solution that is but an answer needs none.
    """
    text, texts = divide_by_any(text[-MOST_READ:]).answer, [normal(option) for option in options]
    for payload, kind in (*_marked(text), *_lines(text)):
        found = _read(payload[:LONGEST_ANSWER], texts, kind)
        if found is not None:
            return found
    return None


def states_letters(text: str) -> str | None:
    """The letters that a tag, a box or a statement names, as in "A, C", whatever the options are."""
    for payload, kind in _marked(text[-MOST_READ:]):
        found = _read(payload[:LONGEST_ANSWER], [""] * len(LETTERS), kind)
        if found is not None:
            return ", ".join(LETTERS[place] for place in found)
    return None


def _marked(text: str) -> Iterator[tuple[str, Kind]]:
    """What is said to be the answer, the plainest first."""
    for answer in (last_tag(text), last_box(text)):
        if answer is not None:
            yield answer, "marked"
    plain = _plain(text)
    said = [
        (found.start(), plain[found.end() : found.end() + LONGEST_ANSWER])
        for cue in (_STATED, _CHOSEN)
        for found in cue.finditer(plain)
    ]
    said += [(found.start(), found[1]) for found in _IS_RIGHT.finditer(plain)]
    yield from ((payload, "sentence") for _, payload in sorted(said, reverse=True))


def _lines(text: str) -> Iterator[tuple[str, Kind]]:
    """A solution of one line, or the last line of a longer one, its end, and its first line."""
    lines = [re.sub(r"^#+\s+", "", line.strip()) for line in text.splitlines() if line.strip()]
    if not lines:
        return
    yield lines[-1], "sentence" if len(lines) == 1 else "line"
    (*_, end) = re.split(r"[.!?]\s(?=.)", _plain(lines[-1]).strip())
    if (last := _AT_THE_END.search(end)) and not _DENIAL.search(end):
        yield last[1], "sentence"
    yield lines[0], "line"


def _plain(text: str) -> str:
    """Without the marks of LaTeX and Markdown around letters."""
    text = _LATEX_SPACE.sub(" ", _LATEX_TEXT.sub("", text))
    return _BRACKETS.sub(" ", _DECORATION.sub("", text)).replace("{", "").replace("}", "")


def _read(payload: str, texts: Sequence[str], kind: Kind) -> tuple[int, ...] | None:
    """The options that a payload names by letters, or by the text of one; `texts` are theirs, normalised."""
    plain = _NOUN.sub("", _plain(payload).strip(), count=1).strip()
    letters = _small(plain, texts) or _together(plain, texts) or _letters(plain, texts, kind)
    if letters is None:
        return _by_text(payload, texts, kind)
    places = sorted({LETTERS.index(letter) for letter in letters})
    return tuple(places) if places[-1] < len(texts) else None


def _small(plain: str, texts: Sequence[str]) -> list[str] | None:
    """Letters in lower case, where there is nothing else, or the text of the option behind its letter."""
    if _SMALL_ONES.fullmatch(plain):
        return re.findall("[A-Z]", plain.upper())
    first = re.match(r"\(?([a-z])[.):]\)?\s", plain)
    if first and _are_texts(plain[first.end() :], [first[1].upper()], texts):
        return [first[1].upper()]
    return None


def _together(plain: str, texts: Sequence[str]) -> list[str] | None:
    """Letters without anything between them, as in BD, unless that is the text of an option."""
    letters = plain.strip(". ")
    is_list = _TOGETHER.fullmatch(letters) and len(set(letters)) == len(letters) and normal(letters) not in texts
    return list(letters) if is_list else None


def _letters(plain: str, texts: Sequence[str], kind: Kind) -> list[str] | None:
    """The capital letters at the beginning, if what follows lets them be the answer."""
    first = _FIRST.match(plain)
    if first is None:
        return None
    letters, end = [first[1]], first.end()
    while following := _NEXT.match(plain, end):
        letters.append(following[1])
        end = following.end()
    rest = plain[end:].lstrip(".) ")
    if not rest or _OR.match(rest):
        return None if rest else letters
    is_labelled = len(letters) == 1 and not set(first[0]).isdisjoint("().:")
    listed = letters + (_LISTED.findall(plain, end) if is_labelled else [])
    if kind == "marked" or _are_texts(rest, listed, texts):
        letters = listed
    if kind == "line":
        return letters if _are_texts(rest, letters, texts) else None
    if is_labelled or plain[end : end + 1] in "\n,;.-–—":
        return letters
    is_word = len(letters) == 1 and letters[0] in _ARTICLES and not _REASON.match(rest)
    return letters if kind == "sentence" and not is_word else None


def _are_texts(rest: str, letters: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether what stands behind letters is the texts of their options."""
    left = normal(rest)
    for letter in letters:
        place = LETTERS.index(letter)
        left = left.replace(texts[place], "", 1) if place < len(texts) else left
    return len(left) <= 5 * (len(letters) - 1)


def _by_text(payload: str, texts: Sequence[str], kind: Kind) -> tuple[int, ...] | None:
    """The option whose text a payload is; of a sentence up to its end, or up to the end of a line."""
    tries = [payload, payload.splitlines()[0] if payload.strip() else ""]
    if kind == "sentence":
        tries += [payload[: found.start()] for found in re.finditer(r"[.,;](?=\s|$)", payload)]
    for words in map(normal, tries):
        if words and texts.count(words) == 1:
            return (texts.index(words),)
    return None


def normal(text: str) -> str:
    """A text for comparison: without marks of LaTeX and Markdown, spaces and a full stop."""
    return "".join(_plain(text).lower().split()).strip(".")
