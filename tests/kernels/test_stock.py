"""Stocks from content, density and fragments, by arithmetic on a cubic metre of soil."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.stock import SOC_OF_SOM, fine_earth_density, stock_kg_m2, stock_of_mass

fractions = st.floats(0, 0.6)
densities = st.floats(0.4, 1.6)


def test_a_layer_by_hand():
    # 20 cm of 1.3 t/m³ fine earth with 15 g/kg: 0.2 m3 x 1300 kg x 0.015 = 3.9 kg, 10 % stones off
    assert stock_kg_m2(15, 1.3, 20) == pytest.approx(3.9)
    assert stock_kg_m2(15, 1.3, 20, 0.1) == pytest.approx(3.51)


@given(densities, fractions, st.floats(1, 100), st.floats(1, 50))
def test_three_ways_to_measure_density_give_one_stock(fine, stones, soc, thickness):
    of_soil = fine * (1 - stones)  # kg of fine earth in a dm³ of soil
    whole = of_soil + 2.65 * stones  # with the stones that are in it
    expected = soc * of_soil * thickness / 100
    for density, kind in (
        (fine, "fine_earth"),
        (of_soil, "fine_earth_by_soil"),
        (whole, "whole_soil"),
    ):
        assert stock_kg_m2(soc, density, thickness, stones, kind) == pytest.approx(
            expected, rel=1e-9
        )


def test_measurements_that_contradict_each_other_have_no_stock():
    assert np.isnan(fine_earth_density(1.2, 0.6, "whole_soil"))  # stones alone weigh 1.59
    assert np.isnan(fine_earth_density(1.2, [1.2, -0.1, np.nan])).all()
    with pytest.raises(ValueError, match="fine_earth_by_soil"):
        fine_earth_density(1.2, 0.1, "dry")


def test_factor_of_organic_matter():
    assert pytest.approx(0.58, abs=1e-4) == SOC_OF_SOM


def test_equal_mass_does_not_see_compaction():
    soc = np.array([[20.0, 10.0, 4.0]])
    loose = np.array([[120.0, 140.0, 150.0]])  # kg/m² of fine earth in three layers
    whole = float(stock_of_mass(soc, loose, 260.0)[0])
    assert whole == pytest.approx(20 * 0.12 + 10 * 0.14)
    # the same soil, its layers cut elsewhere: every kg keeps its content
    cut = np.array([[60.0, 60.0, 100.0, 40.0, 150.0]])
    content = np.array([[20.0, 20.0, 10.0, 10.0, 4.0]])
    assert float(stock_of_mass(content, cut, 260.0)[0]) == pytest.approx(whole)
    assert float(stock_of_mass(soc, loose, 335.0)[0]) == pytest.approx(whole + 4 * 0.075)
    assert np.isnan(stock_of_mass(soc, loose, 500.0)[0])
