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


Role = Literal["policy", "prm"]

# Whose time a stage takes; a stage of any other kind needs no engine.
ENGINES_OF: Mapping[StageKind, tuple[Role, ...]] = {
    StageKind.SAMPLE: ("policy",),
    StageKind.SEARCH: ("policy", "prm"),
    StageKind.SCORE: ("prm",),
    StageKind.LABEL: ("policy",),
}
MAKE_ROLLOUTS = frozenset({StageKind.SAMPLE, StageKind.SEARCH, StageKind.IMPORT})
# What a stage of a kind may write; one of a run without scores, say, writes less.
TABLES_OF: Mapping[StageKind, frozenset[str]] = {
    StageKind.PROBLEMS: frozenset({"problems"}),
    StageKind.IMPORT: frozenset({"rollouts", "steps", "scores", "step_labels", "reported"}),
    StageKind.SAMPLE: frozenset({"rollouts", "steps", "calls"}),
    StageKind.SEARCH: frozenset({"rollouts", "steps", "scores", "nodes", "calls"}),
    StageKind.SCORE: frozenset({"scores", "calls"}),
    StageKind.GRADE: frozenset({"answers", "grades"}),
    StageKind.DECIDE: frozenset({"decisions"}),
    StageKind.SELECT: frozenset({"groups", "selections", "estimates"}),
    StageKind.LABEL: frozenset({"step_labels", "calls"}),
    StageKind.MEASURE: frozenset({"prm_metrics"}),
}
