"""A small store for the viewer's tests: two runs on the same problems, with every table that pages show.

`said` writes every text of it, so that each can be a hostile one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage_samples import run_named

from overthink.storage.live_reports import LiveReport, Spending, StageReport
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store

Row = dict[str, Any]
Said = Callable[[str], str]
SAMPLED, SEARCHED = "best_of_n-n4", "beam_search-n4-m2"
# What the four rollouts of each problem answer, and the last score of each: the reference is 7 of all.
ANSWERS = {
    "outvoted": (("5", 0.9), ("5", 0.4), ("5", 0.3), ("7", 0.8)),
    "hopeless": (("1", 0.2), ("2", 0.6), ("2", 0.5), (None, 0.1)),
    "easy": (("7", 0.9), ("7", 0.8), ("7", 0.9), ("2", 0.1)),
}
REFERENCE = "7"
QUESTIONS = {
    "outvoted": "What is $\\frac{14}{2}$, at \\$5 or $6?",
    "hopeless": "How many sides has a heptagon?",
    "easy": "What is $3 + 4$?",
}


def write_store(root: Path, said: Said = str) -> Store:
    """The runs `first` and `second`; the second has all of `outvoted` right and does not score."""
    store = Store(root)
    write_run(store, "first", said, ANSWERS)
    better = ANSWERS | {"outvoted": (("7", None),) * 4, "easy": (("2", None),) * 4}
    write_run(store, "second", said, better)
    return store


def write_run(store: Store, name: str, said: Said, answers: dict[str, Any]) -> Run:
    """A finished run of best-of-4 and, with it, a beam search that drew one tree."""
    keys = {kind: f"{kind}-{name}0" for kind in StageKind}
    drawn = [
        drawn_of(name, said, problem, index, *one) for problem in answers for index, one in enumerate(answers[problem])
    ]
    extent = Extent(tuple(answers), 0, 4)
    parts: dict[StageKind, dict[str, list[Row]]] = {
        StageKind.PROBLEMS: {"problems": [problem_of(said, problem) for problem in answers]},
        StageKind.SAMPLE: {"rollouts": drawn, "steps": [step for row in drawn for step in row["steps"]]},
        StageKind.SCORE: {"scores": [step for row in drawn for step in row["steps"] if step["score"] is not None]},
        StageKind.TEST: {"test_results": [row["test"] for row in drawn[:2]]},
        StageKind.GRADE: {"answers": drawn, "grades": drawn},
        StageKind.SELECT: {"groups": drawn, "selections": chosen(said, answers), "estimates": estimates()},
        StageKind.SEARCH: {"nodes": nodes(said)},
    }
    for kind, tables in parts.items():
        rows = {table: rows_table(table, found) for table, found in tables.items() if found}
        if rows:
            store.stage(keys[kind]).write_part(extent, rows)
    kinds = (StageKind.SAMPLE, StageKind.SCORE, StageKind.TEST, StageKind.GRADE, StageKind.SELECT)
    uses = [StageUse(kind, keys[kind], SAMPLED, 4) for kind in kinds if store.stage(keys[kind]).entries()]
    stages = [StageUse(StageKind.PROBLEMS, keys[StageKind.PROBLEMS]), *uses]
    stages.append(StageUse(StageKind.SEARCH, keys[StageKind.SEARCH], SEARCHED, 4))
    named = {"name": said(name), "policy": said("policy"), "prm": said("prm"), "problem_set": said("sevens")}
    run = run_named(name, *stages, **named)
    store.write_run(run)
    return run


def problem_of(said: Said, problem: str) -> Row:
    told = {"question": QUESTIONS[problem], "level": "2", "subject": "sums", "domain": "math", "problem_set": "sevens"}
    texts = {name: said(text) for name, text in (told | {"reference": REFERENCE}).items()}
    return texts | {"problem_key": problem, "problem_id": said(problem)}


def drawn_of(run: str, said: Said, problem: str, index: int, answer: str | None, score: float | None) -> Row:
    """A rollout with all that later stages say of it: the columns of every table that is about one."""
    rollout_id = f"{run}/{problem}/{index}"
    of = {"rollout_id": rollout_id, "problem_key": problem, "problem_id": said(problem), "sample_index": index}
    texts = [said(f"First, ${index} + 7$.\n"), said(f"So it is \\boxed{{{answer}}}.")]
    scores = (0.7, score) if score is not None else (None, None)
    steps = [
        {"rollout_id": rollout_id, "step_index": place, "text": text, "prm": said("prm"), "score": value}
        for place, (text, value) in enumerate(zip(texts, scores, strict=True))
    ]
    told = {"answer": None if answer is None else said(answer), "answer_group": answer and said(answer)}
    grade = {"correct": answer == REFERENCE, "detail": said("compared"), "grader": said("math"), "grader_version": 2}
    test = {"suite": said("public"), "passed": [True, False, None], "ended": said("exit"), "detail": said("1 != 2")}
    written = {"text": "\n".join(texts), "reasoning_text": said("Let me think."), "reasoning_tokens": 5}
    counts = {"completion_tokens": 20 + index, "prompt_tokens": 9, "stop_reason": said("stop"), "logprob_mean": -0.5}
    more = {"answer_key": told["answer"], "reference": said(REFERENCE), "step_count": 2}
    return of | told | grade | written | counts | more | {"steps": steps, "test": {"rollout_id": rollout_id} | test}


def chosen(said: Said, answers: dict[str, Any]) -> list[Row]:
    """What the vote, the best last score and the oracle chose of four."""
    rows = []
    for problem, drawn in answers.items():
        given = [answer for answer, _ in drawn if answer is not None]
        scored = [(score, answer) for answer, score in drawn if score is not None and answer is not None]
        picks = {"majority": max(given, key=given.count), "oracle": REFERENCE if REFERENCE in given else given[0]}
        picks |= {"prm_last_max": max(scored)[1]} if scored else {}
        rows += [
            {
                "problem_id": said(problem),
                "n": 4,
                "selector": selector,
                "answer": said(pick),
                "correct": pick == REFERENCE,
            }
            for selector, pick in picks.items()
        ]
    return rows


def estimates() -> list[Row]:
    """Accuracies, of which the vote's is the best."""
    accuracies = {"majority": 0.5, "prm_last_max": 0.4, "oracle": 0.9}
    return [{"selector": name, "n": 4, "problems": 3, "accuracy": value} for name, value in accuracies.items()]


def nodes(said: Said) -> list[Row]:
    """A tree of the problem `outvoted`: a kept step, with a kept end and a pruned one below, and a pruned step."""
    tree = (("a", None, 0.9, True), ("b", None, 0.2, False), ("c", "a", 0.8, True), ("d", "a", 0.1, False))
    return [
        {
            **{"problem_key": "outvoted", "problem_id": said("outvoted"), "node_id": node, "parent_id": parent},
            **{"depth": 0 if parent is None else 1, "draw": place, "text": said(f"step {node}"), "score": score},
            **{"value": score, "kept": kept, "finished": node == "c"},
        }
        for place, (node, parent, score, kept) in enumerate(tree)
    ]


def a_report(written_at: float, problems: int = 8) -> LiveReport:
    """What a process says of its first stage, in which 6 problems are done, at 1 a second."""
    stage = StageReport("sample best_of_n-n4", 1, 4, 0.0, problems, found=4, stored=2, rate=1.0)
    return LiveReport(1, "node1", 0.0, written_at, Spending(), stage)
