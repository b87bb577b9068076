"""Means, slopes and the calendar year in place of single years' covariates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.seen import PlaceAndTime

from .worlds import site_years


def test_places_are_told_by_means_and_slopes_and_time_by_the_year() -> None:
    data = site_years(5, dates=(1983, 1998))
    data.yearly[2, [4, 9], 0] = np.nan
    seen = PlaceAndTime.of(data)(data)
    assert seen.features == (
        "clay", "elevation", "mean of temperature_mean", "mean of fertiliser",
        "slope of temperature_mean", "slope of fertiliser", "year",
    )  # fmt: skip
    series = data.yearly[2, :, 0].astype(float)
    fine = np.isfinite(series)
    assert seen.static[2, 2] == pytest.approx(series[fine].mean(), rel=1e-6)
    sampled = fine & (data.years >= 1983) & (data.years <= 1998)
    slope = np.polyfit(data.years[sampled], series[sampled], 1)[0]
    assert seen.static[2, 4] == pytest.approx(slope, rel=1e-5)
    np.testing.assert_array_equal(seen.yearly[3, :, 0], data.years)


def test_a_place_looks_the_same_whichever_years_are_given_beside() -> None:
    data = site_years(4)
    view = PlaceAndTime(1985, 1995, 1985, 1995)
    later = replace(
        data.take(np.arange(4)),
        yearly=np.where((data.years > 1995)[None, :, None], 99, data.yearly).astype(np.float32),
    )
    np.testing.assert_array_equal(view.place(later), view.place(data))
    with pytest.raises(InputError, match="from 1970 to 1995"):
        PlaceAndTime(1970, 1995, 1980, 1990).place(data)


def test_what_is_never_known_is_missing_and_has_no_slope() -> None:
    data = site_years(4)
    data.yearly[1, :, 1] = np.nan
    data.yearly[2, 1:, 1] = np.nan
    place = PlaceAndTime.of(data).place(data)
    assert np.isnan(place[1, 3])
    assert place[1, 5] == 0
    assert place[2, 3] == data.yearly[2, 0, 1]
    assert place[2, 5] == 0
