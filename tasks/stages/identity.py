"""The identities whose hashes are the stages' keys: all that determines a stage's content, and nothing else."""

import json
from collections.abc import Iterable
from typing import Any

from overthink.storage.files import read_json
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.recipes.grading import grader_of

JsonObject = dict[str, Any]
Graders = frozenset[str]

# What version 0.1 had in its keys. It follows no schema: a column that is added changes no key.
KEY_VERSION = 2

# Versions of our own code where it determines a stage's content: raise one whenever its results change. Only versions
# above 1 enter keys, so that stages of earlier releases keep their keys. Domains have their own versions.
VERSIONS = {
    "extraction": 2,  # tasks/domains/math/extraction.py, which stops `adaptive`
    "candidates": 1,  # tasks/methods/candidates.py: which drawn steps count, and when a path ends
    "reasoning": 1,  # tasks/methods/thinking.py and drawn_steps.py, of policies that think
    "revisions": 1,  # tasks/methods/revising.py, self_refine.py, self_verify.py and sequential_revisions.py
    "decision": 1,  # tasks/strategy/decisions.py, tasks/analysis/difficulty.py and allocation.py
    "labels": 1,  # tasks/stages/label.py, tasks/methods/continuations.py
    "selection": 2,  # tasks/stages/select.py and choosing.py, tasks/analysis/selectors.py and estimators.py
    "rollout_measures": 2,  # tasks/stages/measure.py: a PRM measured on graded rollouts
    "solution_measures": 1,  # and on labelled solutions
}


def stage_identity(kind: StageKind, **determinants: Any) -> JsonObject:
    """The identity that a stage's key is the hash of."""
    return {"schema_version": KEY_VERSION, "stage": kind, **determinants}


def own_code(*parts: str) -> JsonObject:
    """The versions of the named parts of our own code, for an identity."""
    later = {part: VERSIONS[part] for part in parts if VERSIONS[part] > 1}
    return {"code": later} if later else {}


def current_graders(run: Run) -> Graders:
    """Today's grader and selection for a run. Raises UserError where the package of its domain is not installed."""
    return frozenset({_grader({"grader": grader_of(run.recipe).identity()}), _grader(own_code("selection"))})


def graders_of(store: Store, uses: Iterable[StageUse]) -> Graders:
    """The graders and selections behind some grade and select stages; equal ones make figures comparable.

    Raises StorageError where the store has lost a stage's identity.
    """
    return frozenset(_grader(read_json(store.stage(use.key).folder / "stage.json")) for use in uses)


def _grader(identity: JsonObject) -> str:
    return json.dumps([identity.get("grader"), identity.get("code")], sort_keys=True)
