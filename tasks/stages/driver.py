"""Runs many searches at once over the engines; each resumes as soon as its own replies arrive.

The number of calls in flight is bounded. Every answered call is journaled before its search sees it; a call that an
earlier, killed run journaled is replayed instead of made.
"""

import asyncio
import hashlib
import math
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

from overthink.storage.journal import JournaledCall
from overthink.storage.keys import content_key
from overthink.storage.stage_kinds import Role
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy, Prm, Sandbox, Verifier
from overthink.tasks.errors import BadReply, PromptTooLong
from overthink.tasks.methods.requests import Ask, Execute, Generate, Request, Result, Score, Search
from overthink.tasks.programs import ProgramOutcome
from overthink.tasks.records import Problem, Sample, Scores, Unscored
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.recorder import (
    Recorder,
    decode_program_outcome,
    decode_sample,
    decode_scores,
    encode_reply,
)
from overthink.tasks.stages.shard_counts import ShardCounts
from overthink.tasks.stages.turns import Ticket

Answer = TypeVar("Answer", Sample, Scores, ProgramOutcome)


@dataclass(frozen=True)
class Timing:
    """When a call began, in seconds since the epoch, and how many seconds its answer took."""

    started: float
    seconds: float


@dataclass(frozen=True)
class EngineAccess:
    """How a shard's calls are made: the journal, whose turn it is, what counts them, the shard's place."""

    recorder: Recorder
    admission: Admission
    counts: ShardCounts
    order: int = 0


