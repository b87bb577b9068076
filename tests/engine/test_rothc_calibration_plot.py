"""The report and the picture of a calibration say what the data determine, and what not."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edaphos.engine.calibration import Parameter
from edaphos.engine.errors import InputError
from edaphos.engine.rothc_calibration_plot import MOST_SITES, calibration_picture, verdict
from edaphos.engine.rothc_calibration_report import CalibratedSites, calibrate_sites
from edaphos.engine.rothc_calibration_site import CalibrationSite, calibration_site
from edaphos.engine.rothc_measured import Measured

from ..rothc_cases import golden

OPTIONS = {"starts": 2, "profile_points": 7, "surface_points": 5}
RATES = [Parameter("mu_max", 0.1, 10), Parameter("km", 0.01, 10)]


def official(name: str, years: list[int], start: str = "equilibrium") -> CalibrationSite:
    """A golden case whose own stocks, as the official program gives them, were measured."""
    case = golden(name)
    ends = case.monthly[case.monthly["month"] == 12].set_index("year")["SOC"]
    measured = Measured(np.array(years, float), ends.loc[years].to_numpy(), None, f"{name}.csv")
    return calibration_site(name, case.site(), measured, start=start)


@pytest.fixture(scope="module")
def determined() -> CalibratedSites:
    sites = [official("g02_hoosfield_fym", [2002, 2010, 2050, 2100])]
    knobs = [Parameter("input_factor", 0.2, 5), Parameter("k_hum", 0.002, 0.2)]
    return calibrate_sites(sites, knobs, **OPTIONS)


def test_the_official_program_is_recovered(determined: CalibratedSites) -> None:
    assert determined.calibration.values == pytest.approx(
        {"input_factor": 1.0, "k_hum": 0.02}, rel=1e-3
    )
    assert verdict(determined.calibration) == "RothC calibrated: input_factor, k_hum"
    assert determined.rmse_standard < 1e-3
    table = determined.table()
    assert table["year"].tolist() == list(range(2001, 2150))
    assert table.loc[table["fitted"] == 1, "year"].tolist() == [2002, 2010, 2050, 2100]
    assert table["measured_t_C_ha"].notna().sum() == 4
    assert table["difference_t_C_ha"].abs().max() < 1e-2
    at = determined.to_json()["sites"][0]
    assert at["start_from_stock_of"] is None
    assert "equilibrium of the first year" in determined.to_text()


def test_a_soil_near_equilibrium_cannot_tell_microbial_rates_apart() -> None:
    site = official("g01_hoosfield_unmanured", [2001, 2010, 2050, 2100, 2140], start="stock")
    noise = np.array([0.3, -0.4, 0.2, -0.1])
    site = replace(site, fitted=replace(site.fitted, stock=site.fitted.stock + noise))
    found = calibrate_sites([site], RATES, **OPTIONS)
    assert not found.calibration.identifiable
    title = verdict(found.calibration)
    assert "mu_max and km cannot be told apart" in title
    picture = calibration_picture(found)
    assert picture.title == title
    assert picture.alt.startswith(title)
    assert found.surface is not None
    assert found.table()["fitted"].sum() == 4
    assert found.table()["measured_t_C_ha"].notna().sum() == 5


def test_limits_that_the_data_do_not_set_are_named(determined: CalibratedSites) -> None:
    fit = determined.calibration
    first = replace(fit.estimates[0], leaning=True)
    second = replace(fit.estimates[1], open_high=True)
    vague = replace(fit, estimates=(first, second), identifiable=False, warnings=("x",))
    assert verdict(vague) == (
        "Not determined by these stocks: k_hum (no upper limit), input_factor (limited only by "
        "another's bounds)"
    )
    flat = replace(fit, identifiable=False, warnings=("k_hum has no effect",))
    assert verdict(flat) == "Not determined by these stocks: k_hum has no effect"


def test_a_picture_grows_with_what_it_shows(determined: CalibratedSites) -> None:
    one = calibration_picture(determined)
    site = determined.sites[0]
    count = MOST_SITES + 3
    sites = [replace(site, fitted=replace(site.fitted, name=f"s{i}")) for i in range(count)]
    many = calibrate_sites(sites, [Parameter("input_factor", 0.2, 5)], **OPTIONS)
    assert many.surface is None
    assert many.to_json()["surface"] is None
    picture = calibration_picture(many)
    sizes = [Image.open(io.BytesIO(p.png)).size for p in (one, picture)]
    assert sizes[1][1] > 1.5 * sizes[0][1]
    assert f"{MOST_SITES} of {count} sites are drawn" in picture.svg


def test_a_fitted_start_is_where_the_run_begins() -> None:
    site = official("g02_hoosfield_fym", [2001, 2002, 2010, 2050])
    found = calibrate_sites([site], [Parameter("initial_factor", 0.2, 5)], **OPTIONS)
    assert found.begin(site) == pytest.approx(site.start_stock, rel=1e-3)
    held = calibrate_sites(
        [site], [Parameter("k_hum", 0.002, 0.2)], fixed={"initial_factor": 2.0}, **OPTIONS
    )
    iom = site.fitted.iom
    assert held.begin(site) - iom == pytest.approx(2 * (site.start_stock - iom))
    assert "held: initial_factor = 2" in held.to_text()


def test_too_few_stocks_are_refused() -> None:
    site = official("g02_hoosfield_fym", [2001, 2010], start="stock")
    with pytest.raises(InputError, match=r"fym\.csv: 1 stock to fit to \(that of 2001 is the st"):
        calibrate_sites([site], RATES)
    known = replace(site, fitted=replace(site.fitted, error=1.0))
    with pytest.raises(InputError, match=r"2 parameters need at least 2; .*\(--fixed\)$"):
        calibrate_sites([known], RATES)


def test_errors_that_the_model_exceeds_are_told() -> None:
    site = official("g02_hoosfield_fym", [2001, 2002, 2010, 2050, 2100])
    moved = np.add(site.fitted.stock, [9, -9, 9, -9, 9])
    off = replace(site, fitted=replace(site.fitted, stock=moved))
    knob = [Parameter("input_factor", 0.2, 5)]

    def notes(error: float | None) -> list[str]:
        known = replace(off, fitted=replace(off.fitted, error=error))
        return calibrate_sites([known], knob, **OPTIONS).notes

    assert notes(None) == []
    assert notes(9.0) == []
    assert "times the errors given: the intervals are too narrow" in notes(3.0)[0]
