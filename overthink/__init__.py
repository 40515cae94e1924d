"""Overthink from Python: open a store, ask it, run recipes, fit strategies and solve with them.

>>> import overthink
>>> results = overthink.open_store(place)
>>> run = results.runs()[0]
>>> run.status
'complete'
>>> results.sql("SELECT count(*) AS runs FROM runs WHERE status = 'complete'").to_pylist()
[{'runs': 5}]
>>> frame = results.rollouts(run.run_id, "pandas")
>>> sorted({"problem_id", "text", "steps", "scores", "answer", "correct"} - set(frame.columns))
[]

The command line does the same under the same names: `run`, `fit`, `solve`. A recipe is a path, the name of a shipped
recipe, or a mapping. Importing this module loads neither Prefect nor any engine.
"""

import asyncio
import os
import warnings
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from overthink.storage.store import Run, Store
    from overthink.tasks.recipes.recipe import Recipe
    from overthink.tasks.strategy.fit_runs import Fit

__all__ = ["Recipe", "Results", "fit", "open_store", "read_recipe", "run", "run_async", "solve"]

Frame = Literal["arrow", "pandas", "polars"]
_Result = TypeVar("_Result")
_ROLLOUTS = """
SELECT r.*, g.correct, g.detail, t.steps, c.scores FROM rollouts r
LEFT JOIN (SELECT p.rollout_id, p.correct, p.detail, u.method_id FROM parts_grades p
           JOIN stage_uses u ON u.kind = 'grade' AND u.stage_key = p.stage_key AND u.run_id = '{run_id}') g
       ON g.rollout_id = r.rollout_id AND g.method_id = r.method_id
LEFT JOIN (SELECT rollout_id, list(text ORDER BY step_index) AS steps FROM steps GROUP BY ALL) t
       ON t.rollout_id = r.rollout_id
LEFT JOIN (SELECT s.rollout_id, list(s.score ORDER BY s.step_index) AS scores
           FROM scores s JOIN runs ON runs.prm = s.prm AND runs.run_id = '{run_id}' GROUP BY ALL) c
       ON c.rollout_id = r.rollout_id
WHERE r.run_id = '{run_id}' ORDER BY r.method_id, r.problem_id, r.sample_index"""


def open_store(place: str | os.PathLike[str] = "store") -> "Results":
    """The store in a folder, or at s3://BUCKET/PREFIX. Raises StorageError where none is there."""
    from overthink.storage.opening import open_store as opened
    from overthink.storage.storage_errors import StorageError

    store = opened(os.fspath(place))
    if not store.exists():
        raise StorageError(f"there is no store at {place}: name another one, or make it with `overthink.run`")
    return Results(store)


class Results:
    """What a store holds. Made by `open_store`."""

    def __init__(self, store: "Store") -> None:
        self.store = store

    def runs(self) -> "list[Run]":
        """All runs, oldest first."""
        return self.store.runs()

    @overload
    def sql(self, query: str, frame: Literal["arrow"] = "arrow", time_limit: float = 60.0) -> "pa.Table": ...
    @overload
    def sql(self, query: str, frame: Literal["pandas"], time_limit: float = 60.0) -> "pd.DataFrame": ...
    @overload
    def sql(self, query: str, frame: Literal["polars"], time_limit: float = 60.0) -> "pl.DataFrame": ...

    def sql(self, query: str, frame: Frame = "arrow", time_limit: float = 60.0) -> Any:
        """The rows of one SELECT over the public tables; `time_limit` in seconds.

        Raises QueryError for anything that is not one SELECT, and UserError where the package of `frame` is not there.
        Warns where a complete run lacks rows that belong into the answer.
        """
        from overthink.storage.query_limits import QueryLimits
        from overthink.storage.sql import query as ask

        notes: list[str] = []
        table = ask(self.store, query, QueryLimits(seconds=time_limit), notes.append)
        _warn(notes)
        return _as_frame(table, frame)

    @overload
    def rollouts(self, run: str, frame: Literal["arrow"] = "arrow") -> "pa.Table": ...
    @overload
    def rollouts(self, run: str, frame: Literal["pandas"]) -> "pd.DataFrame": ...
    @overload
    def rollouts(self, run: str, frame: Literal["polars"]) -> "pl.DataFrame": ...

    def rollouts(self, run: str, frame: Frame = "arrow") -> Any:
        """A run's rollouts, a row each, with lists of their steps' texts and scores, and their grade.

        `run` is an id or the beginning of one. `scores` is null where the run's PRM scored nothing, `correct` where the
        verdict is unknown. Warns where the store lacks rows of a complete run.
        """
        run_id = self.store.find_run(run).run_id
        return self.sql(_ROLLOUTS.format(run_id=run_id), frame)

    def fit(self, runs: Sequence[str], name: str = "strategy") -> "list[Fit]":
        """See `overthink.fit`."""
        from overthink.tasks.strategy.fit_runs import fit as fitted

        return fitted(self.store, runs, name)


