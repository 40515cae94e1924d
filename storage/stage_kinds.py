"""The kinds of stages that a run stands on. Their names begin keys and lie in records, so none of them may change."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal


class StageKind(StrEnum):
    """What a stage makes."""

    PROBLEMS = "problems"
    IMPORT = "import"
    SAMPLE = "sample"
    SEARCH = "search"
    SCORE = "score"
    GRADE = "grade"
    DECIDE = "decide"
    SELECT = "select"
    LABEL = "label"
    MEASURE = "measure"


# Whose time a stage takes; a stage of any other kind needs no engine.
ENGINES_OF: Mapping[StageKind, tuple[Literal["policy", "prm"], ...]] = {
    StageKind.SAMPLE: ("policy",),
    StageKind.SEARCH: ("policy", "prm"),
    StageKind.SCORE: ("prm",),
    StageKind.LABEL: ("policy",),
}
MAKE_ROLLOUTS = frozenset({StageKind.SAMPLE, StageKind.SEARCH, StageKind.IMPORT})
