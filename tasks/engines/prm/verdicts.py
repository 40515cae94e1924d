"""What a critique of a whole solution says of its steps, and the mean of what several say."""

import re
from collections.abc import Sequence

_STEP = re.compile(r"\bstep\s+(\d+)\s*[*_]*:", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(correct|incorrect)\s*\}", re.IGNORECASE)
_MOST_DIGITS = 9  # of the number of a step; Python reads no number of thousands of digits


def step_verdicts(text: str, count: int) -> list[bool | None]:
    r"""What a critique of a whole solution says of each of its `count` steps, None where it does not say.

    Under a heading "Step 2:" the last \boxed{correct} or \boxed{incorrect} is the verdict. Behind a wrong step the
    solution is wrong, whatever is said of later ones.
    """
    said: dict[int, bool] = {}
    _, *pieces = _STEP.split(text)
    for number, judged in zip(pieces[::2], pieces[1::2], strict=True):
        words = _BOXED.findall(judged)
        if words and len(number) <= _MOST_DIGITS:
            said[int(number)] = words[-1].lower() == "correct"
    verdicts: list[bool | None] = []
    for number in range(1, count + 1):
        verdicts.append(False if False in verdicts else said.get(number))
    return verdicts


def mean(scores: Sequence[float | None]) -> float | None:
    """The mean of the known ones, None where all are unknown."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
