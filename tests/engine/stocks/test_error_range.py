"""Structures of correlation, found again in fields that have them."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.stocks.error_range import ErrorRange, fit_structures
from edaphos.kernels.random_field import matern_waves, sum_of_cosines, unit_vectors


def places(n: int, rng: np.random.Generator):
    """Clusters of places, as surveys have them."""
    lon, lat = rng.uniform(-60, 60, n // 3), rng.uniform(-50, 60, n // 3)
    shift = rng.normal(0, 0.1, (2, n // 3, 3))
    return (lon[:, None] + shift[0]).ravel(), (lat[:, None] + shift[1]).ravel()


def correlation(found: ErrorRange, km: float) -> float:
    return sum(share * np.exp(-km / length) for share, length in found.structures)


def test_short_and_long_structures_are_told_apart():
    rng = np.random.default_rng(2)
    lon, lat = places(1800, rng)
    points = unit_vectors(lon, lat)
    truth = ErrorRange(((0.5, 40.0), (0.2, 1200.0)))
    residual = np.sqrt(truth.nugget) * rng.standard_normal(len(lon))
    for share, km in truth.structures:
        waves = matern_waves(4000, km, 0.5, rng)
        residual += np.sqrt(share) * sum_of_cosines(points, *waves)
    found = fit_structures(lon, lat, residual)
    for km in (10.0, 60.0, 300.0, 900.0):
        assert correlation(found, km) == pytest.approx(correlation(truth, km), abs=0.1)
    assert max(length for _, length in found.structures) > 400
    assert sum(share for share, _ in found.structures) <= 1 + 1e-12


def test_noise_has_hardly_any_structure():
    rng = np.random.default_rng(0)
    lon, lat = places(1500, rng)
    found = fit_structures(lon, lat, rng.standard_normal(len(lon)))
    assert correlation(found, 50.0) < 0.05


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="above 0"):
        ErrorRange.of(0)
    with pytest.raises(InputError, match="0 to 1"):
        ErrorRange.of(10, 1.5)
