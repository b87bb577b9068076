"""Sites made ready for calibration: how they begin, which stocks are fitted to, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_calibration import StockRun
from edaphos.engine.rothc_calibration_site import calibration_site, every_year
from edaphos.engine.rothc_measured import Measured
from edaphos.engine.rothc_site import SiteOptions, run_site

from ..rothc_cases import golden

MANURED = golden("g02_hoosfield_fym")  # its run is from 2001 to 2149
SITE = MANURED.site()


def stocks(*pairs: tuple[float, float], error: float | None = None) -> Measured:
    year, soc = np.array(pairs, float).T
    lines = tuple(range(2, 2 + len(pairs)))
    sd = None if error is None else np.full(len(pairs), error)
    return Measured(year, soc, sd, "stocks.csv", lines)


def test_the_equilibrium_is_the_official_one() -> None:
    found = calibration_site("field", SITE, stocks((2010, 40), (2001, 35)), start="equilibrium")
    assert found.start_stock == pytest.approx(MANURED.start["SOC"], abs=1e-3)
    assert (found.start_factor, found.start_year) == (1.0, None)
    assert np.asarray(found.fitted.years).tolist() == [2001, 2010]
    assert np.asarray(found.fitted.stock).tolist() == [35, 40]
    run = StockRun([every_year(found)]).stocks({})
    official = MANURED.monthly[MANURED.monthly["month"] == 12]["SOC"]
    np.testing.assert_allclose(run, official, atol=1e-3)


def test_the_first_stock_is_the_start_and_is_not_fitted_to() -> None:
    found = calibration_site("field", SITE, stocks((2001, 45), (2010, 60), error=2.0))
    assert found.start_stock == pytest.approx(45, abs=1e-12)
    assert found.start_year == 2001
    assert np.asarray(found.fitted.years).tolist() == [2010]
    assert found.notes == ()
    # The factor is what to multiply the first year's carbon by: the same run, told otherwise.
    spin = np.arange(SITE.months) < 12
    more = replace(SITE, plant_input=np.where(spin, found.start_factor, 1) * SITE.plant_input)
    told = run_site(more, SiteOptions("exact"))
    assert told.start.sum() + SITE.iom == pytest.approx(45, abs=1e-9)
    run = StockRun([every_year(found)]).stocks({})
    np.testing.assert_allclose(run, told.soc[11::12], atol=1e-9)


def test_a_start_that_is_fitted_is_judged_by_the_first_stock_too() -> None:
    measured = stocks((2001, 45), (2010, 60))
    found = calibration_site("field", SITE, measured, fits_start=True)
    assert found.start_year is None
    assert found.start_stock == pytest.approx(45)
    assert np.asarray(found.fitted.years).tolist() == [2001, 2010]
    # A stock from before the run can only be where it begins.
    found = calibration_site("field", SITE, stocks((2000, 45), (2010, 60)), fits_start=True)
    assert found.start_year == 2000
    assert np.asarray(found.fitted.years).tolist() == [2010]


def test_errors_of_measurement() -> None:
    measured = stocks((2001, 45), (2010, 60), (2011, 61))
    assert calibration_site("field", SITE, measured).fitted.error is None
    assert calibration_site("field", SITE, measured, error=3.0).fitted.error == 3.0
    own = replace(measured, error=np.array([1.0, 2.0, 4.0]))
    error = calibration_site("field", SITE, own, error=3.0).fitted.error
    assert np.asarray(error).tolist() == [2.0, 4.0]


def test_a_late_first_stock_is_noted() -> None:
    found = calibration_site("field", SITE, stocks((2005, 45), (2010, 60)))
    assert "the stock of 2005 is taken for that at the end of 2000" in found.notes[0]


@pytest.mark.parametrize(
    ("pairs", "start", "says"),
    [
        ([(2001, 45), (2150, 60)], "stock", "line 3, column year: 2150 lies outside the run, 2001"),
        ([(1999, 45), (2010, 60)], "stock", "line 2, column year: 1999 lies outside the run"),
        ([(2000, 45), (2010, 60)], "equilibrium", "--start stock may begin from the year before"),
        ([(2001, 45), (2010.5, 60)], "stock", "line 3, column year: found 2010.5; stocks are"),
        ([(2010, 45), (2001, 30), (2010, 6)], "stock", "line 4, column year: year 2010 is also"),
        ([(2001, 45)], "stock", "only the stock that the run begins with"),
        ([(2001, 2.0), (2010, 60)], "stock", "line 2, column soc: found 2, not above the site's"),
    ],
)
def test_stocks_that_cannot_be_used(pairs: list, start: str, says: str) -> None:
    with pytest.raises(InputError, match=r"stocks\.csv") as caught:
        calibration_site("field", SITE, stocks(*pairs), start=start)
    assert says in str(caught.value)


def test_sites_that_cannot_be_used() -> None:
    pair = stocks((2001, 45), (2010, 60))
    names = ("year", "month", "modern", "temperature", "rain", "evaporation")
    names += ("plant_input", "manure", "cover", "dpm_rpm")
    short = replace(SITE, **{name: getattr(SITE, name)[:12] for name in names})
    with pytest.raises(InputError, match="no months follow the year of the spin-up"):
        calibration_site("field", short, pair)
    bare = replace(SITE, plant_input=np.zeros(SITE.months), manure=np.zeros(SITE.months))
    with pytest.raises(InputError, match="no carbon enters in the first twelve months"):
        calibration_site("field", bare, pair)
