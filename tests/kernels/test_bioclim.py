"""Yearly summaries against pandas, and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edaphos.kernels import bioclim

RNG = np.random.default_rng(3)
RAIN = RNG.gamma(1.5, 40, (12, 6, 7)).astype(np.float32)
WARMTH = RNG.normal(10, 12, (12, 6, 7)).astype(np.float32)

FORMULAS = {
    "annual_mean": lambda t: t.mean(),
    "annual_sum": lambda t: t.sum(),
    "highest": lambda t: t.max(),
    "lowest": lambda t: t.min(),
    "spread": lambda t: t.max() - t.min(),
    "seasonality": lambda t: t.std(),  # pandas: of a sample, as R's sd in WorldClim's bio04
    "rain_seasonality": lambda t: 100 * (t + 1).std() / (t + 1).mean(),  # dismo: cv(prec + 1)
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("months", [RAIN, WARMTH], ids=["rain", "warmth"])
def test_equal_to_pandas(name: str, months: np.ndarray) -> None:
    if name == "rain_seasonality" and months is WARMTH:
        months = months - months.min()
    found = getattr(bioclim, name)(months)
    assert found.dtype == np.float64
    table = pd.DataFrame(months.reshape(12, -1).astype(np.float64))
    np.testing.assert_allclose(found.ravel(), FORMULAS[name](table), rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_missing_month_makes_the_year_missing(name: str) -> None:
    months = RAIN.copy()
    months[5, 1, 2] = np.nan
    missing = np.isnan(getattr(bioclim, name)(months))
    assert missing[1, 2]
    assert missing.sum() == 1


def test_a_year_without_seasons_and_a_desert() -> None:
    even = np.full((12, 1), 30.0, np.float32)
    assert bioclim.annual_sum(even)[0] == 360
    assert bioclim.seasonality(even)[0] == 0
    assert bioclim.rain_seasonality(even)[0] == 0
    assert bioclim.rain_seasonality(0 * even)[0] == 0  # no division by zero
    once = np.zeros((12, 1), np.float32)
    once[3] = 12
    assert bioclim.rain_seasonality(once)[0] == pytest.approx(100 * np.sqrt(12) / 2)
