"""From one method of a recipe to the content-addressed stages it stands on."""

from dataclasses import dataclass

from overthink.storage.keys import labelled_key
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.plan.identity import JsonObject, grade_identity, own_code, select_identity, stage_identity
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.recipes.methods import Adaptive, AnyMethod, Cot
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.select import SelectSettings


@dataclass(frozen=True)
class MethodPlan:
    """The stages of one method; each identity is what its key is the hash of.

    `make` is the stage that makes the rollouts: sample, or search, which scores them on the way.
    """

    method: AnyMethod
    budgets: tuple[int, ...]
    make: JsonObject
    score: JsonObject | None
    grade: JsonObject
    select: JsonObject

    @property
    def make_key(self) -> str:
        """The address of the stage that makes the rollouts; of independent ones, the same for every n."""
        return labelled_key(self.make["stage"], self.make)

    @property
    def score_key(self) -> str | None:
        """The score stage's address, where there is one."""
        return None if self.score is None else labelled_key(StageKind.SCORE, self.score)

    @property
    def scores_key(self) -> str | None:
        """The address of the stage that holds the step scores, where there are any."""
        return self.make_key if self.method.is_search else self.score_key

    @property
    def grade_key(self) -> str:
        """The grade stage's address."""
        return labelled_key(StageKind.GRADE, self.grade)

    @property
    def select_key(self) -> str:
        """The select stage's address."""
        return labelled_key(StageKind.SELECT, self.select)

    def uses(self) -> list[StageUse]:
        """What the run's manifest says of this method."""
        method_id, n = self.method.method_id, self.method.n
        uses = [StageUse(self.make["stage"], self.make_key, method_id, n)]
        if self.score_key is not None:
            uses.append(StageUse(StageKind.SCORE, self.score_key, method_id, n))
        return [
            *uses,
            StageUse(StageKind.GRADE, self.grade_key, method_id, n),
            StageUse(StageKind.SELECT, self.select_key, method_id),
        ]


def method_plan(
    recipe: Recipe, method: AnyMethod, policy: EngineIdentity, prm: EngineIdentity | None, problems: JsonObject
) -> MethodPlan:
    """Address the stages of a method."""
    make = _make_identity(recipe, method, policy, prm)
    make_key = labelled_key(make["stage"], make)
    score = None
    if prm is not None and not method.is_search:
        score = stage_identity(StageKind.SCORE, samples=make_key, prm=prm.determinants)
    grade = grade_identity(make_key, recipe.grader, problems)
    score_key = None if score is None else labelled_key(StageKind.SCORE, score)
    scores_key = make_key if method.is_search else score_key
    select = select_identity(grade, scores_key, problems, method.n, select_settings(recipe, method))
    return MethodPlan(method, recipe.budgets_of(method), make, score, grade, select)


def select_settings(recipe: Recipe, method: AnyMethod) -> SelectSettings:
    """How a recipe has answers chosen among a method's rollouts."""
    return SelectSettings(recipe.budgets_of(method), recipe.chosen_selectors(), method.independent, recipe.seed)


def _make_identity(recipe: Recipe, method: AnyMethod, policy: EngineIdentity, prm: EngineIdentity | None) -> JsonObject:
    # Of independent rollouts n is left out: a larger n adds rollouts to the same stage. Problems are left out of sample
    # and score too: they address the units inside these stages, so a larger set adds units (docs/decisions.md).
    settings = method.model_dump(exclude={"n"} if method.independent else None)
    sampling = recipe.sampling.model_dump()
    if isinstance(method, Cot):  # greedy: neither the recipe's temperature nor its seed determines anything
        sampling |= {"temperature": 0.0, "top_p": 1.0}
    plugged = plugin_identities("methods", [method.method])
    determinants = {
        "policy": policy.determinants,
        "method": settings,
        "sampling": sampling,
        "seed": 0 if isinstance(method, Cot) else recipe.seed,
        **plugged,
    }
    if isinstance(method, Adaptive):
        determinants |= {"extraction": recipe.grading.extraction, **own_code("extraction")}
    if method.is_search or isinstance(method, Adaptive) or plugged:
        determinants |= recipe.grader.further_identity()
    if not method.is_search:
        return stage_identity(StageKind.SAMPLE, **determinants)
    assert prm is not None, "a recipe with a search names a PRM"
    del sampling["max_tokens"]  # a search bounds its steps instead
    return stage_identity(StageKind.SEARCH, prm=prm.determinants, **determinants, **own_code("candidates"))
