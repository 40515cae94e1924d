"""Parses a `method_id`: `beam_search-n16-m4` is the method, its budget and its other parameters, split by dashes.

No other module parses one. Recipes' methods (`tasks/recipes/methods.py`) and imports make them.
"""

import re

NAME_SQL = "split_part(method_id, '-', 1)"  # `method_name` in SQL
FAMILY_SQL = r"regexp_replace(method_id, '-n\d+', '')"  # `family` in SQL


def method_name(method_id: str) -> str:
    """The method without its parameters: `beam_search`."""
    return method_id.partition("-")[0]


def family(method_id: str) -> str:
    """The method with all parameters but its budget, one curve of a figure: `beam_search-m4`."""
    return re.sub(r"-n\d+", "", method_id, count=1)
