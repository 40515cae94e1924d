"""The headline of a report: a run's main results with their intervals, what it was, and how to make it again."""

from collections.abc import Iterator

import yaml
from markupsafe import Markup

from overthink.storage.store import Run
from overthink.tasks.recipes.sampling_config import AS_THEY_ARE, SamplingConfig
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.markup import paragraph, render
from overthink.tasks.reporting.results import Row, accuracy_text, chance_text
from overthink.tasks.reporting.run_notes import run_notes

ALWAYS_TOLD = ("temperature", "top_p", "max_tokens")


def headline(facts: RunFacts) -> Markup:
    """The run's main results, its setup, what else is to be said about it, and how to reproduce it."""
    run = facts.run
    told = [
        ("run", run.run_id),
        ("status", f"{run.status}; started {run.created_at}, finished {run.finished_at}"),
        ("policy", _model(run.policy, run.policy_parameters)),
        ("PRM", "none" if run.prm is None else _model(run.prm, run.prm_parameters)),
        ("problems", f"{facts.rows[0]['problems']} of {run.problem_set}"),
        ("methods", ", ".join(dict.fromkeys(row["method_id"] for row in facts.rows))),
        *_sampling(run),
        ("seed", str(run.seed)),
        ("versions", ", ".join(f"{name} {number}" for name, number in run.versions.items())),
    ]
    if facts.chance is not None:
        told.append(("chance", f"{chance_text(facts.chance)} % of guesses are right"))
    notes = run_notes(facts.store, run, facts.rows)
    recipe = yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True)
    return render("headline.html", stats=_stats(facts), told=told, notes=notes, again=_again(facts), recipe=recipe)


def _stats(facts: RunFacts) -> Iterator[dict[str, str]]:
    """Greedy, majority, the best choice and the oracle, as large numbers with their intervals."""
    largest = max((row["n"] for row in facts.rows if row["method_id"] == facts.independent), default=None)
    at_largest = [row for row in facts.rows if row["method_id"] == facts.independent and row["n"] == largest]
    by_selector = {row["selector"]: row for row in at_largest}
    cells: list[tuple[str, Row | None, str]] = [
        ("one greedy solution", facts.greedy, ""),
        (f"majority of {largest}", by_selector.get("majority"), ""),
        ("most accurate choice, in hindsight", facts.best, "best"),
        (f"oracle: any of {largest} right", by_selector.get("oracle"), ""),
    ]
    for name, row, kind in cells:
        if row is not None:
            number, _, range_ = accuracy_text(row).partition(" ")
            how = f"{row['method_id']}, {row['selector']}, n = {row['n']}" if kind else row["method_id"]
            yield {"kind": kind, "name": name, "number": number, "range": range_, "how": how}


def _sampling(run: Run) -> Iterator[tuple[str, str]]:
    """The numbers that the policy drew tokens with, those of the model's own files too; none of an import."""
    if "sampling" in run.recipe:
        sampling = SamplingConfig.model_validate(run.recipe["sampling"])
        set_here = sampling.model_dump(include=set(AS_THEY_ARE), exclude_defaults=True)
        told = [name for name in AS_THEY_ARE if name in ALWAYS_TOLD or name in set_here]
        yield "sampling", ", ".join(f"{name} {getattr(sampling, name):g}" for name in told)


def _again(facts: RunFacts) -> Markup:
    """How to reproduce the numbers: the recipe and the queries."""
    verb = "import" if facts.is_imported else "run"
    report = f"overthink report {facts.run_id} --store {facts.store.address} --html report.html"
    return paragraph(
        "Every number can be recomputed from the store, without a GPU: the query behind each figure is folded below "
        f"it, and `overthink sql --store {facts.store.address} QUERY` answers it. This page again: `{report}`. The "
        f"rollouts again: the recipe below by `overthink {verb}`."
    )


def _model(name: str | None, parameters: int | None) -> str:
    size = "size unknown" if parameters is None else f"{parameters:,} parameters"
    return f"{name or 'unknown'} ({size})"
