r"""Letters of options in a solution: `\boxed{B}`, "(B)", "B) text", "the answer is B", "A and C", an option's text."""

import re
from collections.abc import Iterator, Sequence

from overthink.tasks.domains.math.extraction import last_box
from overthink.tasks.reasoning_marks import divide_by_any

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_READ = 100_000  # characters; an answer is at the end
LONGEST_ANSWER = 2_000  # characters behind "the answer is"

_TAGS = re.compile(r"\[ANSWER\](.*?)\[/ANSWER\]|<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_STATED = re.compile(
    r"\b(?:answers?|(?:options?|choices?)(?=\s+(?:is|are|would|should|must)\b))\b(?:\s+(?:to|for)\s+(?:the|this)"
    r"\s+(?:question|problem))?\s*(?:(?:is|are|would be|should be|must be|will be)\b\s*[:=]?|[:=])\s*",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"\b(?:I(?:'d| would| will|'ll)?|we|let us) (?:choose|pick|select|go with)\s+", re.IGNORECASE)
_IS_RIGHT = re.compile(
    r"(?:^|(?<=[\s(*]))(?:(?:options?|choices?|answers?|letters?)\s+)?"
    r"(\(?[A-Z]\)?|(?:\(?[A-Z]\)?(?:, |,? and )){1,9}\(?[A-Z]\)?)"
    r"\s+(?:is|are)\s+(?:the\s+|both\s+|all\s+)?(?:only\s+|most\s+|best\s+)?(?:correct|right|true|answers?)\b"
)
_THEREFORE = re.compile(
    r"\b(?:so|thus|hence|therefore),?\s+(?:it is\s+|it's\s+)?(\(?[A-Z]\)?)(?=[.\s]*$)", re.IGNORECASE
)
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|mathsf|textbf|textrm|textit|bf|rm|mbox|emph|boldsymbol)\b\s*")
_LATEX_SPACE = re.compile(r"\\(?:quad|qquad|[ ,;:!])|~")
_DECORATION = re.compile(r"[*`$\"“”'’_]|\\[()\[\]]")
_NOUN = re.compile(
    r"^(?:(?:most likely|probably|definitely|clearly|both|either)\s+)?(?:the\s+)?"
    r"(?:(?:correct|right|best)\s+)?(?:(?:options?|choices?|letters?|answers?)\b\s*(?:is|are)?:?)?\s*",
    re.IGNORECASE,
)
_ONE = r"\(?([A-Z])(?![A-Za-z0-9])\)?"
_FIRST = re.compile(rf"{_ONE}(?P<mark>[.):]?)")
_NEXT = re.compile(rf"(?:\s*[,;&]\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+|\s+){_ONE}(?P<mark>[.):]?)")
_LISTED = re.compile(r"(?:^|[,;\n]\s*|\band\s+)\(?([A-Z])[.):]\)?(?=\s)")
_TOGETHER = re.compile(r"[A-Z]{2,26}")
_ARTICLES = "AI"


def chosen(text: str, options: Sequence[str]) -> tuple[int, ...] | None:
    """Which of the options, as shown, a solution chooses, ascending; None where it chooses none, or it is unclear.

    The last tag, box or statement that says so counts; a solution that is but an answer needs none.
    """
    text = divide_by_any(text[-MOST_READ:]).answer
    for payload, is_sentence in _payloads(text):
        found = _read(payload, options, is_sentence)
        if found is not None:
            return found
    return None


def written(text: str) -> str | None:
    """The letters that a solution chooses, as in "A, C", without knowing the options; None where it chooses none."""
    found = chosen(text, [""] * len(LETTERS))
    return None if found is None else ", ".join(LETTERS[place] for place in found)


def _payloads(text: str) -> Iterator[tuple[str, bool]]:
    """What may hold the answer, the plainest first, and whether more of a sentence may follow in it."""
    tags = [next(filter(None, found.groups()), "") for found in _TAGS.finditer(text)]
    if tags:
        yield tags[-1], False
    box = last_box(text)
    if box is not None:
        yield box, False
    plain = _plain(text)
    said = [
        (found.start(), plain[found.end() :][:LONGEST_ANSWER])
        for cue in (_STATED, _CHOSEN)
        for found in cue.finditer(plain)
    ]
    said += [(found.start(), found[1]) for cue in (_IS_RIGHT, _THEREFORE) for found in cue.finditer(plain)]
    yield from ((payload, True) for _, payload in sorted(said, reverse=True))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    if lines:
        yield plain.strip(), False
        yield lines[-1], False
        yield lines[0], False


def _plain(text: str) -> str:
    """Without the marks of LaTeX and Markdown around letters."""
    text = _LATEX_SPACE.sub(" ", _LATEX_TEXT.sub("", text))
    return _DECORATION.sub("", text).replace("{", "").replace("}", "")


def _read(payload: str, options: Sequence[str], is_sentence: bool) -> tuple[int, ...] | None:
    """The options that a payload names by letters, or by the text of one."""
    plain = _NOUN.sub("", _plain(payload).strip(), count=1).strip()
    letters = _letters(plain, options, is_sentence)
    if letters is None:
        return _by_text(payload, options, is_sentence)
    places = sorted({LETTERS.index(letter) for letter in letters})
    return tuple(places) if places[-1] < len(options) else None


def _letters(plain: str, options: Sequence[str], is_sentence: bool) -> list[str] | None:
    """The letters at the beginning, if they are that."""
    if re.fullmatch(r"\(?[a-z]\)?[.):]*|(?:\(?[a-z]\)?\s*[,;&]\s*){1,25}\(?[a-z]\)?\.?", plain):
        return re.findall("[A-Z]", plain.upper())
    together = _TOGETHER.match(plain)
    if together and plain[together.end() :].strip(". ") == "" and len(set(together[0])) == len(together[0]):
        return None if _same(plain, options) else list(together[0])
    first = _FIRST.match(plain)
    if first is None:
        return None
    letters, end, marked = [first[1]], first.end(), first["mark"] or first[0].startswith("(")
    while following := _NEXT.match(plain, end):
        letters.append(following[1])
        end = following.end()
    rest = plain[end:].lstrip(".) ")
    if marked and len(letters) == 1:
        return [*letters, *_LISTED.findall(plain, end)] if rest else letters
    if not rest or plain[end : end + 1] in "\n,;.-–—":
        return letters
    return letters if is_sentence and not (len(letters) == 1 and letters[0] in _ARTICLES) else None


def _by_text(payload: str, options: Sequence[str], is_sentence: bool) -> tuple[int, ...] | None:
    """The option whose text a payload is; of a sentence up to its end, or up to the end of a line."""
    tries = [payload, payload.splitlines()[0] if payload.strip() else ""]
    if is_sentence:
        tries += [payload[: found.start()] for found in re.finditer(r"[.,;](?=\s|$)", payload[:LONGEST_ANSWER])]
    for words in tries:
        found = _same(words, options)
        if len(found) == 1:
            return tuple(found)
    return None


def _same(words: str, options: Sequence[str]) -> list[int]:
    """The options of the same text, but for case, marks and spaces."""
    wanted = normal(words)
    return [place for place, option in enumerate(options) if wanted and normal(option) == wanted]


def normal(text: str) -> str:
    """A text for comparison: without marks of LaTeX and Markdown, spaces and a full stop."""
    return "".join(_plain(text).lower().split()).strip(".")
