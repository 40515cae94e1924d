"""What holds for every search: the paths worked out on paper, and its invariants on trees drawn by lot."""

from dataclasses import replace

import pytest
from drawn_trees import ALL, BEYOND, DRAWN, LIMITS, METHODS, PARTICLES, Drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from search_trees import GROWTH, ORDERS, DrawnByLot, HandDrawn, by_lot, content, found, in_turn, play

from overthink.tasks.methods.mcts import mcts


def test_there_are_enough_trees() -> None:
    assert len(DRAWN) >= 12


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_every_method_returns_exactly_the_expected_paths(drawn: Drawn, name: str) -> None:
    assert found(METHODS[name](GROWTH), drawn.tree) == getattr(drawn, name)


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_without_exploration_both_rules_go_by_the_mean(drawn: Drawn) -> None:
    assert found(mcts(GROWTH, 4, 2, 0.0, "puct"), drawn.tree) == drawn.mcts


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_a_rollout_has_the_scores_of_its_own_steps(drawn: Drawn, name: str) -> None:
    world = HandDrawn(drawn.tree, BEYOND)
    for rollout in play(ALL[name](GROWTH), world).result.rollouts:
        steps = [sample.text.strip() for sample in rollout.path if sample.text.strip()]
        assert rollout.scores == tuple(world.score_of(steps[: index + 1]) for index in range(len(steps)))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("drawn", DRAWN.values(), ids=list(DRAWN))
def test_the_order_in_which_replies_land_changes_nothing(drawn: Drawn, name: str) -> None:
    world = HandDrawn(drawn.tree, BEYOND)
    outcomes = [content(play(ALL[name](GROWTH), world, pick).result) for pick in ORDERS]
    assert outcomes == [outcomes[0]] * len(ORDERS)


SEEDS = st.integers(0, 1_000_000)
DEEPER = replace(GROWTH, max_depth=4)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS, order=SEEDS)
@settings(max_examples=40, deadline=None)
def test_no_interleaving_of_replies_changes_an_outcome(name: str, seed: int, order: int) -> None:
    world = DrawnByLot(seed)
    in_order = play(ALL[name](DEEPER), world, in_turn)
    shuffled = play(ALL[name](DEEPER), world, by_lot(order))
    assert content(shuffled.result) == content(in_order.result)
    assert sorted(shuffled.draws) == sorted(in_order.draws)


@pytest.mark.parametrize("name", ["beam_search", "beam_search_hf", "dvts"])
@given(seed=SEEDS, order=SEEDS)
@settings(max_examples=40, deadline=None)
def test_no_interleaving_changes_a_search_that_looks_ahead(name: str, seed: int, order: int) -> None:
    world, growth = DrawnByLot(seed), replace(GROWTH, lookahead=1)
    in_order = play(ALL[name](growth), world, in_turn).result
    assert content(play(ALL[name](growth), world, by_lot(order)).result) == content(in_order)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_candidate_is_scored_once_and_only_its_new_step(name: str, seed: int) -> None:
    played = play(ALL[name](DEEPER), DrawnByLot(seed))
    assert all(request.from_step == len(request.steps) - 1 for request in played.scored)
    scored = [node for node in played.result.nodes if node.score is not None]
    asked = [(request.steps, request.sample_index) for request in played.scored]
    assert sorted(asked) == sorted((node.steps, node.draw) for node in scored)
    for node in played.result.nodes:
        blank = not node.sample.text.strip()
        assert (node.value is None) == (node.dropped is not None)
        assert (node.score is None) == (node.dropped is not None or blank)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_draw_is_a_step_of_the_tree(name: str, seed: int) -> None:
    played = play(ALL[name](DEEPER), DrawnByLot(seed))
    addresses = [node.address for node in played.result.nodes]
    assert len(addresses) == len(set(addresses)) == len(played.generated)
    assert addresses == sorted(addresses, key=lambda address: (len(address), address))
    drawn = sorted((len(request.path), request.sample_index) for request in played.generated)
    assert drawn == sorted((len(address) - 1, address[-1]) for address in addresses)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_rollouts_are_paths_of_the_tree_that_ended_as_they_say(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    assert 1 <= len(outcome.rollouts) <= LIMITS[name]
    assert [rollout.sample_index for rollout in outcome.rollouts] == list(range(len(outcome.rollouts)))
    candidates = {tuple(map(id, node.path)): node for node in outcome.nodes if node.dropped is None}
    for rollout in outcome.rollouts:
        assert len(rollout.path) <= 4
        if not rollout.path:
            assert rollout.stop_reason == "dead_end"
            continue
        node = candidates[tuple(map(id, rollout.path))]
        assert rollout.scores == tuple(step.score for step in node.lineage if step.score is not None)
        if rollout.stop_reason == "dead_end":
            assert node.stop is None
            fates = [child.dropped for child in outcome.nodes if child.parent is node]
            assert len([fate for fate in fates if fate]) >= 4
            assert name in PARTICLES or all(fates)  # other particles may have gone on from it
        elif name not in {"mcts", "uct", "puct"}:
            assert rollout.stop_reason == node.stop


@pytest.mark.parametrize("name", sorted(ALL.keys() - PARTICLES))
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_kept_are_the_steps_that_were_gone_on_from_or_returned(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    parents = {id(node.parent) for node in outcome.nodes if node.parent is not None}
    returned = {tuple(map(id, rollout.path)) for rollout in outcome.rollouts}
    kept = [node.address for node in outcome.nodes if node.kept]
    assert kept == [
        node.address for node in outcome.nodes if id(node) in parents or tuple(map(id, node.path)) in returned
    ]


@pytest.mark.parametrize("name", sorted(PARTICLES))
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_particles_that_were_gone_on_from_or_returned_were_kept(name: str, seed: int) -> None:
    outcome = play(ALL[name](DEEPER), DrawnByLot(seed)).result
    returned = {tuple(map(id, rollout.path)) for rollout in outcome.rollouts}
    assert all(node.parent.kept for node in outcome.nodes if node.parent is not None)
    assert all(node.kept for node in outcome.nodes if tuple(map(id, node.path)) in returned)


@pytest.mark.parametrize("name", ALL)
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_with_a_depth_of_one_every_path_is_one_step(name: str, seed: int) -> None:
    outcome = play(ALL[name](replace(GROWTH, max_depth=1)), DrawnByLot(seed)).result
    for rollout in outcome.rollouts:
        assert (len(rollout.path), rollout.stop_reason) in {(0, "dead_end"), (1, "stop"), (1, "depth")}
    assert all(len(node.address) == 1 for node in outcome.nodes)
