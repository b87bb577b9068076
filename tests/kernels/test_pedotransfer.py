"""Bulk density functions against worked values, and refits against the truth that made the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.pedotransfer import (
    FUNCTIONS,
    LIMITS,
    OM_OF_SOC,
    Coefficients,
    bulk_density,
    fit,
)

#: g/kg of organic carbon that are 3 % of organic matter.
THREE = 3 / OM_OF_SOC


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("saini", 1.62 - 0.18),
        ("drew", 1 / 0.7351),
        ("jeffrey", 1.482 - 0.6786 * math.log10(3)),
        ("grigal", 0.669 + 0.941 * math.exp(-0.18)),
        ("adams", 100 / (3 / 0.244 + 97 / 1.64)),
        ("honeysett", 1 / 0.7308),
    ],
)
def test_at_three_per_cent_of_organic_matter(name, expected):
    density, outside = bulk_density(name, THREE)
    assert density == pytest.approx(expected, rel=1e-12)
    assert 1.1 < density < 1.5  # of the misprints one gives 0.74, the other 2.05
    assert not outside


def test_what_the_misprints_give_is_known():
    assert 1.482 - 0.6786 * math.log(3) == pytest.approx(0.74, abs=0.005)
    quartz, _ = bulk_density("adams", THREE, Coefficients((0.244, 2.65)))
    assert quartz == pytest.approx(2.05, abs=0.005)


def test_densities_out_of_range_are_told():
    soc = np.array([10.0, 200.0, 500.0, np.nan])
    density, outside = bulk_density("saini", soc)  # negative above 27 % of organic matter
    assert list(outside) == [False, True, True, False]
    assert density[1:3] == pytest.approx(LIMITS[0])
    assert np.isnan(density[3])


@given(st.sampled_from(sorted(FUNCTIONS)), st.floats(0.5, 110), st.floats(0.1, 20))
def test_the_more_carbon_the_lighter(name, soc, more):
    density, _ = bulk_density(name, np.array([soc, soc + more]))
    assert density[1] <= density[0]
    assert (density >= LIMITS[0]).all()
    assert (density <= LIMITS[1]).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_refit_finds_what_made_the_data_and_organic_soils_have_their_own(name):
    rng = np.random.default_rng(3)
    soc = np.concatenate([rng.uniform(1, 119, 600), rng.uniform(121, 500, 300)])
    published = np.array(FUNCTIONS[name].published)
    truth = Coefficients(tuple(published * 1.1), tuple(published * 0.55))
    density, outside = bulk_density(name, soc, truth)
    use = ~outside
    found = fit(name, soc[use], density[use])
    again, _ = bulk_density(name, soc[use], found)
    assert again == pytest.approx(density[use], abs=0.02)
    assert found.mineral == pytest.approx(truth.mineral, rel=1e-3)


def test_a_few_odd_densities_do_not_pull_the_fit():
    soc = np.random.default_rng(0).uniform(1, 100, 400)
    density, _ = bulk_density("drew", soc)
    density[:8] = 13.0  # a misplaced decimal point
    found = fit("drew", soc, density)
    assert bulk_density("drew", 20.0, found)[0] == pytest.approx(bulk_density("drew", 20.0)[0], 0.1)


def test_too_few_layers_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit("grigal", [10.0] * 8, [1.3] * 8)
    assert fit("grigal", np.linspace(1, 200, 30), np.full(30, 1.2)).organic is None
