"""What follows a pilot, driven by hand: numbering, and scores for rollouts that have none yet."""

from collections.abc import Generator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.methods.best_of_n import best_of_n
from overthink.tasks.methods.compute_optimal import after_pilot
from overthink.tasks.methods.requests import Outcome, Score
from overthink.tasks.records import Rollout, Sample, Sampling, Scores, Unscored

PILOT = 4
SAMPLING = Sampling(0.7, 1.0, 64)


def sample(text: str) -> Sample:
    return Sample(text, (1,), (len(text),), (-1.0,), "stop", 3, 0)


def rollout(number: int, text: str, scores: tuple[float, ...] | None = None) -> Rollout:
    return Rollout(number, (sample(text),), "stop", scores)


def returned(outcome: Outcome) -> Generator[Any, Any, Outcome]:
    """A method that asks nothing."""
    yield []
    return outcome


def followed(*rollouts: Rollout) -> tuple[list[Score], Outcome]:
    """What is asked of the PRM after a method returned these, and the outcome where each step scores 1/length."""
    search = after_pilot(returned(Outcome(rollouts)), PILOT, "\n\n")
    (inner,) = next(search)
    assert next(inner) == []
    asked = search.send([finished(inner, [])])
    outcome = finished(search, [Scores(tuple(1 / len(step) for step in each.steps), 9) for each in asked])
    return list(asked), outcome


def finished(search: Generator[Any, Any, Outcome], replies: Sequence[Any]) -> Outcome:
    try:
        search.send(replies)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the method asks for more")


def test_best_of_n_goes_on_with_the_numbers_after_the_pilot_and_scores_equal_solutions_once() -> None:
    search = after_pilot(best_of_n(SAMPLING, range(PILOT, 7)), PILOT, "\n\n")
    (inner,) = next(search)
    assert [request.sample_index for request in next(inner)] == [4, 5, 6]
    asked = search.send([finished(inner, [sample("a\n\nbb"), sample("c"), sample("a\n\nbb")])])
    assert asked == [Score(("a", "bb"), 0, 4), Score(("c",), 0, 5)]
    outcome = finished(search, [Scores((0.1, 0.2), 9), Scores((0.3,), 9)])
    assert [(each.sample_index, each.scores) for each in outcome.rollouts] == [
        (4, (0.1, 0.2)),
        (5, (0.3,)),
        (6, (0.1, 0.2)),
    ]


def test_what_a_search_scored_on_the_way_is_not_scored_again() -> None:
    asked, outcome = followed(rollout(0, "a", (0.5,)), rollout(1, "a"), rollout(2, "bb", (0.25,)))
    assert asked == [Score(("a",), 0, 5)]
    assert [(each.sample_index, each.scores) for each in outcome.rollouts] == [(4, (0.5,)), (5, (1.0,)), (6, (0.25,))]


def test_a_rollout_without_steps_is_asked_about_nowhere() -> None:
    asked, outcome = followed(rollout(0, "\n\n"))
    assert (asked, outcome.rollouts[0].scores) == ([], ())


def test_a_solution_longer_than_the_prm_reads_stays_unknown() -> None:
    search = after_pilot(returned(Outcome((rollout(0, "a"), rollout(1, "bb")))), PILOT, "\n\n")
    (inner,) = next(search)
    next(inner)
    assert len(search.send([finished(inner, [])])) == 2
    outcome = finished(search, [Unscored("too long"), Scores((0.5,), 9)])
    assert [each.scores for each in outcome.rollouts] == [(), (0.5,)]


def test_at_the_pilots_own_budget_nothing_follows() -> None:
    search = after_pilot(best_of_n(SAMPLING, range(PILOT, PILOT)), PILOT, "\n\n")
    (inner,) = next(search)
    assert next(inner) == []
    assert search.send([finished(inner, [])]) == []
    assert finished(search, []) == Outcome(())


@given(st.lists(st.tuples(st.sampled_from(["a", "bb", "a\n\nbb", ""]), st.booleans())))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_no_rollout_is_lost_or_doubled_and_none_takes_a_pilots_number(drawn: list[tuple[str, bool]]) -> None:
    rollouts = [rollout(number, text, (0.5,) if scored else None) for number, (text, scored) in enumerate(drawn)]
    _, outcome = followed(*rollouts)
    assert [each.sample_index for each in outcome.rollouts] == list(range(PILOT, PILOT + len(rollouts)))
    assert [each.path for each in outcome.rollouts] == [each.path for each in rollouts]
    assert all(each.scores is not None for each in outcome.rollouts)
