"""Noise by seed and place, and what is kept of each draw."""

import numpy as np

from overthink.tasks.engines.vllm.counted_draws import CountedDraws, RequestDraws, noise_seeds


def draws(seed: int, place: int) -> RequestDraws:
    return RequestDraws(seed, 0, [0] * place)


def test_noise_depends_on_seed_and_place_and_on_no_row() -> None:
    first = noise_seeds({0: draws(5, 2), 1: draws(6, 2), 2: draws(5, 3)}, 3)
    moved = noise_seeds({0: draws(6, 2), 3: draws(5, 2), 1: draws(5, 3)}, 4)
    assert first[[0, 1, 2]].tolist() == moved[[3, 0, 1]].tolist()
    assert len(set(first.tolist())) == 3


def test_noise_of_many_seeds_and_places_is_spread_over_all_bits() -> None:
    rows = {seed * 100 + place: draws(seed, place) for seed in range(100) for place in range(100)}
    noise = noise_seeds(rows, len(rows))
    assert noise.min() >= 0
    assert len(set(noise.tolist())) == len(rows)
    ones = (noise[:, None] >> np.arange(63)) & 1
    assert np.abs(ones.mean(axis=0) - 0.5).max() < 0.03  # 6 standard errors of 10,000


def test_a_row_without_draws_of_ours_has_noise_too() -> None:
    assert len(noise_seeds({1: draws(5, 0)}, 3)) == 3


def test_a_draw_that_is_made_again_replaces_the_first() -> None:
    kept = RequestDraws(1, 2, tokens := [])
    top = np.array([0.1, 0.2, 0.3], np.float32)
    kept.keep(-1.0, top)
    kept.keep(-2.0, top + 1)
    tokens.append(7)
    kept.keep(-3.0, top + 2)
    assert kept.logprobs == [-2.0, -3.0]
    assert [likeliest.tolist() for likeliest in kept.likeliest] == [(top + 1)[:2].tolist(), (top + 2)[:2].tolist()]


def test_a_request_that_comes_back_goes_on_with_its_draws() -> None:
    counted = CountedDraws()
    counted.begin((4, 9, 0), []).keep(-1.0, None)
    again = counted.begin((4, 9, 0), [3])
    again.keep(-2.0, None)
    assert counted.take(4).logprobs == [-1.0, -2.0]
    assert counted.take(4).logprobs == [], "it is forgotten"
