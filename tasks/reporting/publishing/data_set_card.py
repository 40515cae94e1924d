"""The card of a data set: what it holds, how good it is and how it was made; configurations for `load_dataset`."""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.counted import counted
from overthink.tasks.reporting.publishing.public_recipe import public_name, public_recipe
from overthink.tasks.reporting.result_tables import result_markdown
from overthink.tasks.reporting.results import CAPTION, accuracy_notes, summary_rows
from overthink.tasks.reporting.run_notes import run_notes

CARD = "README.md"
UNKNOWN_LICENCE = "unknown"
TAGS = ("test-time-compute", "process-reward-model", "overthink")
BODY = """
# {run_id}

{what} Made with Overthink: sampled, scored, graded and chosen among, nothing edited.

## Results
{results}

## Tables
```python
from datasets import load_dataset

rollouts = load_dataset("{name}", "rollouts", split="train")
```

Each is one Parquet file, `pandas.read_parquet("hf://datasets/{name}/rollouts.parquet")`. They join by `rollout_id`,
and by `run_id`, `method_id` and `problem_id`.

| table | rows | a row is |
| --- | --: | --- |
{tables}

## How it was made
Run `{run_id}`, ended {finished_at}, with {versions}. Its recipe:

~~~~yaml
{recipe}~~~~

## What was left out
- The calls to the engines with their times, and costs by problem; `summary` has each method's tokens and FLOPs.
- What can be computed from these tables: signals, and grades of other runs.
- Of the recipe whatever is of one machine: devices, endpoints, names of keys, folders of files and of models.

## Before you use it
The solutions are a model's, right and wrong ones, unfiltered. {licence}
"""


@dataclass(frozen=True)
class Listing:
    """How a data set is listed: its name on the hub, OWNER/NAME, and its licence as the hub spells it."""

    name: str
    licence: str = UNKNOWN_LICENCE


def data_set_card(store: Store, run: Run, listing: Listing, tables: Mapping[str, tuple[str, int]]) -> str:
    """The card in markdown; `tables` has for each table what a row is, and how many there are."""
    head = {
        "pretty_name": run.run_id,
        "license": listing.licence,
        "tags": list(TAGS),
        "configs": [
            {"config_name": name, "data_files": f"{name}.parquet"} | ({"default": True} if name == "rollouts" else {})
            for name in tables
        ],
    }
    body = BODY.format(
        name=listing.name,
        run_id=run.run_id,
        what=_what(run, tables),
        results=_results(store, run),
        tables="\n".join(f"| `{name}` | {count:,} | {row} |" for name, (row, count) in tables.items()),
        finished_at=run.finished_at or "at an unknown time",
        versions=", ".join(f"{package} {version}" for package, version in run.versions.items()),
        recipe=yaml.safe_dump(public_recipe(run.recipe), sort_keys=False, allow_unicode=True),
        licence=_licence(listing),
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n{body}"


def _what(run: Run, tables: Mapping[str, tuple[str, int]]) -> str:
    """Who solved what, in one sentence."""
    rollouts, problems = (tables[name][1] if name in tables else 0 for name in ("rollouts", "problems"))
    imported = any(use.kind == StageKind.IMPORT for use in run.stages)
    by = "another tool's import" if imported else f"`{public_name(run.policy or 'unknown policy')}`"
    scored = "" if run.prm is None else f", scored step by step by `{public_name(run.prm)}`"
    of = f"{counted(rollouts, 'solution')} of {counted(problems, 'problem')} (`{run.problem_set}`)"
    return f"{of}, written by {by}{scored}."


def _results(store: Store, run: Run) -> str:
    """The run's accuracies with their intervals, and what they leave out."""
    rows = summary_rows(store, run.run_id)
    if not rows:
        return "The problems have no reference answers, so that there are no accuracies."
    caption = f"{CAPTION[0].upper()}{CAPTION[1:]}{accuracy_notes(store, run.run_id)}."
    notes = [f"- {line}" for line in run_notes(store, run, rows)]
    return "\n".join([f"{caption}\n", result_markdown(rows), *notes]).rstrip()


def _licence(listing: Listing) -> str:
    if listing.licence == UNKNOWN_LICENCE:
        return "No licence was given: ask who published it, and mind those of the problems and of the policy."
    return f"Published under {listing.licence}; the problems keep the licence that they came with."
