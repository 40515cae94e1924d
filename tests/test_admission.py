"""Problems begin in order and only where there is room, over all shards of a stage; requests go in that order too."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.turns import EngineTurns


async def settled() -> None:
    """Let everything happen that can."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass
class Site:
    """Shards of problems of some requests each; every request waits until the test answers it."""

    admission: Admission
    begun: list[tuple[int, int]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    answers: list[asyncio.Future[None]] = field(default_factory=list)

    async def shard(self, order: int, problems: int, requests: int, tokens: int = 1) -> None:
        async with self.admission.shard(order):
            await asyncio.gather(*(self.problem(order, number, requests, tokens) for number in range(problems)))

    async def problem(self, order: int, number: int, requests: int, tokens: int) -> None:
        async with self.admission.problem(order) as ticket:
            self.begun.append((order, number))

            async def request() -> None:
                async with self.admission.turn("policy", ticket):
                    self.asked.append((order, number))
                    self.answers.append(asyncio.get_running_loop().create_future())
                    await self.answers[-1]
                self.admission.wrote(ticket, 0, tokens)

            await asyncio.gather(*(request() for _ in range(requests)))

    def start(self, *shards: Callable[[], object]) -> list["asyncio.Task[None]"]:
        return [asyncio.ensure_future(shard()) for shard in shards]  # type: ignore[arg-type]

    async def answer(self, count: int) -> None:
        for _ in range(count):
            next(answer for answer in self.answers if not answer.done()).set_result(None)
            await settled()


async def test_no_problem_begins_before_there_is_room_for_its_requests() -> None:
    site = Site(Admission(policy=4))
    tasks = site.start(lambda: site.shard(0, 10, 2))
    await settled()
    assert site.begun == [(0, 0), (0, 1)]
    await site.answer(2)
    assert site.begun == [(0, 0), (0, 1), (0, 2)]
    await site.answer(18)
    await asyncio.gather(*tasks)
    assert site.begun == [(0, number) for number in range(10)]


async def test_the_next_shard_begins_while_the_last_problems_of_one_end() -> None:
    site = Site(Admission(policy=4))
    tasks = site.start(*(lambda order=order: site.shard(order, 3, 2) for order in range(3)))  # type: ignore[misc]
    await settled()
    assert site.begun == [(0, 0), (0, 1)]
    await site.answer(4)
    assert site.begun == [(0, 0), (0, 1), (0, 2), (1, 0)]
    await site.answer(14)
    await asyncio.gather(*tasks)
    assert site.begun == sorted(site.begun)
    assert site.asked == sorted(site.asked)


async def test_the_requests_of_the_problem_that_began_first_go_first() -> None:
    turns = EngineTurns(1, lambda: None)
    await turns.take((0, 1))
    served: list[tuple[int, int]] = []

    async def request(ticket: tuple[int, int]) -> None:
        await turns.take(ticket)
        served.append(ticket)
        turns.give_back()

    waiting = [asyncio.ensure_future(request(ticket)) for ticket in [(1, 7), (0, 3), (0, 2), (1, 5)]]
    await settled()
    turns.give_back()
    await asyncio.gather(*waiting)
    assert served == [(0, 2), (0, 3), (1, 5), (1, 7)]
    assert turns.has_room


async def test_a_turn_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    turns = EngineTurns(1, lambda: None)
    await turns.take((0, 0))
    gone, given = (asyncio.ensure_future(turns.take((0, number))) for number in (1, 2))
    await settled()
    gone.cancel()
    turns.give_back()
    await given
    late = asyncio.ensure_future(turns.take((0, 3)))
    await settled()
    turns.give_back()  # the turn is given, and its owner is cancelled before it knows
    late.cancel()
    await settled()
    assert turns.has_room


async def test_a_slow_verifier_lets_no_new_problem_begin() -> None:
    admission = Admission(policy=8, prm=1)
    began = 0

    async def problem() -> None:
        nonlocal began
        async with admission.problem(0) as ticket:
            began += 1
            async with admission.turn("policy", ticket):
                pass
            async with admission.turn("prm", ticket):
                await asyncio.sleep(3600)

    tasks = [asyncio.ensure_future(problem()) for _ in range(20)]
    await settled()
    assert began < 5
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_problems_at_work_are_those_whose_tokens_the_cache_holds() -> None:
    site = Site(Admission(policy=100))
    site.admission.cache_tokens = 35
    tasks = site.start(lambda: site.shard(0, 40, 1, tokens=10))
    await settled()
    await site.answer(40)
    await asyncio.gather(*tasks)
    most = 0
    site = Site(site.admission)  # which knows by now what a problem takes
    tasks = site.start(lambda: site.shard(1, 9, 1, tokens=10))
    while not all(task.done() for task in tasks):
        await settled()
        most = max(most, sum(not answer.done() for answer in site.answers))
        await site.answer(1)
    assert most == 3


async def test_a_problem_larger_than_the_cache_is_worked_on_alone() -> None:
    site = Site(Admission(policy=100))
    site.admission.cache_tokens = 1
    tasks = site.start(lambda: site.shard(0, 3, 1, tokens=10))
    await settled()
    await site.answer(3)
    await asyncio.gather(*tasks)
    assert len(site.begun) == 3


@pytest.mark.parametrize("where", ["waiting", "starting", "at work"])
async def test_one_that_is_cancelled_holds_up_no_other(where: str) -> None:
    admission = Admission(policy=1)
    reached = asyncio.Event()

    async def first() -> None:
        async with admission.problem(0) as ticket:
            if where == "at work":
                async with admission.turn("policy", ticket):
                    reached.set()
                    await asyncio.sleep(3600)
            reached.set()
            await asyncio.sleep(3600)

    async def other() -> None:
        async with admission.problem(1) as ticket, admission.turn("policy", ticket):
            pass

    victim = asyncio.ensure_future(first())
    if where != "waiting":
        await reached.wait()
    waiting = asyncio.ensure_future(other())
    await settled() if where != "waiting" else None
    victim.cancel()
    async with asyncio.timeout(10):
        await waiting


async def test_a_shard_without_anything_to_do_lets_the_next_begin() -> None:
    admission = Admission(policy=1)
    async with asyncio.timeout(10):
        async with admission.shard(0):
            pass
        async with admission.shard(1), admission.problem(1) as ticket, admission.turn("policy", ticket):
            pass
