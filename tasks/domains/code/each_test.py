"""Runs behind a program in the sandbox, where this file's text is its tests: each test or call apart from the others.

Of tests it writes a line each, with its number and whether it passed; of calls a line with a digest of all results and
how many of them are values. A program that is written against it can claim what it likes, of itself alone.
"""

given = dict(globals())  # of the program; before this file defines anything

import hashlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from copyreg import dispatch_table  # noqa: E402
from itertools import islice  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MOST_ITEMS = 10_000  # of what may never end
NUMBERS = {("decimal", "Decimal"), ("fractions", "Fraction")}
BASES = (list, tuple, dict, set, frozenset)  # a class of theirs is equal to them


class Unknown(Exception):
    """Nothing tells a result from others, so that it is equal to none."""


class CutOff(BaseException):
    """One test took more CPU time than its share."""


def stop(*_: object) -> None:
    """Ends what runs."""
    raise CutOff


def told(mark: str, *words: object) -> None:
    """A line of results on standard output, wherever the program has left that."""
    os.write(1, f"\n{mark} {' '.join(map(str, words))}\n".encode())


def passes(test: str, seconds: float) -> bool:
    """Whether a test returns."""
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        exec(compile(test, "test", "exec", dont_inherit=True), dict(given))
    except BaseException:
        return False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return True


def result(call: str, seconds: float) -> "tuple[str, bool]":
    """What a call returns, in a form of its own, or the kind of its exception; and whether it is a value.

    Raises Unknown where nothing tells the value from others.
    """
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        return form(eval(compile(call, "call", "eval", dont_inherit=True), dict(given))), True
    except Unknown:
        raise
    except BaseException as error:
        return type(error).__name__, False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def form(value: "Any") -> str:
    """A value as text; unknown for one that is in itself, or nested too deep."""
    try:
        return canonical(value)
    except RecursionError:
        raise Unknown from None


def canonical(value: "Any") -> str:
    """A value as text: equal numbers alike, sets and mappings without an order, objects by what they hold."""
    if isinstance(value, (int, float)) or (type(value).__module__, type(value).__name__) in NUMBERS:
        return number(value)
    if value is None or isinstance(value, (str, bytes, complex)):
        return repr(value)
    kind = next((base.__name__ for base in BASES if isinstance(value, base)), type(value).__name__)
    return f"{kind}({', '.join(parts(value))})"


def number(value: "Any") -> str:
    """A number as its exact fraction; one that is none, as infinity, as it is written."""
    try:
        above, below = value.as_integer_ratio()
    except (OverflowError, ValueError):
        return str(value).lower().replace("infinity", "inf")
    return hex(above) if below == 1 else f"{hex(above)}/{hex(below)}"


def parts(value: "Any") -> "Iterable[str]":
    """What a collection or an object holds."""
    if isinstance(value, dict):
        return sorted(f"{canonical(key)}: {canonical(one)}" for key, one in value.items())
    if isinstance(value, (set, frozenset)):
        return sorted(map(canonical, value))
    if isinstance(value, BASES):
        return map(canonical, value)
    if hasattr(type(value), "__next__"):
        return map(canonical, islice(value, MOST_ITEMS))
    return held(value)


def held(value: "Any") -> "Iterable[str]":
    """What a copy of an object is made from, else how it is written. Raises Unknown where neither tells what it is."""
    if isinstance(value, type) and value.__module__ == "builtins":
        return [value.__name__]
    try:
        kind: Any = type(value)
        made: Any = dispatch_table[kind](value) if kind in dispatch_table else kind.__reduce_ex__(value, 2)
        maker, args, *rest = made  # or a name, and no value, of what there is but one of
        name = maker.__name__
        items = [None if one is None else list(one) for one in rest[1:3]]
    except Exception:
        a_view = type(value).__module__ == "builtins" and hasattr(type(value), "__iter__")
        return map(canonical, islice(value, MOST_ITEMS)) if a_view else written(value)
    if isinstance(value, type) or maker is getattr:  # a class, a method: what they do is not in them
        raise Unknown
    given_to = [one for one in args if one is not type(value)]
    if not given_to and all(one is None for one in (*rest[:1], *items)):
        return written(value)
    return [name, *map(canonical, (*given_to, *rest[:1], *items))]


def written(value: "Any") -> "list[str]":
    """How an object writes itself. Raises Unknown where that has an address, or is a mere description."""
    try:
        text = repr(value)
    except Exception:
        raise Unknown from None
    if text.startswith("<") or "0x" in text:
        raise Unknown
    return [text]


def run(mark: str, setup: str, tests: "list[str]", calls: "list[str]", seconds: float) -> None:
    """All tests, then all calls; a setup that fails leaves names undefined."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    signal.signal(signal.SIGPROF, stop)
    try:
        exec(compile(setup, "setup", "exec", dont_inherit=True), given)
    except Exception:
        sys.excepthook(*sys.exc_info())
    for number, test in enumerate(tests):
        told(mark, number, int(passes(test, seconds)))
    try:
        found = [result(call, seconds) for call in calls]
    except Unknown:
        return
    digest = hashlib.sha256("\n".join(text for text, _ in found).encode("utf-8", "surrogatepass")).hexdigest()
    if calls:
        told(mark, digest, sum(is_value for _, is_value in found))
