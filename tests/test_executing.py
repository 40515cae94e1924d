"""Programs as requests of a search: journaled before anything acts on them, and never run twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from overthink.storage.journal import Journal
from overthink.tasks.errors import EngineDied
from overthink.tasks.methods.requests import Execute, Search
from overthink.tasks.programs import Limits, Program, ProgramOutcome
from overthink.tasks.records import Problem
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.shard_counts import ShardCounts

PROBLEM = Problem("key", "7", "Write f.", None)
RIGHT, WRONG = Program("f = 1", "assert f == 1", ("f",)), Program("f = 2", "assert f == 1", ("f",))


class Counting:
    """A sandbox that looks at the text alone, and counts; it dies at one of the programs."""

    def __init__(self, deadly: Program | None = None, python: str = "3.11") -> None:
        self.executed: list[Program] = []
        self._deadly, self._python = deadly, python

    def identity(self) -> dict[str, str]:
        return {"python": self._python}

    async def execute(self, program: Program, stdin: str, limits: Limits) -> ProgramOutcome:
        if program == self._deadly:
            raise EngineDied("the sandbox began no program")
        self.executed.append(program)
        return ProgramOutcome(f"größer {stdin}", "digest", "", 0, "exit", 0.1 + 0.2, program == RIGHT)


def asking(*programs: Program, stdin: str = "", limits: Limits = Limits(1)) -> Search[Sequence[Any]]:  # noqa: B008
    replies: Sequence[Any] = yield [Execute(program, stdin, limits, 3) for program in programs]
    return replies


class Shard:
    """One journal, opened again for each run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.counts = ShardCounts()

    async def run(self, search: Search[Any], sandbox: Counting, stage_key: str = "grade-1") -> Any:
        recorder = Recorder(Journal(self.path))
        access = EngineAccess(recorder, Admission(sandbox=1), self.counts)
        try:
            return await Driver(stage_key, 0, None, None, None, None, access, sandbox).run(PROBLEM, search)
        finally:
            self.calls = await recorder.take(("key",), 0, 4)
            await recorder.close()


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


async def test_a_program_is_run_once_and_its_outcome_is_the_same_afterwards(shard: Shard) -> None:
    first, second = Counting(), Counting()
    outcomes = await shard.run(asking(RIGHT, WRONG), first)
    assert [outcome.passed for outcome in outcomes] == [True, False]
    assert await shard.run(asking(RIGHT, WRONG), second) == outcomes
    assert (first.executed, second.executed) == ([RIGHT, WRONG], [])
    assert (shard.counts.answered, shard.counts.replayed) == (2, 2)


async def test_the_call_is_of_a_kind_of_its_own_and_has_no_tokens(shard: Shard) -> None:
    await shard.run(asking(RIGHT), Counting())
    (call,) = shard.calls
    assert (call.kind, call.model, call.problem_id, call.sample_index) == ("execute", "sandbox", "7", 3)
    assert (call.input_tokens, call.cached_tokens, call.output_tokens) == (None, None, None)


async def test_what_was_answered_before_the_sandbox_died_is_not_run_again(shard: Shard) -> None:
    with pytest.raises(EngineDied):
        await shard.run(asking(RIGHT, WRONG), Counting(deadly=WRONG))
    again = Counting()
    assert [outcome.passed for outcome in await shard.run(asking(RIGHT, WRONG), again)] == [True, False]
    assert again.executed == [WRONG]


@pytest.mark.parametrize(
    "changed",
    [
        {"stdin": "1"},
        {"limits": Limits(2)},
        {"sandbox": Counting(python="3.12")},
        {"stage_key": "grade-2"},
        {"program": Program(RIGHT.text, RIGHT.tests)},
        {"program": Program(RIGHT.text, None, RIGHT.under_test)},
    ],
)
async def test_whatever_an_outcome_depends_on_is_in_its_key(shard: Shard, changed: dict[str, Any]) -> None:
    await shard.run(asking(RIGHT), Counting())
    sandbox = changed.pop("sandbox", Counting())
    stage_key = changed.pop("stage_key", "grade-1")
    await shard.run(asking(changed.pop("program", RIGHT), **changed), sandbox, stage_key)
    assert len(sandbox.executed) == 1
