"""From finished runs to fitted strategies, one for each policy and PRM, without any engine."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.difficulty import DIFFICULTIES, DifficultyConfig, fit_predictor, rounded
from overthink.tasks.analysis.intervals import mean_interval
from overthink.tasks.analysis.selectors import Floats
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.strategy_file import NAME, Choice, Expectation, FixedChoice, Strategy
from overthink.tasks.stages.identity import graders_of
from overthink.tasks.stages.scored_run import scored_run
from overthink.tasks.strategy.baselines import BaselineResult, compare_baselines
from overthink.tasks.strategy.fit_strategy import Observations, Picked, Rule, Validation, cross_validate, learn
from overthink.tasks.strategy.outcomes import Collector, Findings
from overthink.tasks.strategy.paper_rule import paper_rule
from overthink.tasks.strategy.run_reader import RunReader
from overthink.tasks.strategy.totals import Shared, share_out

# The recipe's keys that runs must share for their rollouts to be pooled.
ALIKE = ("domain", "domain_options", "sampling", "reasoning", "grading", "difficulty", "seed")


@dataclass(frozen=True)
class Fit:
    """A strategy, the data it was fitted to, and its evaluation. `suffix` distinguishes the strategies of one fit."""

    strategy: Strategy
    suffix: str
    policy: str
    prm: str
    observations: Observations
    validation: Validation
    baselines: tuple[BaselineResult, ...]
    shared: tuple[Shared, ...]
    left_out: tuple[str, ...]
    unknown: int


def fit(store: Store, run_names: Sequence[str], name: str) -> list[Fit]:
    """A strategy for each policy and PRM of the runs (or sweeps), named `name`, with model names if several.

    Raises UserError or StorageError with the remedy where no strategy can be fitted to the runs.
    """
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"{name!r} cannot be a strategy's name: use letters, digits, dots, dashes and underscores, or give --name"
        )
    run_ids = dict.fromkeys(run.run_id for wanted in run_names for run in store.find_runs(wanted))
    pairs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in (scored_run(store, run_id, "overthink fit") for run_id in run_ids):
        pairs[policy_address(store, run), str(run.prm)].append(run)
    return [
        _fit(store, policy, prm, alike, name, suffix)
        for ((policy, prm), alike), suffix in zip(pairs.items(), _suffixes(list(pairs)), strict=True)
    ]


def _suffixes(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Suffixes that distinguish the pairs: empty for one pair, else the models' names, or hashes where names repeat."""
    if len(pairs) == 1:
        return [""]
    names = [f"-{policy.split('@')[0]}-{prm.split('@')[0]}" for policy, prm in pairs]
    return names if len(set(names)) == len(names) else [f"-{policy}-{prm}" for policy, prm in pairs]


def policy_address(store: Store, run: Run) -> str:
    """A hash of a run's policy with its weights' fingerprint, from the identity of its rollouts' stage."""
    made = next(use.key for use in run.stages if use.kind in (StageKind.SAMPLE, StageKind.SEARCH))
    determinants: dict[str, Any] = store.stage(made).identity()["policy"]
    return EngineIdentity(str(run.policy), run.policy_parameters, determinants).address


