"""Runs behind a program in the sandbox, where this file's text is its tests: each test or call apart from the others.

Of tests it writes a line each, with its number and whether it passed; of calls a line with a digest of all results and
how many of them are values. A program that is written against it can claim what it likes, of itself alone.
"""

given = dict(globals())  # of the program; before this file defines anything

import hashlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from itertools import islice  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MOST_ITEMS = 10_000  # of what may never end
BASES = (list, tuple, dict, set, frozenset)  # a class of theirs is equal to them


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
    """What a call returns, in a form of its own, or the kind of its exception; and whether it is a value."""
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        return canonical(eval(compile(call, "call", "eval", dont_inherit=True), dict(given))), True
    except BaseException as error:
        return type(error).__name__, False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def canonical(value: "Any") -> str:
    """A value as text: equal numbers alike, sets and mappings without an order, objects by what they hold."""
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return hex(int(value))
    if value is None or isinstance(value, (str, bytes, float, complex)):
        return repr(value)
    kind = next((base.__name__ for base in BASES if isinstance(value, base)), type(value).__name__)
    return f"{kind}({', '.join(parts(value))})"


def parts(value: "Any") -> "Iterable[str]":
    """What a collection or an object holds."""
    if isinstance(value, dict):
        return sorted(f"{canonical(key)}: {canonical(one)}" for key, one in value.items())
    if isinstance(value, (set, frozenset)):
        return sorted(map(canonical, value))
    if hasattr(type(value), "__iter__"):
        return map(canonical, islice(value, MOST_ITEMS))
    return [canonical(vars(value))] if hasattr(value, "__dict__") else []


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
    found = [result(call, seconds) for call in calls]
    digest = hashlib.sha256("\n".join(text for text, _ in found).encode("utf-8", "surrogatepass")).hexdigest()
    if calls:
        told(mark, digest, sum(is_value for _, is_value in found))
