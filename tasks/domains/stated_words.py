"""What a statement of an answer in words says: "The answer is J.K. Rowling. She wrote it." says "J.K. Rowling"."""

import re

from overthink.tasks.domains.math.statements import (
    BOLD,
    LONGEST_STATEMENT,
    NO_ANSWER,
    in_mathematics,
    is_answer,
)

MOST_WORDS = 12
_LEADING = re.compile(
    r"(?:[\s:：},]|(?:of course|therefore|thus|hence|simply|just|indeed|then|now|exactly|approximately|about|roughly)"
    r"\b,?)*"  # in lower case, as no title begins
)
_ANNOUNCED = re.compile(r"[ \t*_]*[:：=]")
_END = re.compile(r"[.!?](?=\s)|[;\n](?=\s|$)|\n")
_TITLES = (
    "adm|capt|cmdr|col|dr|fr|ft|gen|gov|hon|lt|maj|messrs|mlle|mme|mr|mrs|ms|mt|pres|prof|rep|rev|sen|sgt|st|sta|ste"
)
_SHORTENED = re.compile(  # at the end of what stands before a full stop; an initial is one letter
    rf"(?:^|(?<=[\s(\"“'‘*-]))(?:{_TITLES}|jr|sr|inc|ltd|co|corp|bros|vs|ave|blvd|approx|ph\.d|(?:[^\W\d_]\.)*[^\W\d_])$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\b(?:nos?|op|vol|ch|pp?)$", re.IGNORECASE)  # before a number
_OPENS_SENTENCE = re.compile(
    r"\s+(?:A|An|The|This|That|These|Those|It|He|She|They|We|I|You|His|Her|Its|Their|My|Our|There|Here|So|Thus|Hence"
    r"|Therefore|However|Because|Since|As|At|By|For|From|If|In|On|To|When|While|Both|All|But|And|Let|Please|Hope"
    r"|Explanation|Reason|Note)(?=[\s,:'’])"
)
_REMARK = re.compile(
    r",?\s+(?:because|since)\b|,?\s+(?:as|so|but)\s+(?:it|he|she|they|this|that|we|the)\b"
    r"|,\s+(?:as|so|which|where|who|whose|when|thus|hence|therefore|i\.e|namely|making|meaning|according|based|given|not)\b"
    r"|\s+\((?=[^()\\]*[A-Za-z]{3})[^()\\]*\)\W*$"
)
_CLAUSE = re.compile(r"(?:I|we|you|it|this|that|there|let)(?:'\w+)? [a-z]", re.IGNORECASE)


def said_words(text: str, begin: int) -> str | None:
    """The answer with which the text from `begin` on starts, or None where that is none.

    It runs to the end of the line, or to a mark at which a sentence ends; a full stop behind an initial, a title or
    another shortened word is none, but where a word that opens sentences follows. Behind a colon every answer is one.
    """
    rest = text[begin : begin + LONGEST_STATEMENT].partition("</answer>")[0]
    announced = text[:begin].endswith((":", "：", "=", "→")) or _ANNOUNCED.match(rest) is not None
    rest = _LEADING.sub("", rest, count=1)
    bold = BOLD.match(rest)
    if bold is None and (unmarked := rest.lstrip("*_")) != rest:
        rest = _LEADING.sub("", unmarked, count=1)
        bold = BOLD.match(rest)
    if bold is not None:
        rest = next(inner for inner in bold.groups() if inner is not None)
    answer = in_mathematics(rest) or _sentence(rest)
    return answer if _is_said(answer, announced) else None


def _is_said(answer: str, announced: bool) -> bool:
    if not is_answer(answer) or _CLAUSE.match(answer) or len(answer.split()) > MOST_WORDS or "\\boxed" in answer:
        return False
    return announced or answer[:2].istitle() or not NO_ANSWER.match(answer)


def _sentence(text: str) -> str:
    """The first sentence, up to the reason that it gives, without the mark at its end."""
    end = next((one.start() for one in _END.finditer(text) if _ends(text, one.start())), len(text))
    sentence = text[:end]
    for remark in _REMARK.finditer(sentence):
        if is_answer(before := sentence[: remark.start()]):
            sentence = before
            break
    return sentence.strip().strip("*`").strip().rstrip(".!?,:")


def _ends(text: str, place: int) -> bool:
    """Whether a sentence ends at a mark."""
    before, after = text[:place], text[place + 1 :]
    if text[place] != ".":
        return True
    if _NUMBERED.search(before):
        return re.match(r"\s+\d", after) is None
    return _SHORTENED.search(before) is None or _OPENS_SENTENCE.match(after) is not None
