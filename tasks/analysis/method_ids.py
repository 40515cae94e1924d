"""What a `method_id` says: `beam_search-n16-m4` is the method, its budget and its other parameters, dash by dash.

Nothing else takes one apart. The methods of a recipe make them (`tasks/recipes/methods.py`), and imports do.
"""

import re

NAME_SQL = "split_part(method_id, '-', 1)"  # what `method_name` gives
FAMILY_SQL = r"regexp_replace(method_id, '-n\d+', '')"  # what `family` gives


def method_name(method_id: str) -> str:
    """The method without its parameters: `beam_search`."""
    return method_id.partition("-")[0]


def family(method_id: str) -> str:
    """The method with all parameters but its budget, one curve of a figure: `beam_search-m4`."""
    return re.sub(r"-n\d+", "", method_id, count=1)
