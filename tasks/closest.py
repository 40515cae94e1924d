"""The name that somebody perhaps meant by one that does not exist, and how messages offer it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHORTEST = 2  # letters: one is like everything
LOOKED_AT = 5000  # names of many that are compared: 0.1 s
SUCH_AS = 3


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, or the only one that begins with it; None where none is."""
    by_small = {one.lower(): one for one in known}
    wanted = name.lower()
    if len(wanted) < SHORTEST:
        return None
    alike = get_close_matches(wanted, by_small, 1) or [one for one in by_small if one.startswith(wanted)]
    return by_small[alike[0]] if len(alike) == 1 else None


def which(name: str, known: Iterable[str]) -> str:
    """What a message ends with whose place has no `name`: the name that was perhaps meant, else all there are."""
    names = list(dict.fromkeys(known))
    if not names:
        return "there is none"
    meant = closest(name, names)
    return f"name one of {', '.join(names)}" if meant is None else f"did you mean {meant}?"


def which_of_many(name: str, known: Sequence[str]) -> str:
    """`which` where there may be too many to list: the one that was perhaps meant, else the first of them."""
    meant = closest(name, known[:LOOKED_AT])
    if meant is not None:
        return f"did you mean {meant}?"
    return f"name one, such as {', '.join(known[:SUCH_AS])}" if known else "there is none"
