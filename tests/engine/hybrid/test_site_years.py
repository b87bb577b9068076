"""Sites and years: shapes are checked, parts are taken whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError

from .worlds import drivers, site_years


def test_a_part_of_the_sites_keeps_everything_of_them() -> None:
    whole = site_years(8)
    part = whole.take(np.array([5, 2]))
    assert part.stock.shape == (2, 21)
    np.testing.assert_array_equal(part.drivers.clay, whole.drivers.clay[[5, 2]])
    np.testing.assert_array_equal(part.drivers.climate.rain, whole.drivers.climate.rain[:, [5, 2]])
    np.testing.assert_array_equal(part.yearly, whole.yearly[[5, 2]])


def test_rows_hold_static_covariates_and_those_of_their_year() -> None:
    data = site_years(4)
    rows = data.rows(np.array([3, 3]), np.array([0, 20]))
    np.testing.assert_array_equal(rows[:, :2], data.static[[3, 3]])
    np.testing.assert_array_equal(rows[:, 2:], data.yearly[3, [0, 20]])


def test_the_first_sampled_year_is_found_and_forgotten() -> None:
    data = site_years(3, dates=(1984, 2000))
    assert data.first.tolist() == [4, 4, 4]
    assert data.without_stock().first.tolist() == [-1, -1, -1]


def test_gaps_between_years_and_wrong_shapes_are_refused() -> None:
    told = drivers(3)
    with pytest.raises(InputError, match="consecutive"):
        replace(told, years=told.years * 2)
    with pytest.raises(InputError, match="input_driver has shape"):
        replace(told, input_driver=told.input_driver[:, :2])
    with pytest.raises(InputError, match="stock has shape"):
        replace(site_years(3), stock=np.zeros((3, 2)))
