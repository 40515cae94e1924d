"""The test stage: what became of the program of every rollout of one shard, on each suite of its problem's tests."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.tasks.domains.program_domain import ProgramDomain, SuiteResult
from overthink.tasks.methods.requests import Search
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.records import Problem
from overthink.tasks.stages.answers import answer_in, reading, rollouts_by_problem
from overthink.tasks.stages.context import EngineContext
from overthink.tasks.stages.driver import Driver
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.node import EngineNode, Input
from overthink.tasks.stages.score import rows_within

Row = dict[str, Any]
Results = tuple[SuiteResult, ...]
Programs = dict[str, list[Row]]  # the rollouts that hold a program, by the program


@dataclass(frozen=True, eq=False, kw_only=True)
class RunTestsNode(EngineNode):
    """The results of running the programs of another stage's rollouts.

    `sandbox` is the identity of what runs them: the outcome of a program depends on its interpreter.
    """

    kind: ClassVar[StageKind] = StageKind.TEST
    tables: ClassVar[tuple[str, ...]] = ("test_results", "calls")

    rollouts: Input
    grader: Grader
    sandbox: Mapping[str, str]
    policy: None = None
    prm: None = None
    seed: int = 0

    @property
    def domain(self) -> ProgramDomain:
        """The domain that tests programs."""
        assert isinstance(self.grader.domain, ProgramDomain), "only domains of programs have tests"
        return self.grader.domain

    @property
    def identity(self) -> JsonObject:
        """The rollouts, the tests, how programs are read, and the sandbox."""
        return stage_identity(
            self.kind,
            samples=self.rollouts.key,
            **reading(self.problems, self.grader),
            sandbox=dict(self.sandbox),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The rollouts."""
        return ((self.rollouts, "rollouts"),)

    async def part(self, context: EngineContext, extent: Extent) -> dict[str, pa.Table]:
        """Run the programs of one shard. Raises as `EngineNode.part`."""
        made = context.stage_of(self.rollouts.key)
        programs = await asyncio.to_thread(self._programs, made, extent)
        known = await asyncio.to_thread(self._known, context.stage, made, extent)

        async def run(driver: Driver, unit: str) -> list[Row]:
            problem = self.problems.by_key[unit]
            results = await driver.run(problem, run_all(self.domain, problem, programs[unit], known[unit]))
            return [
                {"rollout_id": rollout["rollout_id"], **asdict(result)}
                for program, rollouts in programs[unit].items()
                for rollout in rollouts
                for result in results[program]
            ]

        found = await self.for_each(context, extent.units, run)
        rows = sorted((row for rows in found for row in rows), key=lambda row: (row["rollout_id"], row["suite"]))
        return {"test_results": rows_table("test_results", rows)}

    def _programs(self, made: Stage, extent: Extent) -> dict[str, Programs]:
        """The different programs of each problem, by problem key; a rollout without one is in none."""
        rollouts = rollouts_by_problem(rows_within(made.table("rollouts", extent.units), extent))
        found: dict[str, Programs] = {unit: {} for unit in extent.units}
        for unit, rows in rollouts.items():
            for row in rows:
                program = answer_in(self.problems.by_key[unit], row, self.grader)
                if program is not None:
                    found[unit].setdefault(program, []).append(row)
        return found

    def _known(self, tested: Stage, made: Stage, extent: Extent) -> dict[str, dict[str, Results]]:
        """The results that the programs of earlier samples already have, by problem key and program."""
        if extent.first == 0:
            return {unit: {} for unit in extent.units}
        results = read_results(tested, extent.units)
        earlier = self._programs(made, Extent(extent.units, 0, extent.first))
        return {
            unit: {program: results[rows[0]["rollout_id"]] for program, rows in programs.items()}
            for unit, programs in earlier.items()
        }


def run_all(
    domain: ProgramDomain, problem: Problem, programs: Programs, known: Mapping[str, Results]
) -> Search[dict[str, Results]]:
    """A search that only runs tests: the results of each program, those of equal texts once."""
    new = [program for program in programs if program not in known]
    found = yield [domain.tested(problem, program, programs[program][0]["sample_index"]) for program in new]
    return {**known, **dict(zip(new, found, strict=True))}


def read_results(tested: Stage, units: tuple[str, ...]) -> dict[str, Results]:
    """The results of the rollouts of some problems, by rollout id; those without a program are absent."""
    found: dict[str, Results] = {}
    for row in tested.table("test_results", units).to_pylist():
        result = SuiteResult(passed=tuple(row.pop("passed")), **{k: v for k, v in row.items() if k != "rollout_id"})
        found[row["rollout_id"]] = (*found.get(row["rollout_id"], ()), result)
    return found
