"""Stocks of a map of content, whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.stocks.content import with_stocks
from edaphos.kernels.pedotransfer import bulk_density
from edaphos.kernels.stock_draws import Z95

from ..maps import fake_arms, fake_map

DEPTHS = ((0, 5), (5, 15))
GLOBE = Grid.preset("global-1deg")


@pytest.fixture(scope="module")
def content():
    return fake_map(GLOBE, depths=DEPTHS)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """What is turned at once is a part of the map."""
    monkeypatch.setattr("edaphos.engine.stocks.content.CHUNK", 64)


def test_means_are_content_times_its_density(content):
    ds = with_stocks(content, "adams", 0.2)
    assert ds["stock_mean"].dims == content["soc_mean"].dims
    for d, (top, bottom) in enumerate(DEPTHS):
        soc = content["soc_mean"].values[d, 0].astype(float)
        expected = soc * bulk_density("adams", soc)[0] * 0.8 * (bottom - top) / 100
        np.testing.assert_allclose(ds["stock_mean"].values[d, 0], expected, rtol=1e-6)


def test_bounds_are_those_of_the_product(content):
    """With a stated density of lognormal content the product's bounds are known."""
    ds = with_stocks(content, "1.25", density_sd=0.0)
    rows, cols = slice(50, 80), slice(120, 180)
    low, mean, high = (
        content[f"soc_{n}"].values[1, 0, rows, cols].astype(float) for n in ("q05", "mean", "q95")
    )
    spread = np.log(high / low) / (2 * Z95)
    for name, sign in (("q05", -1), ("q95", 1)):
        exact = mean * np.exp(-(spread**2) / 2 + sign * Z95 * spread) * 1.25 * 10 / 100
        found = ds[f"stock_{name}"].isel(depth=1, year=0, y=rows, x=cols).values
        np.testing.assert_allclose(found, exact, rtol=0.03)
    wider = with_stocks(content, "1.25", density_sd=0.3)
    part = {"depth": 1, "year": 0, "y": rows, "x": cols}
    width = [(d["stock_q95"] - d["stock_q05"]).isel(part).values for d in (ds, wider)]
    known = np.isfinite(width[0])
    assert known.sum() > 100
    assert (width[1] > width[0])[known].all()


def test_what_cannot_be_is_said(content):
    with pytest.raises(InputError, match="has none"):
        with_stocks(fake_arms(years=(1990, 2000)), "1.3")
    with pytest.raises(InputError, match="holds stocks"):
        with_stocks(content.assign(stock_mean=content["soc_mean"]), "1.3")
    with pytest.raises(InputError, match="holds none"):
        with_stocks(content.drop_vars("soc_q05"), "1.3", density_sd=0.2)
