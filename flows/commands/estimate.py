"""`overthink estimate`: what a run or a sweep will cost, before it starts."""

from typing import Annotated

import typer

from overthink.flows.commands.options import RecipeArgument
from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.analysis.planning import ACCELERATORS, Assumptions
from overthink.tasks.closest import which
from overthink.tasks.errors import UserError

Share = Annotated[
    float, typer.Option(min=0.001, max=1, help="Share of the card's peak throughput that the model reaches.")
]


def estimate(
    recipe: RecipeArgument,
    gpu: Annotated[str, typer.Option(help="The accelerator, such as h100.")] = "h100",
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as budgets=[4].")] = None,
    tokens_per_rollout: Annotated[
        float, typer.Option(min=1, help="Mean tokens of a solution.")
    ] = Assumptions.tokens_per_rollout,
    prompt_tokens: Annotated[float, typer.Option(min=0, help="Mean tokens of a prompt.")] = Assumptions.prompt_tokens,
    policy_utilisation: Share = Assumptions.policy_utilisation,
    prm_utilisation: Share = Assumptions.prm_utilisation,
    problems: Annotated[int | None, typer.Option(min=1, help="Problems of each set, where not known.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="MODEL=PARAMETERS of an unknown model.")] = None,
) -> None:
    """Estimate roughly the tokens, FLOPs and GPU hours of a recipe of `run` or `sweep`; prints every assumption."""
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_runs

    with plain_errors():
        from overthink.tasks.plan.cost_estimate import estimate_table, estimates

        if gpu not in ACCELERATORS:
            raise UserError(f"--gpu: the peak of {gpu!r} is unknown: {which(gpu, ACCELERATORS)}")
        card = ACCELERATORS[gpu]
        assumed = Assumptions(tokens_per_rollout, prompt_tokens, policy_utilisation, prm_utilisation)
        runs = read_runs(find_recipe(recipe), changes or [])
        with naming(recipe, changes or []):
            rows = estimates(runs, card, assumed, _sizes(size or []), problems)
        screen = console()
        screen.print(estimate_table(f"{runs[0].name} by run", ("policy", "prm", "problem_set"), rows))
        screen.print(estimate_table(f"{runs[0].name} by method", ("method_id",), rows))
        lines = (
            f"{tokens_per_rollout:g} tokens a solution, sampling.max_tokens at most, {prompt_tokens:g} a prompt, each "
            "computed once (prefix cache).",
            f"{gpu}: {card.peak / 1e12:,.1f} TFLOP/s in bfloat16 ({card.source}); of it the policy reaches "
            f"{policy_utilisation:.0%}, the PRM {prm_utilisation:.0%}.",
            "A search counts with its whole budget; a stage that runs share counts once, in the first of them.",
            "This gives the order of magnitude: measure a small run with `overthink cost`, then set these options.",
        )
        for line in lines:
            screen.print(line, highlight=False, soft_wrap=True)


def _sizes(entries: list[str]) -> dict[str, float]:
    sizes = {}
    for entry in entries:
        model, _, parameters = entry.rpartition("=")
        try:
            sizes[model] = float(parameters)
        except ValueError as error:
            raise UserError(f"--size takes MODEL=PARAMETERS, such as my/model=7e9, not {entry!r}") from error
        if not model or not sizes[model] > 0:
            raise UserError(f"--size takes MODEL=PARAMETERS, such as my/model=7e9, not {entry!r}")
    return sizes
