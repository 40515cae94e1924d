"""A check of `overthink doctor` that loads policies: does the same seed give the same tokens?"""

import asyncio
from collections.abc import Iterable, Iterator

from overthink.flows.orchestration.secret_blocks import fetch_key
from overthink.storage.integrity import Finding
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.engines.seed_check import ALONE, SeedCheck, check_seeds
from overthink.tasks.errors import BadReply, EngineDied, UserError
from overthink.tasks.plan.model_generation import settled
from overthink.tasks.recipes.recipe import Recipe


def seed_findings(recipes: Iterable[Recipe]) -> Iterator[Finding]:
    """One for each distinct policy, with the problems and the sampling of the last recipe that names it."""
    for recipe in {recipe.policy: recipe for recipe in recipes}.values():
        yield asyncio.run(_finding(recipe))


async def _finding(recipe: Recipe) -> Finding:
    place = f"seeds of {getattr(recipe.policy, 'model', recipe.policy.engine)}"
    try:
        found = await _checked(recipe)
    except (UserError, BadReply, EngineDied) as error:
        return Finding("broken", place, f"the policy cannot be asked: {error}", "mend the recipe, or what serves it")
    if found.holds:
        return Finding(
            "ok", place, f"the same seed wrote the same in {found.count} of {found.count}, also among others"
        )
    what = (
        f"the same seed wrote the same in {found.again} of {found.count} alone, and in {found.among_others} of "
        f"{found.count} among others"
    )
    return Finding("warning", place, what, "a run made anew may differ; what is stored is read, and never drawn again")


async def _checked(recipe: Recipe) -> SeedCheck:
    if isinstance(recipe.policy, ServedModelConfig):
        await fetch_key(recipe.policy)
    problems = load_problems(recipe.problems, skip_bad_rows=True, asking=recipe.asking).problems
    policy = await open_policy(recipe.policy)
    try:
        sampling = settled(recipe.sampling, recipe.policy).drawing()
        return await check_seeds(policy, [problem.asked for problem in problems[:ALONE]], sampling)
    finally:
        await policy.close()
