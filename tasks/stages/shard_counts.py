"""What a shard counts while it is made: an addition or two a call; whatever is shown is computed from it elsewhere."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from overthink.storage.journal import JournaledCall
from overthink.storage.live_reports import Spending
from overthink.tasks.counted import counted


@dataclass(slots=True)
class ShardCounts:
    """The calls of one shard and its problems that are done; tokens are None once those of one call are unknown.

    `replayed` calls are those that were found in the journal; `milliseconds` are what the others took in sum, `squares`
    the sum of the squares of that.
    """

    answered: int = 0
    replayed: int = 0
    milliseconds: float = 0.0
    squares: float = 0.0
    policy_tokens: int | None = 0
    prm_tokens: int | None = 0
    calls_of_done: int = 0
    done: set[str] = field(default_factory=set)
    is_stored: bool = False
    began_at: float = field(default_factory=time.monotonic)
    open_calls: Counter[str] = field(default_factory=Counter)  # by problem, of those that are not done

    def call(self, call: JournaledCall) -> None:
        """Count one answered call."""
        self.answered += 1
        self.milliseconds += call.latency_ms
        self.squares += call.latency_ms * call.latency_ms
        self.open_calls[call.problem_key] += 1
        if call.kind == "generate":
            self.policy_tokens = _plus(self.policy_tokens, call.output_tokens)
        elif call.kind == "score":
            self.prm_tokens = _plus(self.prm_tokens, call.input_tokens)

    def replay(self, problem_key: str) -> None:
        """Count one call that was found in the journal."""
        self.replayed += 1
        self.open_calls[problem_key] += 1

    def problem(self, problem_key: str) -> None:
        """Count one problem as done; again, after an engine died, it counts once."""
        calls = self.open_calls.pop(problem_key, 0)
        if problem_key not in self.done:
            self.done.add(problem_key)
            self.calls_of_done += calls

    def again(self) -> None:
        """Begin a part, or begin it again: calls of problems that are not done will be replayed."""
        self.open_calls.clear()


@dataclass(frozen=True)
class Totals:
    """The sums of some shards: problems done, calls answered and replayed, seconds that answers took, tokens.

    `squares` is the sum of the squares of those seconds. `calls` are those of problems that are done and of problems at
    work, `calls_of_done` without the latter.
    """

    done: int
    answered: int
    replayed: int
    seconds: float
    squares: float
    spent: Spending
    calls_of_done: int
    calls: int

    @property
    def regularity(self) -> float:
        """How alike the times of answers are: 1 where all are equal, 0 where they vary like those of pure chance."""
        if not self.seconds:
            return 0.0
        return min(1.0, max(0.0, 2 - self.squares * self.answered / self.seconds**2))

    @property
    def tokens(self) -> int | None:
        """Tokens that the policy wrote and the PRM read; None where unknown."""
        return _plus(self.spent.policy_tokens, self.spent.prm_tokens)

    def said(self, seconds: float) -> str:
        """What was done in so many seconds: `5 problems, 80 calls, 12 of them from the journal, in 3.2 s, …`."""
        words = [counted(self.done, "problem")]
        if self.answered or self.replayed:
            journaled = f" ({self.replayed:,} from the journal)" if self.replayed else ""
            words.append(f"{counted(self.answered + self.replayed, 'call')}{journaled}")
        if self.answered:
            words.append("tokens unknown" if self.tokens is None else counted(self.tokens, "token"))
        rate = f", {self.tokens / seconds:,.0f} tokens/s" if self.tokens and seconds > 0 else ""
        return f"{', '.join(words)} in {seconds:,.1f} s{rate}"


def totals(shards: Iterable[ShardCounts]) -> Totals:
    """The sums of some shards, which may be counting in another thread."""
    every = list(shards)
    spent = (Spending(shard.policy_tokens, shard.prm_tokens) for shard in every)
    calls_of_done = sum(shard.calls_of_done for shard in every)
    return Totals(
        done=sum(len(shard.done) for shard in every),
        answered=sum(shard.answered for shard in every),
        replayed=sum(shard.replayed for shard in every),
        seconds=sum(shard.milliseconds for shard in every) / 1000,
        squares=sum(shard.squares for shard in every) / 1e6,
        spent=sum(spent, Spending()),
        calls_of_done=calls_of_done,
        calls=calls_of_done + sum(sum(list(shard.open_calls.values())) for shard in every),
    )


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
