"""What a PRM has read is found again, bounded in memory, and never loses what other prefixes stand on."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from overthink.tasks.engines.torch.prefix_cache import PrefixStore, Segment

STEPS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple)


def ids_of(steps: tuple[str, ...]) -> tuple[int, ...]:
    """Three tokens a step."""
    return tuple(code for step in steps for code in (ord(step), ord(step) + 1, 0))


def segment(steps: tuple[str, ...], before: Segment | None, size: int = 10) -> Segment:
    known = 0 if before is None else before.tokens
    tensor: Any = SimpleNamespace(nbytes=size // 2)
    return Segment(ids_of(steps)[known:], [(tensor, tensor)], before)


def read(store: PrefixStore, steps: tuple[str, ...], question: str = "q") -> Segment | None:
    """As the engine does: look for what is known of the steps before the last, then keep what was read."""
    known = store.longest(question, steps[:-1], ids_of(steps))
    store.put(question, steps, segment(steps, known))
    return known


def test_the_longest_prefix_is_found() -> None:
    store = PrefixStore(1000)
    assert read(store, ("a",)) is None
    first = read(store, ("a", "b"))
    assert first is not None and first.tokens == 3
    second = read(store, ("a", "b", "a"))
    assert second is not None and second.tokens == 6
    assert second.ids == ids_of(("b",))
    assert [part.ids for part in second.path] == [ids_of(("a",)), ids_of(("b",))]


def test_steps_of_another_question_are_not_taken() -> None:
    store = PrefixStore(1000)
    read(store, ("a",))
    assert store.longest("another", ("a",), ids_of(("a", "b"))) is None


def test_a_prefix_whose_tokens_differ_is_not_taken() -> None:
    store = PrefixStore(1000)
    read(store, ("a",))
    assert store.longest("q", ("a",), (1, 2, 3, 4)) is None


def test_a_token_is_always_left_to_read() -> None:
    store = PrefixStore(1000)
    read(store, ("a",))
    assert store.longest("q", ("a",), ids_of(("a",))) is None


def test_the_least_recently_used_goes_first() -> None:
    store = PrefixStore(20)
    read(store, ("a",))
    read(store, ("b",))
    assert store.longest("q", ("a",), ids_of(("a", "a"))) is not None, "used again"
    read(store, ("c",))
    assert store.longest("q", ("b",), ids_of(("b", "a"))) is None
    assert store.longest("q", ("a",), ids_of(("a", "a"))) is not None


def test_a_segment_over_the_limit_is_not_kept() -> None:
    store = PrefixStore(5)
    read(store, ("a",))
    assert store.bytes == 0


@given(st.lists(STEPS, max_size=30), st.integers(0, 100))
def test_memory_is_bounded_and_what_others_stand_on_stays(asked: list[tuple[str, ...]], limit: int) -> None:
    store = PrefixStore(limit)
    for steps in asked:
        read(store, steps)
        assert store.bytes <= limit
        kept = store._segments
        assert store.bytes == sum(part.bytes for part in kept.values())
        for part in kept.values():
            assert all(any(other is before for other in kept.values()) for before in part.path)
