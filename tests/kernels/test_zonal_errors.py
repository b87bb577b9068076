"""Drawn errors of totals against the double sum over covariances."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.kernels.random_field import EARTH_RADIUS_KM, unit_vectors
from edaphos.kernels.zonal_errors import draw_errors


def parts(side: int = 12, step: float = 0.5):
    lon, lat = np.meshgrid(np.arange(side) * step, 40 + np.arange(side) * step)
    return unit_vectors(lon, lat)


def drawn(points, weight, length, nugget=0.0, high=None, zone=None, draws=1500, longer=()):
    n = points.shape[1]
    zone = np.zeros(n, np.int64) if zone is None else zone
    alone = np.bincount(zone, weight**2)
    return draw_errors(
        points,
        zone,
        np.arange(n),
        weight,
        weight if high is None else high,
        alone,
        structures=((1 - nugget, length), *longer),
        patch_km=1.0,
        draws=draws,
        rng=np.random.default_rng(0),
    )


def standard_error(points, weight, structures) -> float:
    """Return what the double sum over covariances gives."""
    chord = np.linalg.norm(points[:, :, None] - points[:, None, :], axis=0) * EARTH_RADIUS_KM
    nugget = 1 - sum(share for share, _ in structures)
    covariance = nugget * np.eye(len(weight))
    covariance += sum(share * np.exp(-chord / km) for share, km in structures)
    return float(np.sqrt(weight @ covariance @ weight))


@pytest.mark.parametrize(("length", "nugget"), [(100.0, 0.0), (400.0, 0.4), (50.0, 0.9)])
def test_spread_is_that_of_the_double_sum(length, nugget):
    points, rng = parts(), np.random.default_rng(1)
    weight = rng.uniform(0.5, 2, points.shape[1])
    expected = standard_error(points, weight, ((1 - nugget, length),))
    errors = drawn(points, weight, length, nugget)
    # sampling error of a standard deviation of 1,500 draws: 1.8 %; four times that
    assert errors.std() == pytest.approx(expected, rel=0.075)
    assert abs(errors.mean()) < 4 * expected / np.sqrt(len(errors))


def test_a_small_share_that_reaches_far_decides_over_a_large_zone():
    points, weight = parts(), np.ones(144)
    short, far = (0.6, 5.0), (0.05, 3000.0)
    alone = drawn(points, weight, short[1], 1 - short[0]).std()
    both = drawn(points, weight, short[1], 1 - short[0], longer=(far,)).std()
    exact = standard_error(points, weight, (short, far))
    assert both == pytest.approx(exact, rel=0.075)
    assert both > 2 * alone


def test_errors_cancel_the_more_the_shorter_they_reach():
    points, weight = parts(), np.ones(144)
    spreads = [drawn(points, weight, length).std() for length in (20.0, 100.0, 500.0, 20_000.0)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 0.2 * weight.sum()
    assert spreads[-1] == pytest.approx(weight.sum(), rel=0.08)  # all errors one: bounds add up


def test_skewed_bounds_leave_the_mean_and_skew_the_total():
    points, low = parts(6), np.full(36, 0.5)
    errors = drawn(points, low, 5_000.0, high=np.full(36, 2.0), draws=3000)[:, 0]
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(len(errors))
    low_end, middle, high_end = np.quantile(errors, [0.05, 0.5, 0.95])
    assert high_end - middle > 2 * (middle - low_end)


def test_zones_that_lie_together_err_together():
    points = parts(8)
    zone = (np.arange(64) % 2).astype(np.int64)
    errors = drawn(points, np.ones(64), 300.0, zone=zone)
    assert np.corrcoef(errors.T)[0, 1] > 0.9


def test_patches_far_larger_than_the_reach_count_as_independent():
    """A patch of 4 L holds 2 pi L² / side² of the variance of one error (large patches)."""
    points = unit_vectors(np.array([0.0]), np.array([0.0]))
    one = {"structures": ((1.0, 10.0),), "draws": 3000, "rng": np.random.default_rng(3)}
    zero, unit = np.zeros(1, np.int64), np.ones(1)
    errors = draw_errors(points, zero, zero, unit, unit, unit, patch_km=100.0, **one)
    # by a double sum over a square of 100 km
    x, y = (a.ravel() for a in np.meshgrid(*[np.arange(40) * 2.5] * 2))
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    alone = np.exp(-apart / 10).mean()  # less, by what lies beyond the edges of a lone patch
    assert alone < errors.var() < 1.5 * alone
