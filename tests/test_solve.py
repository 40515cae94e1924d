"""`overthink solve` as its users meet it: one question, a file, a total, and mistakes."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from applied import written
from bare_stages import without_prefect
from search_runs import one, rows
from typer.testing import CliRunner

import overthink.flows.commands.run
import overthink.flows.evaluate
from overthink.flows.commands.cli import app

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow without Prefect, its chatter where it falls."""
    without_prefect(monkeypatch.setattr)
    monkeypatch.setattr(overthink.flows.evaluate, "evaluate", overthink.flows.evaluate.evaluate.fn)
    monkeypatch.setattr(
        overthink.flows.commands.run, "carry_out", lambda store, run_id, what, flow: asyncio.run(flow())
    )


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    return written(tmp_path)


def solve(strategy: Path, *words: object, code: int = 0) -> str:
    arguments = ["solve", strategy, *words, "--store", strategy.parent / "store"]
    result = CliRunner().invoke(app, [str(word) for word in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def problems(folder: Path, *lines: Row) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


QUESTIONS: list[Row] = [{"q": f"What is question {number}?", "gold": str(number % 2)} for number in range(6)]


def test_one_question_is_answered_with_how_it_was_done_and_what_it_cost(strategy: Path) -> None:
    told = solve(strategy, "What is 1+1?", "--budget", "16").splitlines()
    store = strategy.parent / "store"
    (decision,) = rows(store, "SELECT * FROM decisions")
    (cost,) = rows(store, "SELECT * FROM costs")
    assert told[0] == f"answer: {one(store, 'SELECT answer FROM selections')}"
    assert told[1] == f"method: {decision['chosen']} by prm_min_vote, 16 solutions in all, the pilot's included"
    assert told[2] == f"difficulty: {decision['difficulty']} (pass@1 of {decision['predicted']:.2f} predicted)"
    assert told[3].startswith(f"cost: {cost['policy_completion_tokens']:,} tokens written, {cost['prm_tokens']:,} read")
    assert "unknown FLOPs" in told[3], "of a fake"
    assert one(store, "SELECT question FROM problems") == "What is 1+1?"


def test_a_solved_question_is_only_told_again(strategy: Path, count_calls: Counter[str]) -> None:
    told = solve(strategy, "What is 1+1?", "--budget", "16")
    before = dict(count_calls)
    assert before["generate"] > 0
    overthink.flows.evaluate.evaluate = None  # type: ignore[assignment]
    first, _, rest = solve(strategy, " What is 1+1? ", "--budget", "16").partition("\n")
    assert first.endswith("UTC, nothing to do") and rest == told
    assert count_calls == before


def test_a_file_is_answered_line_by_line_without_any_reference(strategy: Path) -> None:
    path = problems(strategy.parent, *QUESTIONS)
    told = solve(strategy, "--problems", path, "--map", "question=q", "--budget", "16", "--name", "open")
    store = strategy.parent / "store"
    answers = rows(store, "SELECT problem_id, answer, correct FROM selections")
    assert len(answers) == 6
    for row in answers:
        assert row["correct"] is None
        assert re.search(rf"│ {row['problem_id']} +│ {row['answer']} +│", told)
    assert "right" not in told
    assert "accuracy" not in told
    assert "could not be graded" not in told
    assert f'overthink sql --store {store} "SELECT * FROM selections"' in told
    assert one(store, "SELECT run_id FROM runs").startswith("open-")


def test_a_file_with_references_is_graded_too(strategy: Path) -> None:
    path = problems(strategy.parent, *QUESTIONS)
    told = solve(strategy, "--problems", path, "--map", "question=q", "--map", "reference=gold", "--budget", "4")
    right = one(strategy.parent / "store", "SELECT count(*) FROM selections WHERE correct")
    assert told.count("│ yes ") == right
    assert "accuracy in %" in told


def test_a_total_is_shared_out_and_held_against_what_it_took(strategy: Path) -> None:
    path = problems(strategy.parent, *QUESTIONS)
    told = solve(strategy, "--problems", path, "--map", "question=q", "--total-tokens", "2000")
    store = strategy.parent / "store"
    expected = one(store, "SELECT sum(expected_tokens) FROM decisions")
    took = one(store, "SELECT sum(policy_completion_tokens)::DOUBLE FROM costs")
    assert expected <= 2000
    line = f"compute_optimal-tokens2000-trial took {took:,.6g} of 2,000 tokens; it had expected {expected:,.6g}"
    assert line in " ".join(told.split())


def test_other_problems_only_add_to_the_store(strategy: Path, count_calls: Counter[str]) -> None:
    solve(strategy, "What is 1+1?", "--budget", "4")
    solve(strategy, "What is 2+2?", "--budget", "4")
    assert count_calls["generate"] == 8
    solve(strategy, "What is 1+1?", "--budget", "16")
    assert (
        one(strategy.parent / "store", "SELECT count(DISTINCT call_key) FROM calls WHERE kind = 'generate'")
        == (count_calls["generate"])
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["q?"], "one of --budget, --total-tokens and --total-flops"),
        (["q?", "--budget", "4", "--total-tokens", "9"], "one of --budget, --total-tokens and --total-flops"),
        (["--budget", "4"], "give one QUESTION, or a file of them with --problems"),
        (["q?", "--problems", "p.jsonl", "--budget", "4"], "give one QUESTION, or a file of them with --problems"),
        (["q?", "--map", "question=q", "--budget", "4"], "--map names the columns of --problems"),
        (
            ["--problems", "p.jsonl", "--map", "answer=a", "--budget", "4"],
            "there is no key 'answer': name one of question, reference, problem_id",
        ),
        (["--problems", "nowhere.jsonl", "--budget", "4"], "nowhere.jsonl: cannot be read"),
        (["", "--budget", "4"], "problems.questions.0: it is empty: give at least 1"),
        (["q?", "--budget", "8"], "no choice for a budget of 8: take one of 4, 16"),
        (["q?", "--budget", "4", "--name", "Not A Name"], "name: 'Not A Name' is no such name: write it with small"),
        (["q?", "--total-tokens", "5"], "total_tokens = 5 is less than"),
        (["q?", "--total-flops", "1e12"], "some choices have no flops"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(words: list[str], message: str, strategy: Path) -> None:
    assert message in " ".join(solve(strategy, *words, code=2).split())


def test_a_strategy_of_another_model_is_refused_naming_both(tmp_path: Path) -> None:
    told = solve(written(tmp_path, policy_id="abacus-1m@12345678"), "q?", "--budget", "4", code=2)
    assert re.search(r"fitted with policy = abacus-1m@12345678, and here it is fake@\w{8}", " ".join(told.split()))
