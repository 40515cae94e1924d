"""The text of a first recipe, with comments, from a few wishes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, get_args

import yaml

from overthink.tasks.closest import which
from overthink.tasks.datasets.input_files import READERS
from overthink.tasks.datasets.presets import PRESETS
from overthink.tasks.datasets.published import PUBLISHED, OnHub
from overthink.tasks.engines.prm.family_data import PrmFamilyName
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import METHODS

GENERATED = ("chains", "specs")
REVISIONS = 4  # answers of a chain at most, which must divide the budget
NONE, FAKE, ZOO = "none", "fake", "zoo/"
FAMILIES: tuple[str, ...] = get_args(PrmFamilyName)


@dataclass(frozen=True)
class Wishes:
    """What a new recipe is made of.

    `policy` is a model, NAME@URL of a served one, or `fake`; `prm` a model, `fake` or `none`; `problems` a preset, a
    file, `chains` or `specs`.
    """

    name: str
    policy: str = "zoo/abacus-1m"
    prm: str = "zoo/abacus-prm"
    problems: str = "chains"
    method: str = "best_of_n"
    budget: int = 16


def recipe_text(wishes: Wishes) -> str:
    """The recipe. Raises UserError for problems or a method that are not known."""
    if wishes.method not in METHODS:
        raise UserError(f"--method: there is no method {wishes.method!r}: {which(wishes.method, METHODS)}")
    if wishes.method == "compute_optimal":
        raise UserError("--method: compute_optimal follows a strategy: make one by `overthink fit`, then name its file")
    parts: list[tuple[str, Any, str]] = [
        ("name", wishes.name, "runs are found by it: overthink report NAME"),
        ("seed", 0, "the same seed, the same rollouts"),
        ("problems", _problems(wishes.problems), "`overthink datasets` lists the presets; docs/datasets.md"),
        ("policy", _policy(wishes.policy), "the model that writes; docs/servers.md has all engines"),
    ]
    if wishes.prm != NONE:
        parts.append(("prm", _prm(wishes.prm), "the model that scores each step; docs/prms.md has the families"))
    parts += [
        ("methods", [*_methods(wishes)], "how solutions are made; docs/methods.md has them all"),
        ("budgets", [*_budgets(wishes)], "solutions of a problem, to compare at"),
        ("sampling", {"temperature": 0.7, "max_tokens": _longest(wishes.policy)}, "of a solution; docs/sampling.md"),
    ]
    heading = "# Made by `overthink init`. Check it with `overthink validate`, try it with `overthink run --dry-run`.\n"
    return heading + "".join(_commented(*part) for part in parts)


def _commented(key: str, value: Any, comment: str) -> str:
    is_short = isinstance(value, list) and all(isinstance(one, int) for one in value)
    text = f"{key}: {value}\n" if is_short else yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True)
    return f"# {comment}\n{text}"


def _problems(wanted: str) -> dict[str, Any]:
    if wanted in GENERATED:
        return {"source": wanted, "count": 50}
    if wanted.endswith(tuple(READERS)):
        return {"source": "file", "path": wanted, "columns": {"question": "question", "reference": "answer"}}
    published = {str(name): one.hub for name, one in PUBLISHED.items()}
    if wanted not in published:
        hint = which(wanted, (*GENERATED, *PRESETS))
        raise UserError(f"--problems: there is no preset {wanted!r}, and a file ends in {', '.join(READERS)}: {hint}")
    hub = published[wanted]
    if hub is None:
        raise UserError(f"--problems: {wanted} is published as files alone: name one; see `overthink datasets`")
    return {"source": "hub", "preset": wanted, **_of_hub(hub)}


def _of_hub(hub: OnHub) -> Mapping[str, Any]:
    said = {"config": hub.config, "columns": dict(hub.columns)}
    found = {"dataset": hub.dataset, "revision": hub.revision, "split": hub.split}
    return found | {name: value for name, value in said.items() if value}


def _policy(wanted: str) -> dict[str, Any]:
    name, mark, url = wanted.partition("@http")
    if mark:
        return {"engine": "openai", "model": name, "endpoints": [f"http{url}"]}
    return {"engine": FAKE} if wanted == FAKE else {"engine": "vllm", "model": wanted}


def _prm(wanted: str) -> dict[str, Any]:
    if wanted == FAKE:
        return {"engine": FAKE}
    family = next((family for family in FAMILIES if family in wanted.lower()), FAMILIES[0])
    return {"engine": "auto", "model": wanted, "family": family}


def _methods(wishes: Wishes) -> Iterator[dict[str, Any]]:
    """The greedy solution, to compare with, and the method that is wanted."""
    yield {"method": "cot"}
    if wishes.method != "cot":
        yield {"method": wishes.method, "n": wishes.budget, **_needed(wishes)}


def _needed(wishes: Wishes) -> Mapping[str, int]:
    """What a method needs besides its budget."""
    match wishes.method:
        case "sequential_revisions":
            return {"revisions": gcd(wishes.budget, REVISIONS)}
        case "deepconf":
            return {"warm_up": max(1, wishes.budget // 4)}
        case "budget_forcing":
            return {"wait": 1}
        case _:
            return {}


def _budgets(wishes: Wishes) -> Iterator[int]:
    """1 and the budget itself, and 4, 16, … between them where any of the solutions stand for a smaller budget."""
    most = 1 if wishes.method == "cot" else wishes.budget
    n = 1
    while n < most:
        yield n
        n = n * 4 if METHODS[wishes.method].independent else most
    yield most


def _longest(policy: str) -> int:
    return 256 if policy.startswith(ZOO) else 2048
