"""The reference answer of a row: a text, or a number or list as a text that keeps its value."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from overthink.tasks.datasets.input_files import WrittenFloat
from overthink.tasks.datasets.rows import present_field, text_field
from overthink.tasks.errors import ProblemError

MOST_PLACES = 50  # of a number that is written out
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def reference_field(where: str, row: Mapping[str, Any], field: str) -> str:
    """A row's reference: text as it is, numbers as they were written but without exponents, a list as `a, b`.

    Raises ProblemError naming place and field of what is missing, empty, or neither text, number nor a list of them.
    """
    value = present_field(where, row, field)
    if not isinstance(value, (list, tuple, np.ndarray)):
        return _plain(value, text_field(where, row, field))
    parts = {f"{field}.{index}": each for index, each in enumerate(value)}
    if not parts:
        raise ProblemError(f"{where}: field {field!r} is an empty list: name an answer")
    texts = [_plain(each, text_field(where, parts, name)) for name, each in parts.items()]
    if len(texts) == 1:
        return texts[0]
    # A comma between digits would split one number into two answers.
    return ", ".join(text.replace(",", "") if _GROUPED.fullmatch(text) else text for text in texts)


def _plain(value: Any, text: str) -> str:
    """A number's text without an exponent, unless it had more than MOST_PLACES; any other text as it is."""
    if isinstance(value, str):
        return text
    written = value.written if isinstance(value, WrittenFloat) else text
    if "e" not in written.lower():
        return written
    number = Decimal(written)
    return format(number, "f") if abs(number.adjusted()) <= MOST_PLACES else written
