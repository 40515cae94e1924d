"""Particle filtering: paths are resampled in proportion to the PRM's odds (Puri et al. 2025), with Gibbs iterations.

Its entropic variant evens the odds out while few particles hold most of the weight early on (PMLR v306; its_hub).
"""

import math
from collections.abc import Sequence
from random import Random

from overthink.tasks.methods.candidates import expand, keep, value_of
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of

SMALLEST = 1e-6  # a score of exactly 0 or 1 would have infinite log-odds
COLLAPSED = 0.5  # the share of particles that weigh anything below which the odds are evened out
EARLY = 0.5  # the share of the longest path up to which they are


def particle_filtering(growth: Growth, n: int, iterations: int, temperature: float | None, seed: int) -> Method:
    """N/iterations particles, run `iterations` times; returns at most N rollouts.

    Each round every live particle draws one block; then all are resampled by softmax(log-odds of the score /
    temperature); without a temperature by that of `entropic_temperature`. From the second iteration on, the first
    particle follows a path drawn from the one before (particle Gibbs). Equal steps are not dropped: their number is
    their weight.
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
            # of each round one, the last step of its block
            reference = tuple(node for node in source.choice(finished).lineage if node.value is not None)
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def _filter(
    growth: Growth,
    draws: Sequence[int],
    reference: Sequence[Node],
    temperature: float | None,
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
        heat = temperature or entropic_temperature(alive, (depth + 1) * growth.granularity / growth.max_depth)
        resampled = source.choices(alive, odds_weights(alive, heat), k=len(alive))
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


def entropic_temperature(nodes: Sequence[Node], progress: float) -> float:
    """max(1, (1 - progress) / r) while r < 0.5 and progress < 0.5, else 1.

    `progress` in (0, 1] is the share of the longest path that is written; r in (0, 1] is the effective sample size
    1 / sum(w^2) of the weights at temperature 1, as a share of the particles.
    """
    weights = odds_weights(nodes, 1.0)
    effective = math.fsum(weights) ** 2 / math.fsum(weight**2 for weight in weights) / len(weights)
    return max(1.0, (1 - progress) / effective) if effective < COLLAPSED and progress < EARLY else 1.0
