"""From the recipe of a sweep to the plans of its runs, before any engine is loaded."""

from dataclasses import dataclass
from functools import cache

from overthink.storage.keys import content_key
from overthink.storage.store import Store, Sweep
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import UserError
from overthink.tasks.plan.checks import check_devices
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.prompt_check import longest_prompt
from overthink.tasks.plan.run_plan import Plan, is_finished
from overthink.tasks.recipes.sweep_recipe import SweepRecipe


@dataclass(frozen=True)
class SweepPlan:
    """Everything a sweep needs to know before it starts; a plan for each of its runs."""

    recipe: SweepRecipe
    runs: tuple[Plan, ...]
    problem_sets: tuple[ProblemSet, ...]

    @property
    def sweep_id(self) -> str:
        """The sweep's id: it depends only on the recipe's name and the runs."""
        return f"{self.recipe.name}-{content_key(sorted(run.run_id for run in self.runs))[:10]}"

    @property
    def listing(self) -> Sweep:
        """The sweep as the store records it."""
        return Sweep(self.sweep_id, self.recipe.name, tuple(run.run_id for run in self.runs))

    def unfinished(self, store: Store) -> list[Plan]:
        """The incomplete runs."""
        return [run for run in self.runs if not is_finished(run, store)]


def plan_sweep(recipe: SweepRecipe, skip_bad_rows: bool) -> SweepPlan:
    """Read all problems and compute the key of every stage of every run.

    Raises ProblemError for a bad row, EngineUnavailable where a model cannot be found, and UserError where two entries
    of the recipe give the same run.
    """
    recipes = recipe.recipes()
    asking = {each.problems: each.asking for each in recipes}
    problem_sets = {source: load_problems(source, skip_bad_rows, asking[source]) for source in recipe.problems}
    identity_of = cache(identify)
    runs: dict[str, Plan] = {}
    for each in recipes:
        plan = plan_evaluation(each, problem_sets[each.problems], identity_of)
        if plan.run_id in runs:
            raise UserError(
                f"{recipe.name}: two entries come to the same: {label_of(plan)} is there twice. Leave one out"
            )
        runs[plan.run_id] = plan
    return SweepPlan(recipe, tuple(runs.values()), tuple(problem_sets.values()))


def check_runs(plans: list[Plan]) -> None:
    """Raise UserError for anything that is certain to stop a run once its engines are loaded."""
    checked = set()
    for plan in plans:
        check_devices(plan)
        prompts = (plan.policy_config, plan.problems.name)
        if plan.policy_config is not None and prompts not in checked:
            checked.add(prompts)
            longest_prompt(plan.policy_config, plan.problems.all)


def label_of(plan: Plan) -> str:
    """A readable label of a sweep's run: its id, policy, PRM and problem set."""
    engines = [engine.name for engine in (plan.policy, plan.prm) if engine is not None]
    return f"{plan.run_id} ({' × '.join((*engines, plan.problems.name))})"
