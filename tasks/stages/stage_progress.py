"""How far one process is with one stage: what its shards counted, and what follows from it for rates and time left.

A problem takes about as many calls as those that are done took, so problems at work count by what is done of them. A
request in flight counts by its age, as far as answers take alike times: of one that may end at any moment, age says
nothing. What was replayed from a journal is done, but nothing that this process has taken time for.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from overthink.storage.live_reports import Spending, StageReport
from overthink.tasks.counted import counted
from overthink.tasks.stages.shard_counts import ShardCounts, Totals, totals

logger = logging.getLogger(__name__)

MOST_AGE = 1.2  # of requests in flight, in mean answers


@dataclass(frozen=True)
class Watch:
    """What a stage is asked now and then: its requests in flight, and the engine that is being loaded for it."""

    in_flight: Callable[[], int] = lambda: 0
    loading: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class StagePlace:
    """A stage among those of its run: which it is, `of` how many; what of its `size` problems was found done.

    `gpus` are those of its engines, None where unknown.
    """

    title: str
    size: int
    found: int = 0
    number: int | None = None
    of: int | None = None
    gpus: int | None = None
    unit: str = "problem"


class StageProgress:
    """One stage in progress; `look` is called all along, so that times are known without a clock at every call."""

    def __init__(self, place: StagePlace, watch: Watch) -> None:
        self.place = place
        self._watch = watch
        self._shards: list[ShardCounts] = []
        self._done_elsewhere = 0  # in parts that another process wrote
        self._advanced = 0  # units of work that are no problems
        self._began_at, self._looked_at = time.time(), time.monotonic()
        self._active = 0.0  # seconds in which no engine was being loaded
        self._asking = 0.0  # seconds in which requests were in flight
        self._in_engines = 0.0  # seconds that requests spent in engines, in sum

    def shard(self) -> ShardCounts:
        """Begin to count a shard."""
        counts = ShardCounts()
        self._shards.append(counts)
        return counts

    def stored(self, counts: ShardCounts, order: int) -> None:
        """Note that a shard, the one at a place in the order, is whole."""
        counts.is_stored = True
        said = totals([counts]).said(time.monotonic() - counts.began_at)
        logger.info("%s: part %d is stored: %s", self.place.title, order + 1, said)

    def done_elsewhere(self, problems: int) -> None:
        """Count problems that another process did."""
        self._done_elsewhere += problems

    def advance(self, units: int) -> None:
        """Count work that is not of problems."""
        self._advanced += units

    def look(self) -> None:
        """Take note of the time since the last look."""
        now, in_flight = time.monotonic(), self._watch.in_flight()
        seconds, self._looked_at = now - self._looked_at, now
        if self._watch.loading() is None:
            self._active += seconds
            self._asking += seconds if in_flight else 0.0
            self._in_engines += seconds * in_flight

    @property
    def seconds_a_problem(self) -> float | None:
        """What a problem takes; None where unknown."""
        rate = self.report().rate
        return None if rate is None else 1 / rate

    @property
    def spent(self) -> Spending:
        """What the stage has taken of this process."""
        gpus, asking = self.place.gpus, self._asking
        gpu_seconds = asking * gpus if gpus is not None else None if asking else 0.0
        return totals(self._shards).spent + Spending(engine_seconds=asking, gpu_seconds=gpu_seconds)

    def said(self) -> str:
        """What this process has done, in words."""
        if self._advanced:
            return f"{counted(self._advanced, self.place.unit)} in {self._active:,.1f} s"
        return totals(self._shards).said(self._active)

    def report(self) -> StageReport:
        """How far it is."""
        sums, place = totals(self._shards), self.place
        flying = self._flying(sums)
        stored = [shard for shard in self._shards if shard.is_stored]
        in_hand = [shard for shard in self._shards if not shard.is_stored]
        has_calls = sums.answered + sums.replayed > 0
        calls_a_problem = sums.calls_of_done / sums.done if sums.calls_of_done else None
        under_way = (sums.calls - sums.calls_of_done + flying) / calls_a_problem if calls_a_problem else 0.0
        worked = (sums.answered + flying) / calls_a_problem if calls_a_problem else 0.0
        return StageReport(
            title=place.title,
            number=place.number,
            of=place.of,
            began_at=self._began_at,
            problems=place.size,
            found=place.found,
            stored=totals(stored).done + self._done_elsewhere,
            in_hand=totals(in_hand).done + self._advanced,
            under_way=under_way,
            rate=self._a_second(worked if has_calls else sums.done + self._advanced),
            tokens_per_second=self._token_rate(sums, flying),
            in_flight=self._watch.in_flight(),
            loading=self._watch.loading(),
            unit=place.unit,
        )

    def _flying(self, sums: Totals) -> float:
        """What has been done of the requests in flight, as a number of answers."""
        in_flight = self._watch.in_flight()
        if not sums.seconds or not in_flight:
            return 0.0
        age = max(0.0, self._in_engines - sums.seconds) / in_flight
        ratio = age * sums.answered / sums.seconds
        if ratio > MOST_AGE:  # what was answered first was shorter than the rest
            return 0.0
        return in_flight * min(1.0, ratio) * sums.regularity

    def _token_rate(self, sums: Totals, flying: float) -> float | None:
        if not sums.tokens:
            return None
        return self._a_second(sums.tokens * (1 + flying / sums.answered))

    def _a_second(self, amount: float) -> float | None:
        return amount / self._active if amount and self._active else None
