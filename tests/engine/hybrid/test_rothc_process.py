"""RothC as a process model: against runs of single sites, closed forms, and what must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Climate, Drivers

from . import worlds


def steady(sites: int = 12, seasonal: bool = True) -> Drivers:
    """Return a climate and a driver that are the same in every year."""
    told = worlds.drivers(sites)
    year = [array[:12] for array in vars(told.climate).values()]
    if not seasonal:
        year = [np.broadcast_to(array.mean(axis=0), array.shape) for array in year]
        told = replace(told, cover=np.ones_like(told.cover))
    return replace(told, climate=Climate(*year), input_driver=np.ones_like(told.input_driver))


def stocks(sites: int = 12) -> np.ndarray:
    return np.linspace(2, 9, sites)


def begin(sites: int = 12, at: int = 0) -> np.ndarray:
    return np.full(sites, at)


def test_follows_the_protocol() -> None:
    assert isinstance(RothCProcess(), Process)


@pytest.mark.parametrize("seasonal", [True, False])
def test_nothing_changes_where_climate_and_driver_do_not(seasonal: bool) -> None:
    found = RothCProcess().simulate(steady(seasonal=seasonal), begin(), stocks())
    np.testing.assert_allclose(found, np.repeat(stocks()[:, None], 21, axis=1), rtol=1e-10)


def test_the_start_is_the_stock_and_nothing_is_before_it() -> None:
    start = np.array([0, 4, 20, -1])
    found = RothCProcess().simulate(worlds.drivers(4), start, stocks(4))
    for site, first in enumerate(start[:3]):
        assert found[site, first] == stocks(4)[site]
        assert np.isnan(found[site, :first]).all()
        assert np.isfinite(found[site, first:]).all()
    assert np.isnan(found[3]).all()
