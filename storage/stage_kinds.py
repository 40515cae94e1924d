"""The kinds of stages. Their names are prefixes of keys and are stored in records, so none of them may change."""

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
    TEST = "test"
    GRADE = "grade"
    DECIDE = "decide"
    SELECT = "select"
    LABEL = "label"
    MEASURE = "measure"


Role = Literal["policy", "prm", "sandbox"]

# The engines that a stage of each kind needs; other kinds need none.
ENGINES_OF: Mapping[StageKind, tuple[Role, ...]] = {
    StageKind.SAMPLE: ("policy",),
    StageKind.SEARCH: ("policy", "prm"),
    StageKind.SCORE: ("prm",),
    StageKind.TEST: ("sandbox",),
    StageKind.LABEL: ("policy",),
}
MAKE_ROLLOUTS = frozenset({StageKind.SAMPLE, StageKind.SEARCH, StageKind.IMPORT})
# The tables that a stage of each kind may write; some runs, such as those without scores, write fewer.
TABLES_OF: Mapping[StageKind, frozenset[str]] = {
    StageKind.PROBLEMS: frozenset({"problems"}),
    StageKind.IMPORT: frozenset({"rollouts", "steps", "scores", "step_labels", "reported"}),
    StageKind.SAMPLE: frozenset({"rollouts", "steps", "nodes", "calls"}),
    StageKind.SEARCH: frozenset({"rollouts", "steps", "scores", "critiques", "nodes", "calls"}),
    StageKind.SCORE: frozenset({"scores", "critiques", "calls"}),
    StageKind.TEST: frozenset({"test_results", "calls"}),
    StageKind.GRADE: frozenset({"answers", "grades"}),
    StageKind.DECIDE: frozenset({"decisions"}),
    StageKind.SELECT: frozenset({"groups", "selections", "estimates"}),
    StageKind.LABEL: frozenset({"step_labels", "calls"}),
    StageKind.MEASURE: frozenset({"prm_metrics"}),
}


def may_hold(key: str, table: str) -> bool:
    """Whether the stage at a key may hold rows of a table; one of a kind that only a later version has may."""
    kind = key.partition("-")[0]
    return kind not in set(StageKind) or table in TABLES_OF[StageKind(kind)]
