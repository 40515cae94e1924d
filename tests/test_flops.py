"""FLOPs and gains against the numbers that the paper prints, and against their definitions."""

import pytest

from overthink.tasks.analysis.flops import (
    PRETRAINING,
    EfficiencyGain,
    efficiency_gain,
    inference_flops,
    matched_inference,
    performance_gain,
)


@pytest.mark.parametrize(
    ("model", "pretraining", "inference", "total"),
    [
        ("Llama-3.2-3B", "1.62e+23", 3.07e17, "1.62e+23"),
        ("Llama-3.1-405B", "3.65e+25", 4.25e17, "3.65e+25"),
        ("DeepSeek-R1-Distill-Qwen-7B", "7.56e+23", 8.15e17, "7.56e+23"),
        ("DeepSeek-R1", "5.96e+25", 4.03e18, "5.96e+25"),
    ],
)
def test_pretraining_and_totals_are_those_of_the_paper(
    model: str, pretraining: str, inference: float, total: str
) -> None:
    found = PRETRAINING[model].flops
    assert (f"{found:.2e}", f"{found + inference:.2e}") == (pretraining, total)


def test_every_model_of_the_table_names_its_source() -> None:
    assert all(row.source and row.parameters > 0 and row.tokens > 0 for row in PRETRAINING.values())


def test_tokens_from_a_cache_are_not_computed() -> None:
    assert inference_flops(3e9, 100) == 600e9
    assert inference_flops(3e9, 100, cached_tokens=90) == 60e9


@pytest.mark.parametrize(
    ("greedy", "compute_optimal", "percent"),
    [
        (26.0, 66.2, "154.6"),
        (41.4, 78.2, "88.9"),
        (49.8, 80.6, "61.8"),
        (31.6, 76.4, "141.8"),
        (54.4, 85.6, "57.4"),
        (64.0, 87.6, "36.9"),
        (76.8, 91.0, "18.5"),
        (80.2, 91.0, "13.5"),
        (82.4, 90.6, "10.0"),
        (83.8, 91.8, "9.5"),
    ],
)
def test_performance_gains_are_those_of_the_paper(greedy: float, compute_optimal: float, percent: str) -> None:
    assert f"{100 * performance_gain(compute_optimal, greedy):.1f}" == percent


MAJORITY = [(4, 0.40), (16, 0.50), (64, 0.58), (256, 0.60)]


@pytest.mark.parametrize(
    ("compute_optimal", "expected", "shown"),
    [
        # 0.60 lies halfway between 4 and 16, at 10: 256 / 10
        ([(4, 0.55), (16, 0.65), (64, 0.70)], EfficiencyGain(25.6, "="), "25.6×"),
        # a quarter of the way from 64 to 256, at 112
        ([(4, 0.30), (64, 0.59), (256, 0.63)], EfficiencyGain(256 / 112, "="), "2.3×"),
        # exactly at a measured budget
        ([(4, 0.30), (64, 0.60), (256, 0.63)], EfficiencyGain(4.0, "="), "4.0×"),
        # already there at the smallest budget: with less it might be too
        ([(4, 0.60), (16, 0.70)], EfficiencyGain(64.0, ">"), "> 64×"),
        ([(1, 0.61), (4, 0.70)], EfficiencyGain(256.0, ">"), "> 256×"),
        # it comes there a second time, but the first counts
        ([(4, 0.50), (8, 0.70), (16, 0.40), (32, 0.70)], EfficiencyGain(256 / 6, "="), "42.7×"),
        # beyond the budget of majority voting's peak
        ([(4, 0.30), (256, 0.55), (512, 0.65)], EfficiencyGain(256 / 384, "="), "0.7×"),
        # never there: more than the largest budget would be needed
        ([(4, 0.30), (256, 0.55)], EfficiencyGain(1.0, "<"), "< 1.0×"),
    ],
)
def test_hand_computed_efficiency_gains(
    compute_optimal: list[tuple[float, float]], expected: EfficiencyGain, shown: str
) -> None:
    found = efficiency_gain(compute_optimal, MAJORITY)
    assert found == EfficiencyGain(pytest.approx(expected.ratio), expected.bound)
    assert str(found) == shown


def test_majoritys_peak_is_the_cheapest_of_its_best_budgets() -> None:
    assert efficiency_gain([(4, 0.5), (8, 0.7)], [(4, 0.4), (16, 0.6), (64, 0.6), (256, 0.5)]).ratio == 16 / 6


@pytest.mark.parametrize(("compute_optimal", "majority"), [([], MAJORITY), (MAJORITY, [])])
def test_a_curve_without_budgets_is_refused(
    compute_optimal: list[tuple[float, float]], majority: list[tuple[float, float]]
) -> None:
    with pytest.raises(ValueError, match="at least one budget"):
        efficiency_gain(compute_optimal, majority)


@pytest.mark.parametrize(
    ("size_ratio", "pretrained", "written"), [(14.0, 1e12, 1e12), (14.0, 1e12, 6e12), (2.0, 5.0, 7.0)]
)
def test_matched_models_cost_as_many_flops_in_all(size_ratio: float, pretrained: float, written: float) -> None:
    small = 1e9
    large = size_ratio * small
    spent_by_large = 6 * large * pretrained + inference_flops(large, written)
    more = matched_inference(size_ratio, pretrained, written)
    assert 6 * small * pretrained + inference_flops(small, more * written) == pytest.approx(spent_by_large)


def test_a_model_as_large_may_write_as_much() -> None:
    assert matched_inference(1.0, 9e12, 1e9) == 1.0
