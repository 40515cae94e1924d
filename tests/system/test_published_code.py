"""HumanEval and MBPP: the solutions that come with the data pass, and none that returns nothing does."""

import asyncio
from pathlib import Path

import pytest
from coded import CODE, results
from sandboxes import lack

from overthink.tasks.datasets.presets import PRESETS, PresetName
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.domain import Verdict
from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolated_sandbox import IsolatedSandbox
from overthink.tasks.records import Problem

DATA = Path(__file__).parents[3] / "shared" / "data" / "code"
SETS: dict[PresetName, tuple[str, int]] = {
    "humaneval": ("HumanEval.jsonl.gz", 164),
    "mbpp": ("mbpp_sanitized.jsonl", 427),
}
WRONG_EXAMPLE = "HumanEval/47"  # median([-10, 4, 6, 1000, 10, 20]) is 8, and its docstring says 15


@pytest.fixture(autouse=True, scope="module")
def _holding() -> None:
    if reason := lack() if DATA.is_dir() else f"{DATA} is not here":
        pytest.skip(reason)


def problems(preset: PresetName) -> tuple[Problem, ...]:
    """All problems of a set, as a run reads them."""
    name, count = SETS[preset]
    found = load_problems(FileSource(source="file", path=DATA / name, preset=preset), asking=Asking(CODE)).problems
    assert len(found) == count and PRESETS[preset].domain == "code"
    return found


async def verdicts(preset: PresetName, completion: str | None) -> dict[Verdict, list[str]]:
    """The problems by the verdict on a completion, None for the solution in the data; public tests pass with it."""
    sandbox = IsolatedSandbox(Bubblewrap())

    async def one(problem: Problem) -> Verdict:
        program = CODE.read(problem, problem.fields["canonical_solution"] if completion is None else completion)
        assert program is not None, problem.problem_id
        found = await results(CODE.tested(problem, program, 0), sandbox)
        signals = all(found["public"].passed) if "public" in found else completion is None
        assert signals is (completion is None) or problem.problem_id == WRONG_EXAMPLE
        return CODE.verdict(problem, [*found.values()])[0]

    known = problems(preset)
    of: dict[Verdict, list[str]] = {}
    for problem, verdict in zip(known, await asyncio.gather(*map(one, known)), strict=True):
        of.setdefault(verdict, []).append(problem.problem_id)
    return of


@pytest.mark.parametrize("preset", SETS)
async def test_every_solution_of_the_data_passes(preset: PresetName) -> None:
    assert [*await verdicts(preset, None)] == ["equal"]


@pytest.mark.parametrize("preset", SETS)
async def test_nothing_that_returns_nothing_passes(preset: PresetName) -> None:
    assert [*await verdicts(preset, "    return None\n")] == ["different"]
