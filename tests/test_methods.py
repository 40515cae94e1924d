"""Methods driven by next and send, with literal replies."""

from collections.abc import Sequence

import pytest

from overthink.tasks.methods.best_of_n import best_of_n
from overthink.tasks.methods.cot import cot
from overthink.tasks.methods.requests import Generate, Outcome, Reply, Search
from overthink.tasks.records import Rollout, Sample, Sampling, Scores

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64, stop=("END",))


def written(text: str, stop_reason: str = "stop") -> Sample:
    return Sample(text, (1, 2), (1, len(text)), (-0.5, -0.25), stop_reason, 5)  # type: ignore[arg-type]


def finish(search: Search, replies: Sequence[Reply]) -> Outcome:
    with pytest.raises(StopIteration) as finished:
        search.send(replies)
    outcome: Outcome = finished.value.value
    return outcome


def test_cot_asks_once_at_temperature_zero() -> None:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=64, stop=("END",))
    assert next(cot(SAMPLING)) == [Generate((), 0, greedy)]


@pytest.mark.parametrize("stop_reason", ["stop", "length"])
def test_cot_returns_its_one_solution(stop_reason: str) -> None:
    search, sample = cot(SAMPLING), written("x", stop_reason)
    next(search)
    assert finish(search, [sample]) == Outcome((Rollout(0, (sample,), stop_reason),))  # type: ignore[arg-type]


def test_best_of_n_asks_for_its_range_of_samples_at_once() -> None:
    assert next(best_of_n(SAMPLING, range(3, 7))) == [Generate((), index, SAMPLING) for index in (3, 4, 5, 6)]


def test_best_of_n_returns_the_samples_in_order_with_their_stop_reasons() -> None:
    replies = [written("d"), written("c", "length"), written("b"), written("a", "length")]
    search = best_of_n(SAMPLING, range(3, 7))
    next(search)
    assert [(r.sample_index, r.path, r.stop_reason) for r in finish(search, replies).rollouts] == [
        (3, (replies[0],), "stop"),
        (4, (replies[1],), "length"),
        (5, (replies[2],), "stop"),
        (6, (replies[3],), "length"),
    ]


def test_best_of_n_keeps_samples_that_are_alike() -> None:
    search = best_of_n(SAMPLING, range(0, 2))
    next(search)
    assert len(finish(search, [written("x"), written("x")]).rollouts) == 2


@pytest.mark.parametrize("search", [cot(SAMPLING), best_of_n(SAMPLING, range(0, 1))], ids=["cot", "best_of_n"])
def test_scores_instead_of_a_sample_are_a_type_error(search: Search) -> None:
    next(search)
    with pytest.raises(TypeError, match="answered with something else than a sample"):
        search.send([Scores((0.5,), 3)])


@pytest.mark.parametrize("count", [0, 3])
def test_a_wrong_number_of_replies_is_a_value_error(count: int) -> None:
    search = best_of_n(SAMPLING, range(0, 2))
    next(search)
    with pytest.raises(ValueError, match="zip"):
        search.send([written("x")] * count)
