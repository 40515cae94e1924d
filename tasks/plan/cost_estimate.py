"""What a recipe will take: its runs and methods, priced by the cost model of `tasks/analysis/planning.py`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from overthink.tasks.analysis.planning import PARAMETERS, Accelerator, Assumptions, Needs, needs, tokens_computed
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import HubSource, Source
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.recipe import Recipe

# Rows of the test splits, from the data sets' pages on the hub, so that an estimate needs no network.
HUB_ROWS = {"HuggingFaceH4/MATH-500": 500, "HuggingFaceH4/aime_2024": 30}


@dataclass(frozen=True)
class CostEstimate:
    """What one method of one run needs. A stage that several runs share counts only for the first of them."""

    policy: str
    prm: str
    problem_set: str
    method_id: str
    needs: Needs


def estimates(
    recipes: Sequence[Recipe],
    accelerator: Accelerator,
    assumed: Assumptions,
    sizes: Mapping[str, float],
    problems: int | None,
) -> list[CostEstimate]:
    """An estimate for each method of each run.

    `sizes` maps names of further models to their parameters; `problems` is the number of problems of each set that
    cannot be read without a network. Raises UserError where either is missing, and for a strategy.
    """
    if any(recipe.strategies for recipe in recipes):
        raise UserError("the cost of compute_optimal is in its strategy file: policy_tokens and flops of each choice")
    counts = {source: problems or _count(source) for source in {recipe.problems for recipe in recipes}}
    drawn: set[object] = set()
    found = []
    for recipe in recipes:
        policy, prm = _size(recipe.policy, sizes), _size(recipe.prm, sizes)
        for method in recipe.fixed_methods:
            most = assumed if method.is_search else within_limit(assumed, recipe.sampling.max_tokens)
            tokens = tokens_computed(counts[recipe.problems], method.n, method.further_texts, most)
            # What a search looks ahead to is scored; critiques, checks and revised answers are not.
            read = tokens if method.is_search else tokens_computed(counts[recipe.problems], method.n, 0, most)
            shared = (recipe.problems, recipe.policy, method)
            is_drawn = shared in drawn and not method.is_search
            drawn.add(shared)
            taken = needs(
                0.0 if is_drawn else tokens, 0.0 if recipe.prm is None else read, policy, prm, accelerator, assumed
            )
            names = (_name(recipe.policy), _name(recipe.prm), _set_name(recipe.problems))
            found.append(CostEstimate(*names, method.method_id, taken))
    return found


def within_limit(assumed: Assumptions, max_tokens: int) -> Assumptions:
    """The assumptions where a solution has at most so many tokens."""
    return replace(assumed, tokens_per_rollout=min(assumed.tokens_per_rollout, max_tokens))


def estimate_table(title: str, groups: Sequence[str], rows: Iterable[CostEstimate]) -> Table:
    """The costs in all and for each group of runs or methods; `groups` are fields of an estimate."""
    sums: dict[tuple[str, ...], Needs] = {}
    for row in rows:
        key = tuple(getattr(row, group) for group in groups)
        sums[key] = sums.get(key, Needs()) + row.needs
    table = Table(title=title)
    for group in groups:
        table.add_column(group.replace("_", " ").replace("prm", "PRM"), overflow="fold")
    for header in ("policy tokens", "PRM tokens", "policy FLOPs", "PRM FLOPs", "GPU hours"):
        table.add_column(header, justify="right")
    for key, taken in sums.items():
        table.add_row(*key, *_cells(taken))
    table.add_section()
    table.add_row("all", *[""] * (len(groups) - 1), *_cells(sum(sums.values(), Needs())))
    return table


def _cells(taken: Needs) -> tuple[str, ...]:
    amounts = (taken.policy_tokens, taken.prm_tokens, taken.policy_flops, taken.prm_flops)
    return (*(_rounded(amount, ".2g") for amount in amounts), _rounded(taken.policy_hours + taken.prm_hours, ",g"))


def _rounded(amount: float, shape: str) -> str:
    """Two significant digits: an estimate is no more precise."""
    return "unknown" if math.isnan(amount) else format(float(f"{amount:.2g}"), shape)


def _size(config: object, sizes: Mapping[str, float]) -> float:
    """A model's parameters; NaN for an engine without weights."""
    name = getattr(config, "model", None)
    if name is None:
        return math.nan
    known = sizes.get(name, PARAMETERS.get(name))
    if known is None and isinstance(config, ModelConfig) and (name.startswith("zoo/") or Path(name).exists()):
        known = locate_model(config).parameters
    if known is None:
        raise UserError(f"the size of {name} is unknown: give it, as in --size {name}=7e9")
    return known


def _count(source: Source) -> int:
    if not isinstance(source, HubSource):
        return len(load_problems(source).problems)
    rows = HUB_ROWS.get(source.dataset)
    if rows is None and source.limit is None:
        raise UserError(f"how many problems {source.dataset} has is unknown: give it with --problems")
    return min(count for count in (rows, source.limit) if count is not None)


def _name(config: object) -> str:
    return "" if config is None else str(getattr(config, "model", getattr(config, "engine", ""))).split("/")[-1]


def _set_name(source: Source) -> str:
    name = getattr(source, "dataset", None) or getattr(source, "path", None) or source.source
    return str(name).split("/")[-1]
