"""Which drawn steps count, when a path ends, and what is asked of the PRM for it: one expansion at a time."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_trees import ORDERS, RETRY, SAMPLING, DrawnByLot, HandDrawn, Pick, Play, Tree, by_lot, play, written

from overthink.tasks.domains.math.extraction import is_final
from overthink.tasks.methods.beam_search import shared_out
from overthink.tasks.methods.candidates import best, expand, keep
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.rebase import apportion
from overthink.tasks.methods.requests import Generate, Score
from overthink.tasks.methods.tree import Node
from overthink.tasks.records import Sample, Scores

GROWTH = Growth(SAMPLING, max_depth=5, is_final=is_final)
GREEDY = replace(SAMPLING, temperature=0.0, top_p=1.0)
PARENT = Node(None, 2, written("p"), None, score=0.25, value=0.75)


def grown(
    tree: Tree, count: int, parent: Node | None = None, growth: Growth = GROWTH
) -> tuple[Play[list[Node]], list[Node]]:
    """One expansion with draws 0 to `count`, and every step drawn in it."""
    nodes: list[Node] = []
    return play(expand(growth, parent, range(count), nodes), HandDrawn(tree)), nodes


def only(tree: Tree, parent: Node | None = None, growth: Growth = GROWTH) -> Node:
    """The one candidate of one draw."""
    (node,) = grown(tree, 1, parent, growth)[0].result
    return node


def texts(nodes: list[Node]) -> list[str]:
    return [node.sample.text for node in nodes]


def fates(nodes: list[Node]) -> list[str | None]:
    return [node.dropped for node in nodes]


def test_candidates_come_in_the_order_of_their_draws_with_their_scores() -> None:
    played, _ = grown({"": ["a 0.2", "b 0.9", "c 0.5"]}, 3)
    found = [(node.draw, node.sample.text, node.score, node.value) for node in played.result]
    assert found == [(0, "a", 0.2, 0.2), (1, "b", 0.9, 0.9), (2, "c", 0.5, 0.5)]


def test_all_draws_are_asked_for_at_once() -> None:
    assert next(expand(GROWTH, PARENT, (4, 7), [])) == [
        Generate((PARENT.sample,), 4, SAMPLING),
        Generate((PARENT.sample,), 7, SAMPLING),
    ]


def test_an_equal_sibling_is_dropped_and_not_scored() -> None:
    played, nodes = grown({"": ["a 0.2", " a ", "b 0.9", "a."]}, 4)
    assert texts(played.result) == ["a", "b"]
    assert fates(nodes) == [None, "duplicate", None, "duplicate"]
    assert played.scored_paths == ["a", "b"]
    assert [(node.score, node.value) for node in nodes] == [(0.2, 0.2), (None, None), (0.9, 0.9), (None, None)]


def test_a_step_cut_by_length_is_dropped_and_hides_no_sibling() -> None:
    played, nodes = grown({"": ["a~", "a 0.2"]}, 2)
    assert [node.draw for node in played.result] == [1]
    assert fates(nodes) == ["length", None]


def test_a_step_cut_by_length_is_dropped_though_it_holds_an_answer() -> None:
    played, nodes = grown({"": ["\\boxed{1}~", "a 0.2"]}, 2)
    assert texts(played.result) == ["a"]
    assert fates(nodes) == ["length", None]


@pytest.mark.parametrize("blank", ["", "  ", "\n", "."])
def test_a_blank_first_step_is_dropped(blank: str) -> None:
    played, nodes = grown({"": [blank, "a 0.2"]}, 2)
    assert texts(played.result) == ["a"]
    assert fates(nodes) == ["blank", None]


def test_a_blank_step_that_the_delimiter_ended_is_dropped_after_a_step_too() -> None:
    played, nodes = grown({"p": ["", "a 0.2"]}, 2, PARENT)
    assert texts(played.result) == ["a"]
    assert fates(nodes) == ["blank", None]


def test_a_blank_step_at_the_depth_limit_is_dropped() -> None:
    played, nodes = grown({"p": ["", "a 0.2"]}, 2, PARENT, replace(GROWTH, max_depth=2))
    assert [(node.sample.text, node.stop) for node in played.result] == [("a", "depth")]
    assert fates(nodes) == ["blank", None]


@pytest.mark.parametrize("end", [".", "  .", "\n."])
def test_the_end_of_the_sequence_straight_after_a_step_ends_the_path_there(end: str) -> None:
    played, _ = grown({"p": [end]}, 1, PARENT)
    (node,) = played.result
    assert (node.stop, node.dropped, node.score) == ("stop", None, None)
    assert node.value == 0.75, "it is ranked as the step it follows, lookahead and all"
    assert node.steps == ("p",)
    assert played.scored == []


def test_a_path_can_end_straight_after_a_step_only_once() -> None:
    _, nodes = grown({"p": [".", "a 0.2", " ."]}, 3, PARENT)
    assert fates(nodes) == [None, None, "duplicate"]


@pytest.mark.parametrize(
    ("step", "stop"),
    [
        ("a 0.5", None),
        ("a. 0.5", "stop"),
        ("\\boxed{1} 0.5", "stop"),
        ("so \\boxed{1}. 0.5", "stop"),
    ],
)
def test_a_path_ends_at_the_end_of_the_sequence_or_at_an_answer(step: str, stop: str | None) -> None:
    assert only({"": [step]}).stop == stop


@pytest.mark.parametrize(("max_depth", "stop"), [(3, None), (2, "depth"), (1, "depth")])
def test_a_path_ends_at_the_depth_limit(max_depth: int, stop: str | None) -> None:
    assert only({"p": ["a 0.5"]}, PARENT, replace(GROWTH, max_depth=max_depth)).stop == stop


@pytest.mark.parametrize("step", ["a. 0.5", "\\boxed{1} 0.5"])
def test_a_path_that_ends_by_itself_at_the_depth_limit_has_stopped(step: str) -> None:
    assert only({"": [step]}, growth=replace(GROWTH, max_depth=1)).stop == "stop"


def test_only_the_new_step_is_scored() -> None:
    played, _ = grown({"p": ["a 0.5", "b. 0.6"]}, 2, PARENT)
    assert played.scored == [Score(("p", "a"), 1, 0), Score(("p", "b"), 1, 1)]


def test_steps_are_scored_after_stripping() -> None:
    played, nodes = grown({"p": [" a\t 0.5"]}, 1, PARENT)
    assert played.scored == [Score(("p", "a"), 1, 0)]
    assert nodes[0].sample.text == " a\t", "what the policy wrote stays as it is"


def test_the_policy_goes_on_from_the_samples_as_written() -> None:
    parent = Node(PARENT, 0, written(" q "), None, score=0.5, value=0.5)
    played, _ = grown({"p/q": ["a 0.5"]}, 1, parent)
    assert played.generated == [Generate((written("p"), written(" q ")), 0, SAMPLING)]


def test_a_repeated_draw_has_numbers_of_its_own() -> None:
    played, nodes = grown({"": ["a~", "b~"], "retry 1": ["c~", ""], "retry 2": ["d 0.5", "e~"]}, 2)
    assert texts(played.result) == ["d"]
    assert played.draws == [("", number) for number in (0, 1, 1_000_000, 1_000_001, 2_000_000, 2_000_001)]
    assert [node.address for node in nodes] == [(number,) for _, number in played.draws]
    assert fates(nodes) == ["length", "length", "length", "blank", None, "length"]


def test_one_candidate_is_enough_not_to_draw_again() -> None:
    played, _ = grown({"": ["a~", "b 0.5", "c~"]}, 3)
    assert len(played.generated) == 3


def test_a_draw_is_repeated_three_times_and_then_it_is_a_dead_end() -> None:
    played, nodes = grown({"p": ["a~", ""]}, 2, PARENT)
    assert played.result == []
    assert [number for _, number in played.draws] == [draw + attempt * RETRY for attempt in range(4) for draw in (0, 1)]
    assert fates(nodes) == ["length", "blank"] * 4
    assert played.scored == []


def test_the_third_repeat_still_counts() -> None:
    assert only({"": ["a~"], "retry 3": ["b 0.5"]}).address == (3_000_000,)


def test_lookahead_ranks_a_step_by_the_last_of_the_steps_written_greedily_after_it() -> None:
    tree = {"p": ["a 0.1"], "p/a greedy": ["xy 0.9"], "p/a/xy greedy": ["z 0.4"]}
    played, nodes = grown(tree, 1, PARENT, replace(GROWTH, lookahead=2))
    assert played.generated == [
        Generate((written("p"),), 0, SAMPLING),
        Generate((written("p"), written("a")), 0, GREEDY),
        Generate((written("p"), written("a"), written("xy")), 0, GREEDY),
    ]
    assert played.scored == [Score(("p", "a", "xy", "z"), 1, 0)]
    assert (nodes[0].score, nodes[0].value) == (0.1, 0.4)
    assert nodes[0].lookahead_tokens == 5, "x, y, z and two delimiters"
    assert len(nodes) == 1, "steps written greedily do not join the tree"


@pytest.mark.parametrize("last", ["x. 0.9", "x~ 0.9", "\\boxed{1} 0.9"])
def test_lookahead_goes_no_further_than_the_path(last: str) -> None:
    played, nodes = grown({"": ["a 0.1"], "a greedy": [last]}, 1, growth=replace(GROWTH, lookahead=3))
    assert len(played.generated) == 2
    assert (nodes[0].score, nodes[0].value, nodes[0].stop) == (0.1, 0.9, None)


@pytest.mark.parametrize("step", ["a. 0.1", "\\boxed{1} 0.1"])
def test_a_finished_path_is_not_looked_ahead_of(step: str) -> None:
    played, nodes = grown({"": [step]}, 1, growth=replace(GROWTH, lookahead=2))
    assert len(played.generated) == 1
    assert (nodes[0].score, nodes[0].value, nodes[0].lookahead_tokens) == (0.1, 0.1, 0)


def test_an_end_of_sequence_found_by_looking_ahead_is_no_step() -> None:
    played, nodes = grown({"": ["a 0.1"], "a greedy": ["."]}, 1, growth=replace(GROWTH, lookahead=1))
    assert played.scored == [Score(("a",), 0, 0)]
    assert (nodes[0].score, nodes[0].value, nodes[0].lookahead_tokens) == (0.1, 0.1, 1)


def test_each_candidate_looks_ahead_by_itself() -> None:
    tree = {"": ["a 0.1", "b 0.2"], "a greedy": ["x 0.7"], "b greedy": ["y 0.6"]}
    played, _ = grown(tree, 2, growth=replace(GROWTH, lookahead=1))
    assert [(node.score, node.value) for node in played.result] == [(0.1, 0.7), (0.2, 0.6)]
    assert played.draws[2:] == [("a", 0), ("b", 1)]


def test_a_dropped_step_is_not_looked_ahead_of() -> None:
    tree = {"": ["a 0.1", "a", "b~"], "a greedy": ["x 0.7"]}
    played, _ = grown(tree, 3, growth=replace(GROWTH, lookahead=1))
    assert played.draws[3:] == [("a", 0)]


def test_scores_instead_of_samples_are_a_type_error() -> None:
    search = expand(GROWTH, None, range(1), [])
    next(search)
    with pytest.raises(TypeError, match="Generate request"):
        search.send([Scores((0.5,), 1)])


def test_a_sample_instead_of_scores_is_a_type_error() -> None:
    search = expand(GROWTH, None, range(1), [])
    next(search)
    (judge,) = search.send([written("a")])
    assert not isinstance(judge, Generate | Score)
    next(judge)
    with pytest.raises(TypeError, match="Score request"):
        judge.send([written("b")])


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_candidates_are_whole_distinct_and_scored_once_in_whatever_order_replies_land(
    seed: int, order: int, count: int
) -> None:
    nodes: list[Node] = []
    played = play(expand(GROWTH, PARENT, range(count), nodes), DrawnByLot(seed), by_lot(order))
    stripped = [node.sample.text.strip() for node in played.result]
    assert len(set(stripped)) == len(stripped)
    assert [node.draw for node in played.result] == sorted(node.draw for node in played.result)
    assert all(node.sample.stop_reason != "length" for node in played.result)
    assert sorted(request.steps[-1] for request in played.scored) == sorted(filter(None, stripped))
    assert len(nodes) == len(played.generated)
    assert [node for node in nodes if node.dropped is None] == played.result


@pytest.mark.parametrize("pick", ORDERS)
def test_siblings_stay_in_the_order_of_their_draws_when_replies_do_not(pick: Pick) -> None:
    nodes: list[Node] = []
    tree = HandDrawn({"": ["a 0.1", "b 0.2", "a", "c 0.3"]})
    played = play(expand(GROWTH, None, range(4), nodes), tree, pick)
    assert texts(nodes) == ["a", "b", "a", "c"]
    assert fates(nodes) == [None, None, "duplicate", None]
    assert [node.value for node in played.result] == [0.1, 0.2, 0.3]


def valued(*values: float) -> list[Node]:
    return [Node(None, draw, written("a"), None, value=value) for draw, value in enumerate(values)]


def test_the_best_come_first_and_ties_go_to_the_first_encountered() -> None:
    nodes = valued(0.5, 0.75, 0.5, 0.75, 0.25)
    assert [node.draw for node in best(nodes, 3)] == [1, 3, 0]


def test_the_best_of_few_are_all() -> None:
    assert [node.draw for node in best(valued(0.5, 0.75), 4)] == [1, 0]


def test_what_is_kept_is_marked() -> None:
    nodes = valued(0.5, 0.75)
    keep(nodes[1:])
    assert [node.kept for node in nodes] == [False, True]


def test_a_node_knows_its_lineage() -> None:
    child = Node(PARENT, 1, written(" q "), None)
    last = Node(child, 0, Sample("", (2,), (0,), (-0.5,), "stop", 5), "stop")
    assert last.lineage == (PARENT, child, last)
    assert last.address == (2, 1, 0)
    assert last.steps == ("p", "q")
    assert last.path == (PARENT.sample, child.sample, last.sample)


@pytest.mark.parametrize(
    ("n", "count", "expected"),
    [
        (4, 1, [range(0, 4)]),
        (4, 2, [range(0, 2), range(2, 4)]),
        (4, 3, [range(0, 2), range(2, 3), range(3, 4)]),
        (8, 3, [range(0, 3), range(3, 6), range(6, 8)]),
    ],
)
def test_draws_are_shared_out_evenly_the_first_getting_more(n: int, count: int, expected: list[range]) -> None:
    assert shared_out(n, count) == expected


@pytest.mark.parametrize(
    ("budget", "weights", "expected"),
    [
        (7, [4, 2, 1], [4, 2, 1]),
        (4, [4, 2, 1], [2, 1, 1]),  # 2.29 1.14 0.57
        (2, [4, 2, 1], [1, 1, 0]),  # 1.14 0.57 0.29
        (5, [1, 1, 1], [2, 2, 1]),  # a tie for the two that are left
        (2, [1, 1, 1], [1, 1, 0]),
        (1, [1, 2, 2], [0, 1, 0]),  # 0.2 0.4 0.4
        (3, [1], [3]),
        (0, [1, 2], [0, 0]),
        (3, [], []),
    ],
)
def test_a_budget_is_apportioned_by_largest_remainder(budget: int, weights: list[float], expected: list[int]) -> None:
    assert apportion(budget, [math.log(weight) for weight in weights]) == expected


@pytest.mark.parametrize(
    ("logits", "expected"), [([1e4, 0.0], [6, 0]), ([1e4, 1e4], [3, 3]), ([-1e4, -1e4 - 1e3], [6, 0])]
)
def test_logits_of_any_size_can_be_apportioned(logits: list[float], expected: list[int]) -> None:
    assert apportion(6, logits) == expected


@given(st.integers(0, 300), st.lists(st.integers(-120, 120), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_shares_add_up_stay_next_to_the_ideal_and_follow_the_logits(budget: int, quarters: list[int]) -> None:
    logits = [count / 4 for count in quarters]
    shares = apportion(budget, logits)
    masses = [math.exp(logit - max(logits)) for logit in logits]
    assert sum(shares) == budget
    assert all(abs(share - budget * mass / sum(masses)) < 1 + 1e-9 for share, mass in zip(shares, masses, strict=True))
    ranked = sorted(zip(logits, shares, strict=True))
    assert all(low <= high for (_, low), (_, high) in pairwise(ranked))


@given(st.integers(1, 50), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_equal_logits_share_evenly_the_first_getting_more(budget: int, count: int) -> None:
    shares = apportion(budget, [0.3] * count)
    assert shares == [budget // count + (index < budget % count) for index in range(count)]


def test_a_path_ends_at_its_limit_of_tokens_and_no_step_is_drawn_beyond_it() -> None:
    growth = replace(GROWTH, path_tokens=12)
    tree = {"": ["abcd 0.9"], "abcd": ["efghijk 0.8"]}
    first = play(expand(growth, None, [0], []), HandDrawn(tree))
    assert [request.sampling.max_tokens for request in first.generated] == [12]
    (node,) = first.result
    assert (node.completion_tokens, node.stop) == (5, None)
    second = play(expand(growth, node, [0], []), HandDrawn(tree))
    assert [request.sampling.max_tokens for request in second.generated] == [7]
    assert [node.stop for node in second.result] == ["length"]
