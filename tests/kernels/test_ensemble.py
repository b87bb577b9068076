"""Variance between members against what made it, and mirrored scores."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.kernels.ensemble import between_variance, mirrored_scores


def parts(members: int, own: int, between: float, within: float, n: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    mean = between * rng.standard_normal((members, 1, n))
    return mean + within * rng.standard_normal((members, own, n))


def test_variance_between_members_is_free_of_the_scatter_of_their_parts() -> None:
    found = between_variance(parts(10, 4, between=2.0, within=1.5))
    assert found.mean() == pytest.approx(4.0, rel=0.03)
    plain = parts(10, 4, between=2.0, within=1.5).mean(axis=1).var(axis=0, ddof=1)
    assert plain.mean() == pytest.approx(4.0 + 1.5**2 / 4, rel=0.03)


def test_variance_is_never_negative_and_small_where_members_are_alike() -> None:
    found = between_variance(parts(10, 4, between=0.0, within=1.0))
    assert found.min() == 0
    assert found.mean() < 0.25 * 0.25  # a quarter of what the scatter alone would give


def test_variance_of_differences_is_paired() -> None:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((10, 1, 5000))
    first = 3 * shared + 0.1 * rng.standard_normal((10, 2, 5000))
    second = 3 * shared + 0.1 * rng.standard_normal((10, 2, 5000)) + 0.5
    assert between_variance(first).mean() == pytest.approx(9, rel=0.05)
    assert between_variance(second - first).mean() < 0.01


def test_cells_beside_do_not_change_a_bit() -> None:
    made = parts(20, 16, between=1.0, within=1.0, n=500)
    whole = between_variance(made)
    for some in (slice(0, 1), slice(499, 500), slice(7, 20)):
        alone = between_variance(np.ascontiguousarray(made[..., some]))
        np.testing.assert_array_equal(alone, whole[some])


def test_is_analysis_of_variance() -> None:
    made = parts(6, 3, between=1.0, within=1.0, n=50)
    means = made.mean(axis=1)
    wanted = means.var(axis=0, ddof=1) - made.var(axis=1, ddof=1).mean(axis=0) / 3
    np.testing.assert_allclose(between_variance(made), np.maximum(wanted, 0), atol=1e-12)


def test_one_part_leaves_the_plain_variance() -> None:
    made = parts(6, 1, 1.0, 1.0, n=50)
    np.testing.assert_allclose(between_variance(made), made[:, 0].var(axis=0, ddof=1))
    with pytest.raises(ValueError, match="at least two"):
        between_variance(made[:1])


@pytest.mark.parametrize("members", [2, 10, 40])
def test_mirrored_scores_average_to_zero_and_fill_the_normal(members: int) -> None:
    scores = mirrored_scores(members, 3, seed=5)
    assert scores.shape == (members, 3)
    np.testing.assert_array_equal(scores[: members // 2], -scores[members // 2 :])
    np.testing.assert_array_equal(scores, mirrored_scores(members, 3, seed=5))
    if members == 40:
        np.testing.assert_allclose(scores.std(axis=0), 1, atol=0.1)
    with pytest.raises(ValueError, match="even"):
        mirrored_scores(members + 1, 3, seed=5)