def _fit(store: Store, policy: str, prm: str, runs: Sequence[Run], name: str, suffix: str) -> Fit:
    readers = [RunReader(store, run) for run in runs]
    _check_alike(readers)
    _check_graders(store, runs)
    findings = Collector(readers).collect()
    recipe, observations = readers[0].recipe, findings.observations
    try:
        validation = cross_validate(observations, recipe.difficulty, recipe.seed)
    except ValueError as error:
        raise UserError(f"{', '.join(run.run_id for run in runs)}: {error}") from error
    rule = learn(observations, recipe.difficulty, np.arange(len(observations.pass_at_1)))
    assert recipe.prm is not None, "a run with PRM scores has a PRM in its recipe"
    strategy = Strategy(
        name=name + suffix,
        policy=recipe.policy,
        policy_id=policy,
        prm=recipe.prm,
        prm_id=prm,
        domain=recipe.domain,
        domain_options=recipe.domain_options,
        prompt=recipe.prompt,
        sampling=recipe.sampling,
        reasoning=recipe.reasoning,
        grading=recipe.grading,
        seed=recipe.seed,
        difficulty=recipe.difficulty,
        predictor=rule.predictor,
        fitted_from=tuple(run.run_id for run in runs),
        chance=findings.chance,
        choices=_choices(findings, validation, rule, recipe.difficulty),
        without_pilot=_fixed_choices(findings, validation, rule),
        expectations=tuple(
            Expectation(budget=budget, accuracy=fit_predictor(observations.features, followed.accuracy))
            for budget, followed in validation.after_pilot.items()
        ),
    )
    paper = paper_rule(policy, runs[0].policy_parameters, {run.problem_set for run in runs})
    stand = compare_baselines(observations, validation, paper, recipe.difficulty)
    shared = share_out(observations, validation, recipe.difficulty)
    left_out, unknown = findings.left_out, findings.unknown
    return Fit(strategy, suffix, policy, prm, observations, validation, tuple(stand), tuple(shared), left_out, unknown)


def _check_alike(readers: Sequence[RunReader]) -> None:
    first = readers[0]
    for other in readers[1:]:
        for key in ALIKE:
            if getattr(first.recipe, key) != getattr(other.recipe, key):
                raise UserError(
                    f"{first.run.run_id} and {other.run.run_id} differ in {key}: a strategy needs runs with the same "
                    "value; fit them separately, or run one again with the other's"
                )


def _check_graders(store: Store, runs: Sequence[Run]) -> None:
    graders = {
        run.run_id: graders_of(store, (use for use in run.stages if use.kind == StageKind.GRADE)) for run in runs
    }
    first, *others = graders
    for other in others:
        if graders[other] != graders[first]:
            raise UserError(
                f"{first} and {other} were not graded by the same grader: run the recipe of the older one again, which "
                "only grades and selects again, and fit to the new run"
            )


def _choices(findings: Findings, validation: Validation, rule: Rule, bins: DifficultyConfig) -> tuple[Choice, ...]:
    """The choices fitted on all problems; accuracies are held out: each problem is scored by the other fold's rule."""
    predicted = np.array([bins.of(chance) for chance in validation.predicted.tolist()])
    pilots = findings.observations.pilot_tokens
    choices = []
    for budget, followed in validation.after_pilot.items():
        for difficulty in DIFFICULTIES:
            picked = rule.picked[budget, difficulty]
            figures = _figures(findings, picked, followed.accuracy[predicted == difficulty])
            pilot_tokens = rounded(pilots[picked.members].mean())
            choices.append(Choice(difficulty=difficulty, pilot_tokens=pilot_tokens, **figures))
    return tuple(choices)


def _fixed_choices(findings: Findings, validation: Validation, rule: Rule) -> tuple[FixedChoice, ...]:
    everyone = np.arange(len(findings.observations.pass_at_1))
    return tuple(
        FixedChoice(**_figures(findings, Picked(option, everyone), validation.strategy[budget].accuracy))
        for budget, option in rule.without_pilot.items()
    )


def _figures(findings: Findings, picked: Picked, held_out: Floats) -> dict[str, Any]:
    option, members = picked.option, picked.members
    low, high = mean_interval(held_out) or (None, None)
    flops = option.flops[members].mean()
    return {
        "budget": option.budget,
        "method": findings.methods[option.method_id],
        "selector": option.selector,
        "problems": len(held_out),
        "accuracy": rounded(held_out.mean()) if len(held_out) else None,
        "ci_low": None if low is None else rounded(low),
        "ci_high": None if high is None else rounded(high),
        "policy_tokens": rounded(option.tokens[members].mean()),
        "flops": None if np.isnan(flops) else rounded(flops),
    }
