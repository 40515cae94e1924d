"""The options of a row, and which of them the data call right."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from overthink.tasks.domains.choice.letters import LETTERS

CountFrom = Literal[0, 1]
_LETTER_LIST = re.compile(r"\(?[A-Z]\)?\.?(?:\s*[,;]?\s*\(?[A-Z]\)?\.?)*")


def options_of(value: Any) -> tuple[str, ...]:
    """The options of a row, in its order: those of a list, the keys of a mapping to scores, or of letters to texts.

    Raises ValueError where there are too few or too many, or one is no text.
    """
    if value is None:
        raise ValueError(
            "it has no options: name their column, as in columns.options = choices, or --map options=choices for a file"
        )
    if isinstance(value, Mapping):
        value = list(value.values() if all(isinstance(one, str) for one in value.values()) else value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"its options are a {type(value).__name__}: a list is wanted, a mapping, or a column each")
    texts = tuple(_text(place, one) for place, one in enumerate(value))
    if not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f"it has {len(texts)} options: 2 to {len(LETTERS)} can be told apart by letters")
    return texts


def _text(place: int, option: Any) -> str:
    if isinstance(option, bool) or not isinstance(option, str | int | float) or not str(option).strip():
        raise ValueError(f"its option {LETTERS[place % len(LETTERS)]} is {option!r}: a text is wanted")
    return str(option).strip()


def right_places(answer: Any, options: Sequence[str], count_from: CountFrom | None) -> tuple[int, ...]:
    """The places of the right options, ascending: of an index, a letter, an option's text, several, or scores.

    Raises ValueError for what is no option, or could be more than one.
    """
    if isinstance(answer, Mapping):
        scores = list(answer.values())
        if len(scores) != len(options) or not all(isinstance(score, int | float) for score in scores):
            raise ValueError("its answer has not one score for each option")
        places = {place for place, score in enumerate(scores) if score > 0}
    elif isinstance(answer, list | tuple):
        places = {_place(one, options, count_from) for one in answer}
    elif isinstance(answer, str) and not _candidates(answer, options, count_from) and _LETTER_LIST.fullmatch(answer):
        places = {_place(letter, options, count_from) for letter in re.findall("[A-Z]", answer)}
    else:
        places = {_place(answer, options, count_from)}
    if not places:
        raise ValueError("none of its options is right")
    return tuple(sorted(places))


def _place(answer: Any, options: Sequence[str], count_from: CountFrom | None) -> int:
    found = _candidates(answer, options, count_from)
    if len(found) == 1:
        return found.pop()
    if not found and isinstance(answer, str) and answer.strip().isdecimal():
        raise ValueError(f"its answer {answer!r} may count options from 0 or 1: say domain_options.count_from")
    if not found:
        raise ValueError(f"its answer {answer!r} is none of its {len(options)} options")
    named = " or ".join(LETTERS[place] for place in sorted(found))
    raise ValueError(f"its answer {answer!r} may be option {named}: give its number instead, counted from 0")


def _candidates(answer: Any, options: Sequence[str], count_from: CountFrom | None) -> set[int]:
    """What a single answer may mean: a number its place, a text a letter or an option's text."""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return set()
    if isinstance(answer, str):
        text = answer.strip()
        found = {place for place, option in enumerate(options) if option == text}
        letter = re.fullmatch(r"\(?([A-Z])\)?\.?", text)
        found |= {LETTERS.index(letter[1])} if letter else set()
        found |= {int(text) - count_from} if count_from is not None and text.isdecimal() else set()
    else:
        found = {int(answer) - (count_from or 0)} if answer == int(answer) else set()
    return found & set(range(len(options)))
