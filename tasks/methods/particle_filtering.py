"""Particle filtering: paths are resampled in proportion to the PRM's odds (Puri et al. 2025), with Gibbs iterations."""

import math
from collections.abc import Sequence
from random import Random

from overthink.tasks.methods.candidates import expand, keep, value_of
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of

SMALLEST = 1e-6  # a score of exactly 0 or 1 would have infinite log-odds


def particle_filtering(growth: Growth, n: int, iterations: int, temperature: float, seed: int) -> Method:
    """N/iterations particles, run `iterations` times; returns at most N rollouts.

    Each round every live particle draws one step; then all are resampled by softmax(log-odds of the score /
    temperature). From the second iteration on, the first particle follows a path drawn from the one before (particle
    Gibbs). Equal steps are not dropped: their number is their weight.
    """
    tree: list[Node] = []
    endings: list[Ending] = []
    source = Random(seed)
    particles = n // iterations
    reference: tuple[Node, ...] = ()
    for iteration in range(iterations):
        draws = range(iteration * particles, (iteration + 1) * particles)
        ((finished, dead),) = yield [_filter(growth, draws, reference, temperature, source, tree)]
        returned = finished[len(reference[:1]) :]
        endings += [*(Ending(node, node.stop) for node in returned), *dead]
        if finished:
            reference = source.choice(finished).lineage
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def _filter(
    growth: Growth,
    draws: Sequence[int],
    reference: Sequence[Node],
    temperature: float,
    source: Random,
    tree: list[Node],
) -> Search[tuple[list[Node], list[Ending]]]:
    """The finished particles, the one that follows `reference` first, and the dead ends."""
    dead: list[Ending] = []
    followed = len(reference[:1])
    particles: list[Node | None] = [None for _ in draws]
    for depth in range(growth.max_depth):
        held = [reference[min(depth, len(reference) - 1)]] if reference else []
        moves = yield [
            _advance(growth, particle, draw, tree)
            for particle, draw in list(zip(particles, draws, strict=False))[followed:]
        ]
        dead += [move for move in moves if isinstance(move, Ending)]
        alive = [*held, *(move for move in moves if isinstance(move, Node))]
        if not alive:
            return [], dead
        resampled = source.choices(alive, odds_weights(alive, temperature), k=len(alive))
        chosen = [*held, *resampled[followed:]]
        keep(chosen)
        particles = [*chosen]
        if all(node.stop for node in chosen):
            break
    return [node for node in particles if node is not None], dead


def _advance(growth: Growth, particle: Node | None, draw: int, tree: list[Node]) -> Search[Node | Ending]:
    if particle is not None and particle.stop:
        return particle
    (found,) = yield [expand(growth, particle, (draw,), tree)]
    return found[0] if found else Ending(particle, "dead_end")


def odds_weights(nodes: Sequence[Node], temperature: float) -> list[float]:
    """Weights proportional to (value / (1 - value)) ** (1 / temperature), the largest being 1."""
    clipped = [min(max(value_of(node), SMALLEST), 1 - SMALLEST) for node in nodes]
    logits = [(math.log(value) - math.log1p(-value)) / temperature for value in clipped]
    return [math.exp(logit - max(logits)) for logit in logits]
