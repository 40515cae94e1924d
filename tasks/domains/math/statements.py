"""An answer that is said in words: "the answer is 42", "**Final Answer**: 42", "#### 42"."""

import re
from collections.abc import Callable

from overthink.tasks.domains.math.sentences import first_sentence

Said = Callable[[str, int], str | None]  # what a text says from a place on, behind "the answer is"
MOST_STATEMENTS = 50  # of which the last that says something counts
LONGEST_STATEMENT = 4000  # characters
MOST_WORDS = 6  # of an answer that begins with a word

_ANSWER = r"(?:answers?|(?:final|required|desired|correct|right) (?:result|value|solution|option|choice))"
_OF = (  # to the problem, for "how many?", we are looking for
    r"(?: (?:to|for|of|in)\b(?![^.\n]{0,80}\b(?:whether|if|when|where|depends?|can|could|must|because|since|we|you)\b)"
    r"(?:\"[^\"\n]{1,120}\"|“[^”\n]{1,120}”|\$[^$\n]{1,80}\$|[^.,!?\n:=\"“”$]){1,80}?"
    r"|(?: that| which)? (?:we|you|I) (?:(?:are|were) )?\w+(?: \w+){0,3}?)"
)
_STATED = re.compile(
    rf"\b{_ANSWER}\b(?:[ \t]?\([^()\n]{{1,40}}\))?{_OF}?[ \t*_]{{0,9}}"
    r"(?:\b(?:(?:is|are|was|would be|should be|will be|must be) (?:equal to|given by)|is|are|was|would be|should be"
    r"|will be|must be|must equal|equals|(?:comes|works|turns) out (?:to be|to|as)|comes to"
    r"|can be (?:written|expressed) as)\b"
    r"|[:=：→]|[-–—]+[ \t](?=[-\d$\\*(]))"
    r"|<answer>|\bans(?:\.|[ \t]?[:=：])|^[#*_ \t]{0,9}(?:the |my )?(?:final )?(?:answer|result)[#*_ \t]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
_CALLED = re.compile(
    r"[ \t](?:as|is|are)[ \t](?:thus[ \t]|therefore[ \t])?(?:the|our|my)[ \t]"
    r"(?:(?:final|correct|required)[ \t])?answer\b",
    re.IGNORECASE,
)
LONGEST_CALLED = 200  # characters of the value before "is the answer"
_NUMBER = r"[-+]?\\?[$€£]?\s?[-+]?\.?\d[\d,]*(?:\.\d+)?(?:/\d+)?\s?(?:\\?%)?"
_APPOSED = re.compile(  # the answer, 42, is correct
    rf"\b{_ANSWER},[ \t](?P<value>{_NUMBER}|\$[^$\n]{{1,80}}\$|\\\([^\n]{{1,80}}?\\\)|\*\*[^*\n]{{1,80}}\*\*),"
    r"[ \t](?:is|are|was)\b(?! (?:not|wrong|incorrect)\b)",
    re.IGNORECASE,
)
_MARKED = re.compile(r"^[ \t]{0,9}####(?!#)[ \t]{0,9}(?P<value>\S.{0,80})$", re.MULTILINE)
_MARKED_VALUE = re.compile(rf"(?P<value>{_NUMBER}(?: ?[a-z]{{1,15}}){{0,3}})\.?(?:\s+\(.*\))?\s*")
_LEADING = re.compile(
    r"(?:\s|[:：},≈~]|(?:approx|ca)\.(?=\s)|(?:of course|therefore|thus|hence|simply|just|indeed|then|now|exactly"
    r"|approximately|about|around|roughly)\b,?|(?:option|choice)\s(?=[(*]{0,3}[A-Z]\b)"
    r"|that\s(?=\$|\\[(\[]|[-+]?\d|[A-Za-z]\s?=))*",
    re.IGNORECASE,
)
_MATHEMATICS = re.compile(
    r"\$\$(?P<a>[^$]+)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)|\$(?P<d>(?:\\.|[^$\\])+)\$", re.DOTALL
)
_VALUE_BEFORE = re.compile(
    rf"(?<![\w.,^/)}}$])(?:{_MATHEMATICS.pattern}|\*\*(?P<e>[^*\n]+)\*\*|(?P<f>{_NUMBER}!?(?: [a-z]{{2,15}})?))\Z",
    re.DOTALL,
)
_JOINED = re.compile(r"\s{0,3}(?:,|;|and\b|or\b|, ?and\b|, ?or\b)\s{0,3}")
BOLD = re.compile(r"\*\*(?!\s)(?P<a>[^\n]+?)(?<!\s)\*\*(?!\w)|`(?P<b>[^`\n]+)`|\*(?!\s)(?P<c>[^*\n]+)(?<!\s)\*")
_REMARK = re.compile(
    r",?\s+(?:since|because|as|so|which|where|when|for|if|after|that|with|but|by|from|given|due|thus|hence|therefore|i\.e"
    r"|namely|making|meaning|we|according|based|not|is)\b|,\s+(?:and|or)\s+(?:the|this|that|it|we)\b"
    r"|,?\s+and\s+(?:no\s+\w|not\s|nothing\b|none\b)"
    r"|\s+\((?=[^()\\]*[A-Za-z]{3})[^()\\]*\)\s*$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"(?:your|the|my|final|correct|numeric(?:al)?|short|insert|put|here|answer|ans|value|result|solution|expression|number"
    r"|goes|write|in|[\W_])+",
    re.IGNORECASE,
)
_ASKS_FOR_ANSWER = re.compile(r"answer|\bans\b|\byour\b|\bhere\b", re.IGNORECASE)
NO_ANSWER = re.compile(
    r"(?:(?:in)?correct|right|wrong|(?:in)?valid|reasonable|plausible|sensible|consistent|helpful|useful|clear|obvious"
    r"|unique|independent|not|in|on|at|to|given|found|obtained|as|that|because|since|always|expressed|expected|required"
    r"|supposed|needed|based|written|also|what|this|it|there|simplified|likely|probably|verified|confirmed|known|of"
    r"|definitely|certainly|still|already|below|above|here|one of|between|close|equal|clearly|the same|wanted|asked|I"
    r"|we|you|let|greater than|less than"
    r"|an? (?:\w+ )?(?:integer|number|fraction|value|ratio|function|expression|multiple))\b",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"\\(?:text|mbox|mathrm|operatorname|textbf|begin|end)\s?\{[^{}]*\}|\\[A-Za-z]+")
_BLANKS = re.compile(r"\\(?:q?quad|[hv]space\{[^{}]*\}|text|mathrm|mbox|ldots|dots|cdots)(?![A-Za-z])")
_PROSE = re.compile(r"[A-Za-z]{3,}")
_MONEY_PROSE = re.compile(r"[A-Za-z]{3,}|\bor\s*$")
_AMOUNTS = re.compile(r"(\\?\$[\d,.]*\d)(?=[\s,;])(?P<between>[^$]*)\$\d")
_BEGINS_WITH_WORD = re.compile(r"[A-Za-z]{2,}")
_POLITE = re.compile(r"(?:i hope|hope|let me know|feel free|thank|good luck|best of luck)\b[^\n]*$", re.IGNORECASE)


def is_answer(content: str) -> bool:
    """Whether a text says anything: a letter, digit or empty set, and not the word "answer" where one should stand."""
    content = _BLANKS.sub(" ", content)
    if not re.search(r"[^\W_]|[∞∅]|\\\{\s*\\\}", content):
        return False
    return not (_PLACEHOLDER.fullmatch(content) and _ASKS_FOR_ANSWER.search(content))


def stated_answer(text: str, said: Said) -> str | None:
    """What the last statement of an answer says, or a text that is nothing but a value; None without either."""
    found = [statement for pattern in (_STATED, _CALLED, _APPOSED, _MARKED) for statement in pattern.finditer(text)]
    found = sorted(found, key=lambda one: one.end())[-MOST_STATEMENTS:]
    last: str | None = None
    following: re.Match[str] | None = None
    for statement in reversed(found):
        if last is not None and following is not None and not _is_reason(text[statement.end() : following.start()]):
            return last
        answer = _said_by(statement, text, said)
        if answer is not None:
            last, following = answer, statement
    return last or _alone(text)


def _said_by(statement: re.Match[str], text: str, said: Said) -> str | None:
    if statement.re is _MARKED:
        return _marked(statement)
    if statement.re is _APPOSED:
        return said(statement["value"], 0)
    return _called(text, statement.start()) if statement.re is _CALLED else said(text, statement.end())


def _called(text: str, end: int) -> str | None:
    """The formula, bold text or number with a unit that ends there, and is called the answer."""
    value = _VALUE_BEFORE.search(text[max(0, end - LONGEST_CALLED) : end])
    answer = None if value is None else next(inner for inner in value.groups() if inner is not None).strip()
    return answer if answer is not None and _acceptable(answer) else None


def _is_reason(between: str) -> bool:
    """Whether what follows in the same sentence is why: "the answer is 42, since the answer is even"."""
    return _REMARK.search(between) is not None and first_sentence(between) == between


def without_statement(content: str, said: Said) -> str:
    """What a box says, without "the answer is" in front of it."""
    statement = _STATED.search(content)
    return content if statement is None else said(content, statement.end()) or content


def _marked(statement: re.Match[str]) -> str | None:
    """A number behind GSM8K's mark; the same mark is a heading in Markdown."""
    value = _MARKED_VALUE.fullmatch(statement["value"])
    return None if value is None else value["value"].strip()


def said_value(text: str, begin: int) -> str | None:
    """The answer with which the text from `begin` on starts, or None where that is none."""
    text = text[begin : begin + LONGEST_STATEMENT].partition("</answer>")[0]
    text = text[_end_of(_LEADING, text) :]
    bold = BOLD.match(text)
    if bold is None and (unmarked := text.lstrip("*_")) != text:
        text = unmarked[_end_of(_LEADING, unmarked) :]
        bold = BOLD.match(text)
    if bold is not None:
        text = next(inner for inner in bold.groups() if inner is not None)
    answer = in_mathematics(text) or _in_words(text)
    return answer if _acceptable(answer) else None


def _acceptable(answer: str) -> bool:
    if not is_answer(answer) or NO_ANSWER.match(answer) or re.search(r"\\(?:boxed|fbox)", answer):
        return False
    return not _BEGINS_WITH_WORD.match(answer) or len(_PROSE.findall(answer)) <= MOST_WORDS


def in_mathematics(text: str) -> str | None:
    """What the formulas at the beginning hold, joined by commas; None without one. A dollar before prose is money."""
    found: list[str] = []
    place = 0
    while formula := _formula(text, place):
        content, place = formula
        found.append(content.strip())
        joined = _JOINED.match(text, place)
        if joined is None:
            break
        after = joined.end()
        if _formula(text, after) is None:
            break
        place = after
    if not found:
        return None
    unit = re.match(r"\\?%|°", text[place:])
    return ", ".join(found).rstrip(".,") + (unit[0] if unit else "")


def _formula(text: str, place: int) -> tuple[str, int] | None:
    found = _MATHEMATICS.match(text, place)
    if found is None:
        return None
    content = next(inner for inner in found.groups() if inner is not None)
    if found["d"] is not None and _MONEY_PROSE.search(_COMMAND.sub(" ", content)):
        return None
    return content, found.end()


def _in_words(text: str) -> str:
    """The first sentence, up to the reason that it gives."""
    sentence = first_sentence(text)
    for remark in _REMARK.finditer(sentence):
        before = sentence[: remark.start()]
        if before.count("{") == before.count("}") and is_answer(before):
            sentence = before
            break
    sentence = sentence.strip().strip("*`").strip().rstrip(",:")
    sentence = sentence.removesuffix("$$") if sentence.count("$$") == 1 else sentence
    amounts = _AMOUNTS.match(sentence)
    if amounts and re.search(r"[a-z]{2}", re.sub(r"\b(?:and|or)\b", "", amounts["between"])):
        sentence = amounts[1]
    if sentence.count("$") % 2 or re.match(r"\$\d[^$]*\$\d", sentence):
        sentence = re.sub(r"(?<!\\)\$", "", sentence)
    return sentence.strip()


def _alone(text: str) -> str | None:
    """The value where a text is nothing but one: a number, or something in formula marks or bold."""
    text = _POLITE.sub("", text[-LONGEST_STATEMENT:]).strip(" \t\n.…") if len(text) <= LONGEST_STATEMENT else ""
    if number := re.fullmatch(_NUMBER, text):
        return number[0].strip()
    bold = BOLD.fullmatch(text)
    inner = text if bold is None else next(one for one in bold.groups() if one is not None)
    formula = _formula(inner, 0)
    if formula is not None and formula[1] == len(inner):
        inner = formula[0]
    elif bold is None:
        return None
    return inner.strip() if _acceptable(inner.strip()) else None


def _end_of(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return 0 if found is None else found.end()
