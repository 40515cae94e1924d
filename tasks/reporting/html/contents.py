"""The contents of a report: its sections, in order, and its pictures."""

import secrets
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.reporting.html.dot_figures import at_one_budget
from overthink.tasks.reporting.html.facts import RunFacts, run_facts
from overthink.tasks.reporting.html.figures import against_flops, by_difficulty, by_method, by_selector
from overthink.tasks.reporting.html.headline import headline
from overthink.tasks.reporting.html.markup import Section, figures, lines, page, paragraph
from overthink.tasks.reporting.html.missed import missed_part
from overthink.tasks.reporting.html.prm_figures import prm_pictures
from overthink.tasks.reporting.html.tables import (
    accuracy_table,
    against_table,
    cost_section,
    gains_table,
    limits_table,
)
from overthink.tasks.reporting.html.thought_figures import against_thought
from overthink.tasks.reporting.html.trees import example_trees
from overthink.tasks.reporting.pictures import Picture
from overthink.tasks.reporting.results import accuracy_notes, run_title

NO_BUDGET = "No verdict of run {run_id} is known, or none of more than one rollout, so there is no curve to draw."
NOT_INDEPENDENT = (
    "Run {run_id} holds no independent, graded rollouts of its policy, so pass@1 and with it the difficulty of its "
    "problems is unknown: a run with best_of_n has them."
)
NO_FLOPS = (
    "FLOPs are unknown for {runs}: they need recorded calls, the sizes of policy and PRM, and how many tokens came "
    "from a cache."
)


def report_facts(store: Store, runs: Sequence[Run]) -> list[RunFacts]:
    """The facts of runs that chose among rollouts. Raises StorageError naming a run that did not."""
    for run in runs:
        if not any(use.kind == StageKind.SELECT for use in run.stages):
            raise StorageError(f"run {run.run_id} chose no answers, so there is no accuracy to draw: leave it out")
    return [run_facts(store, run) for run in {run.run_id: run for run in runs}.values()]


def report_page(store: Store, runs: Sequence[RunFacts]) -> str:
    """The whole report as one HTML page; its links into the viewer hold a new token."""
    names = [facts.run.name for facts in runs]
    title = names[0] if len(runs) == 1 else f"{len(runs)} runs: {', '.join(dict.fromkeys(names))}"
    token = secrets.token_hex(16)
    return page(title, [
        Section("Headline", _each(runs, headline)),
        Section("Accuracy against budget", _each(runs, budget_part)),
        *thought_sections(runs),
        Section("By difficulty", _each(runs, difficulty_part)),
        Section("Accuracy against FLOPs", flops_part(store, runs)),
        Section("Wrong though a right one was there", _each(runs, lambda facts: missed_part(facts, token))),
        Section("Small against large", against_table(runs)),
        Section("Gains", gains_table(runs)),
        Section("The PRM", _each(runs, prm_part)),
        Section("Example trees", _each(runs, example_trees)),
        Section("Cost", _each(runs, cost_section)),
    ], [run_title(facts.run) for facts in runs])  # fmt: skip


def report_pictures(store: Store, runs: Sequence[RunFacts]) -> Iterator[Picture]:
    """Every figure of the report."""
    for facts in runs:
        yield from budget_pictures(facts)
        yield from filter(None, [against_thought(facts)])
        if facts.independent is not None:
            yield by_difficulty(facts)
        yield from prm_pictures(store, facts.run_id)
    flops = against_flops(store, runs)
    if flops is not None:
        yield flops


def thought_sections(runs: Sequence[RunFacts]) -> list[Section]:
    """The section on reasoning; none where no policy spent different amounts of it."""
    drawn = [picture for facts in runs if (picture := against_thought(facts)) is not None]
    return [Section("Accuracy against tokens of reasoning", figures(drawn))] if drawn else []


def budget_pictures(facts: RunFacts) -> list[Picture]:
    """The figures of accuracy against budget: curves where there are several, dots where methods share one."""
    curves = [by_method(facts), by_selector(facts)] if len(facts.budgets) > 1 else []
    return [picture for picture in (*curves, at_one_budget(facts)) if picture is not None]


def budget_part(facts: RunFacts) -> Markup:
    """The curves and dots, and the table with every number."""
    drawn = figures(budget_pictures(facts)) or paragraph(NO_BUDGET.format(run_id=facts.run_id), "note")
    told = paragraph(
        f"In per cent, with 95 % intervals over problems{accuracy_notes(facts.store, facts.run_id)}; ? where "
        "verdicts are unknown, the accuracies with all of them wrong and with all of them right."
    )
    return lines([drawn, Markup("<h3>All numbers</h3>"), told + accuracy_table(facts), limits_table(facts)])


def difficulty_part(facts: RunFacts) -> Markup:
    """The curves by difficulty, or the reason why there are none."""
    if facts.independent is None:
        return paragraph(NOT_INDEPENDENT.format(run_id=facts.run_id), "note")
    return figures([by_difficulty(facts)])


def flops_part(store: Store, runs: Sequence[RunFacts]) -> Markup:
    """Accuracy against FLOPs of all runs, and the runs whose FLOPs are unknown."""
    picture = against_flops(store, runs)
    known = set() if picture is None else {panel.title for panel in picture.panels}
    unknown = [facts.run_id for facts in runs if facts.run_id not in known]
    drawn = Markup() if picture is None else figures([picture])
    return drawn + (paragraph(NO_FLOPS.format(runs=", ".join(unknown)), "note") if unknown else Markup())


def prm_part(facts: RunFacts) -> Markup:
    """Calibration, length bias and best-of-n accuracy of the scores, where measured."""
    if facts.run.prm is None:
        return paragraph(f"Run {facts.run_id} has no PRM.", "note")
    pictures = list(prm_pictures(facts.store, facts.run_id))
    if pictures:
        return figures(pictures)
    if facts.is_imported:
        return paragraph("Calibration and length bias are measured on runs of `overthink run` only.", "note")
    command = f"overthink prm-eval --run {facts.run_id} --store {facts.store.address}"
    return paragraph(f"Not measured yet. `{command}` measures it in seconds, without any model.", "note")


def _each(runs: Sequence[RunFacts], part: Callable[[RunFacts], Markup]) -> Markup:
    """One part per run, under the run's name where there are several."""
    if len(runs) == 1:
        return part(runs[0])
    return lines(Markup('<h3 class="run">{}</h3>\n{}').format(facts.run_id, part(facts)) for facts in runs)