def read_recipe(recipe: str | os.PathLike[str] | Mapping[str, Any], changes: Sequence[str] = ()) -> "Recipe":
    """A recipe of `overthink run`, checked; `changes` are KEY=VALUE, as with `--set`. Raises UserError.

    >>> overthink.read_recipe("demo", ["problems.count=20"]).problems.count
    20
    """
    from overthink.tasks.recipes import loading

    if isinstance(recipe, Mapping):
        return loading.check_recipe(recipe, changes)
    return loading.read_recipe(loading.find_recipe(os.fspath(recipe)), changes)


async def run_async(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    store: str | os.PathLike[str] = "store",
    changes: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> "Run":
    """Run what is missing of a recipe; a finished run is only looked up. Raises UserError, StorageError or EngineDied.

    Whatever was answered before is safe in the store, and the same call goes on from there.
    """
    from overthink.flows.commands.terminal import quiet

    quiet()
    from overthink.flows.evaluate import evaluate
    from overthink.flows.orchestration.run_flow import run_flow
    from overthink.storage.opening import open_store as opened
    from overthink.tasks.datasets.problem_loading import load_problems
    from overthink.tasks.plan.evaluation_plan import plan_evaluation
    from overthink.tasks.plan.run_plan import is_finished

    wanted, place = read_recipe(recipe, changes), os.fspath(store)
    into = opened(place)
    plan = plan_evaluation(wanted, load_problems(wanted.problems, skip_bad_rows, wanted.asking))
    if not is_finished(plan, into):
        await run_flow(into, plan.run_id, lambda: evaluate(wanted, place, skip_bad_rows), lambda _: None)
    return into.find_run(plan.run_id)


def run(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    store: str | os.PathLike[str] = "store",
    changes: Sequence[str] = (),
    skip_bad_rows: bool = False,
) -> "Run":
    """`run_async` for scripts, and for notebooks, whose own event loop goes on meanwhile."""
    return _outside_the_loop(run_async(recipe, store, changes, skip_bad_rows))


def fit(store: str | os.PathLike[str], runs: Sequence[str], name: str = "strategy") -> "list[Fit]":
    """A strategy for each policy and PRM of finished runs or sweeps, named by ids or their beginnings.

    `write_strategy` of `overthink.tasks.recipes.strategy_file` writes one to a file. Raises UserError or StorageError.
    """
    return open_store(store).fit(runs, name)


def solve(
    strategy: str | os.PathLike[str],
    questions: Sequence[str],
    store: str | os.PathLike[str] = "store",
    **limit: float,
) -> "pa.Table":
    """Apply a strategy's file to questions; `limit` is one of n, total_tokens and total_flops. A row a question.

    Raises UserError where the limit is not one of the three, or the strategy cannot be used.
    """
    from overthink.tasks.errors import UserError
    from overthink.tasks.reporting.solve_tables import SOLVED_SQL
    from overthink.tasks.strategy.solve_recipe import solve_recipe

    limits: dict[str, float | None] = {"n": None, "total_tokens": None, "total_flops": None}
    if len(limit) != 1 or not limit.keys() <= limits.keys():
        raise UserError(f"say how much to spend by one of {', '.join(limits)}")
    limits.update(limit)
    source = {"source": "questions", "questions": list(questions)}
    recipe = solve_recipe(Path(strategy), source, limits, "solve")
    run_id = run(recipe.model_dump(mode="json"), store).run_id
    return open_store(store).sql(SOLVED_SQL.format(run_id=run_id))


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        warnings.warn(note, stacklevel=3)


def _outside_the_loop(work: "Coroutine[Any, Any, _Result]") -> _Result:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def _as_frame(table: "pa.Table", frame: Frame) -> Any:
    if frame == "arrow":
        return table
    from overthink.tasks.errors import UserError

    try:
        if frame == "pandas":
            return table.to_pandas()
        import polars
    except ImportError as error:
        raise UserError(f"a frame of {frame} needs its package: pip install {frame}") from error
    return polars.from_arrow(table)


def __getattr__(name: str) -> Any:
    # The recipe's class brings pydantic and all methods with it, which nobody needs who only asks a store.
    if name == "Recipe":
        from overthink.tasks.recipes.recipe import Recipe

        return Recipe
    raise AttributeError(f"module 'overthink' has no attribute {name!r}")