@dataclass(frozen=True)
class Driver:
    """The engines and the journal that searches run over. `stage_key` and `seed` go into every call's key.

    `ticket` is the place of the problem in the order of turns.
    """

    stage_key: str
    seed: int
    model: str | None
    prm_id: str | None
    policy: Policy | None
    prm: AnyPrm | None
    access: EngineAccess
    sandbox: Sandbox | None = None
    ticket: Ticket = (0, 0)

    async def run(self, problem: Problem, search: Search[Result]) -> Result:
        """Run one search to its end. Raises EngineDied or BadReply, after the replies that arrived are journaled."""
        replies: Sequence[Any] | None = None
        while True:
            try:
                batch = next(search) if replies is None else search.send(replies)
            except StopIteration as finished:
                result: Result = finished.value
                return result
            replies = await _all([self._answer(problem, asked) for asked in batch])

    def _answer(self, problem: Problem, asked: Request | Search[Any]) -> Coroutine[Any, Any, Any]:
        match asked:
            case Generate():
                return self._generate(problem, asked)
            case Score():
                return self._score(problem, asked)
            case Execute():
                return self._execute(problem, asked)
            case Ask():
                return self._ask(problem, asked)
            case _:
                return self.run(problem, asked)

    async def _generate(self, problem: Problem, request: Generate) -> Sample:
        assert self.policy is not None, "this stage has no policy"
        policy, question, path, sampling = self.policy, problem.asked, request.path, request.sampling
        identity = [self.stage_key, problem.problem_key, request.sample_index, self.seed]
        prompt = [policy.prompt(question), *map(policy.tokens_of, path)]
        call_key = content_key([*identity, digest_of(prompt), sampling.identity])

        async def make() -> Sample:
            sample = await policy.generate(question, path, sampling, seed_of(call_key))
            self.access.admission.wrote(self.ticket, sample.prompt_tokens or 0, len(sample.tokens))
            return sample

        return await self._once(problem, request, call_key, "policy", make, decode_sample)

    async def _score(self, problem: Problem, request: Score) -> Scores | Unscored:
        assert self.prm is not None, "this stage has no PRM"
        try:
            if isinstance(self.prm, Verifier):
                # Its critiques are journaled, each as a call, and not what follows from them.
                return await self.run(problem, self.prm.judge(problem.question, request))
            return await self._score_by(self.prm, problem, request)
        except PromptTooLong as error:
            # Not journaled: nothing was computed, and a resumed run gets the same result.
            return Unscored(f"problem {problem.problem_id}: {error}")

    async def _score_by(self, prm: Prm, problem: Problem, request: Score) -> Scores:
        identity = [self.stage_key, problem.problem_key, request.sample_index, problem.question]
        call_key = content_key([*identity, request.steps, request.from_step])

        async def make() -> Scores:
            scores = await prm.score(problem.question, request.steps, request.from_step)
            check_scores(scores, len(request.steps) - request.from_step, problem.problem_id, str(self.prm_id))
            return scores

        return await self._once(problem, request, call_key, "prm", make, decode_scores)

    async def _ask(self, problem: Problem, request: Ask) -> Sample:
        assert isinstance(self.prm, Verifier), "this stage has no verifier"
        verifier = self.prm
        identity = [self.stage_key, problem.problem_key, request.sample_index, request.draw, request.forced]
        call_key = content_key([*identity, digest_of(verifier.tokens_of(request)), request.sampling.identity])
        make = partial(verifier.write, request, seed_of(call_key))
        return await self._once(problem, request, call_key, "prm", make, decode_sample)

    async def _execute(self, problem: Problem, request: Execute) -> ProgramOutcome:
        assert self.sandbox is not None, "this stage has no sandbox"
        identity = [self.stage_key, problem.problem_key, request.sample_index, self.sandbox.identity()]
        call_key = content_key([*identity, asdict(request.program), request.stdin, asdict(request.limits)])
        make = partial(self.sandbox.execute, request.program, request.stdin, request.limits)
        return await self._once(problem, request, call_key, "sandbox", make, decode_program_outcome)

    async def _once(
        self,
        problem: Problem,
        request: Request,
        call_key: str,
        role: Role,
        make: Callable[[], Awaitable[Answer]],
        decode: Callable[[str], Answer],
    ) -> Answer:
        """The reply to a call: that of the journal, else of the engine in its turn, journaled before it is used."""
        known = await self.access.recorder.replay(call_key)
        if known is not None:
            self.access.admission.asked(self.ticket)
            self.access.counts.replay(problem.problem_key)
            return decode(known)
        async with self.access.admission.turn(role, self.ticket):
            started, clock = time.time(), time.perf_counter()
            reply = await make()
            timing = Timing(started, time.perf_counter() - clock)
        call = self._call(call_key, problem, request, reply, timing)
        await self.access.recorder.record(call)
        self.access.counts.call(call)
        return reply

    def _call(
        self, call_key: str, problem: Problem, request: Request, reply: Sample | Scores | ProgramOutcome, timing: Timing
    ) -> JournaledCall:
        input_tokens: int | None
        output_tokens: int | None
        cached_tokens: int | None
        match reply:
            case Sample():
                is_verifiers = isinstance(request, Ask)
                kind, model = ("score", str(self.prm_id)) if is_verifiers else ("generate", str(self.model))
                cached_tokens = reply.cached_tokens
                input_tokens, output_tokens = reply.prompt_tokens, reply.completion_tokens
            case Scores():
                kind, model, cached_tokens = "score", str(self.prm_id), reply.cached_tokens
                input_tokens, output_tokens = reply.input_tokens, 0
            case ProgramOutcome():
                kind, model = "execute", "sandbox"
                input_tokens = output_tokens = cached_tokens = None
        return JournaledCall(
            call_key=call_key,
            problem_key=problem.problem_key,
            problem_id=problem.problem_id,
            sample_index=request.sample_index,
            kind=kind,
            model=model,
            reply=encode_reply(reply),
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
            latency_ms=timing.seconds * 1000,
            started_at=timing.started,
        )


def seed_of(call_key: str) -> int:
    """The seed of a call. Engines take at least 32 bits; the key depends on everything that determines the draw."""
    return int(call_key[:8], 16) & 0x7FFFFFFF


def digest_of(parts: Iterable[tuple[int, ...]]) -> str:
    """A hash of the exact tokens of a prompt, part by part; much shorter than the tokens themselves."""
    digest = hashlib.sha256()
    for tokens in parts:
        digest.update(array("Q", tokens))
    return digest.hexdigest()


def check_scores(scores: Scores, expected: int, problem_id: str, prm: str) -> None:
    """Raise BadReply, naming the problem and the PRM, unless there are `expected` numbers, each in [0, 1]."""
    if len(scores.values) != expected:
        raise BadReply(f"PRM {prm} gave {len(scores.values)} scores for {expected} steps of problem {problem_id}")
    for value in scores.values:
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise BadReply(f"PRM {prm} gave the score {value} for problem {problem_id}: scores lie in [0, 1]")


async def _all(answers: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Every reply, in order. Where one fails, the others are awaited (and journaled) before its error is raised."""
    if len(answers) == 1:
        return [await answers[0]]
    results = await asyncio.gather(*answers, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
