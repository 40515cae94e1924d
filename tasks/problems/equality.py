"""Are two answers equal mathematically? math-verify decides, in a child process that can be cut off.

Symbolic comparison can take forever on hostile or unlucky input, and no time limit inside a thread can stop it; so it
runs in a process of its own, bounded in time and memory, which is killed and replaced when it exceeds them.
"""

import json
import re
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal

from tasks.errors import UserError

Verdict = Literal["equal", "different", "unknown"]
Compare = Callable[[str, str], Verdict]

START_LIMIT_SECONDS = 120.0
_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?")


def plain_number(answer: str) -> Decimal | None:
    """The value of an answer that is a plain decimal number, else None."""
    text = answer.strip().strip("$").strip()
    return Decimal(text) if _PLAIN_NUMBER.fullmatch(text) else None


class EqualityJudge:
    """Compares answers, remembering verdicts. Use as a context manager; not for several threads at once."""

    def __init__(self, time_limit: float = 5.0) -> None:
        self._time_limit = time_limit
        self._child: Any = None
        self._known: dict[tuple[str, str], Verdict] = {}

    def __enter__(self) -> "EqualityJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def compare(self, reference: str, answer: str) -> Verdict:
        """Whether `answer` equals `reference`; `unknown` where that took longer than the limit or broke the child."""
        if reference == answer:
            return "equal"
        numbers = plain_number(reference), plain_number(answer)
        if None not in numbers:
            return "equal" if numbers[0] == numbers[1] else "different"
        pair = (reference, answer)
        if pair not in self._known:
            self._known[pair] = self._ask(pair)
        return self._known[pair]

    def _ask(self, pair: tuple[str, str]) -> Verdict:
        try:
            child = self._child or self._start()
            child.stdin.write(json.dumps(pair) + "\n")
            child.stdin.flush()
            verdict = self._read(child, self._time_limit)
        except BrokenPipeError:
            verdict = None
        if verdict is None:  # too slow, or dead of hunger: the verdict is unknown, and said to be
            self._stop()
            return "unknown"
        return "equal" if verdict else "different"

    def _start(self) -> Any:
        # -P: a sympy.py in the user's folder must not be taken for SymPy.
        command = [sys.executable, "-P", "-m", "tasks.problems.judge"]
        self._child = subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self._read(self._child, START_LIMIT_SECONDS) is None:
            self._stop()
            raise UserError(f"cannot compare answers: `{' '.join(command)}` does not start; pip install math-verify")
        return self._child

    @staticmethod
    def _read(child: Any, limit: float) -> Any:
        readable, _, _ = select.select([child.stdout], [], [], limit)
        line = child.stdout.readline() if readable else ""
        return json.loads(line) if line.endswith("\n") else None

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            with suppress(BrokenPipeError):  # what was not sent to a dead child need not be
                child.stdin.close()
            child.stdout.close()


def group_answers(answers: list[str | None], known: list[str], compare: Compare) -> list[str | None]:
    """A key for each answer, equal where the answers are equal: the first of the equal ones, in order.

    `known` holds the keys of earlier answers to the same problem and is extended. An answer whose equality with a key
    is unknown gets a key of its own.
    """
    keys: list[str | None] = []
    for answer in answers:
        if answer is None:
            keys.append(None)
            continue
        key = next((candidate for candidate in known if compare(candidate, answer) == "equal"), None)
        if key is None:
            known.append(answer)
        keys.append(answer if key is None else key)
    return keys
