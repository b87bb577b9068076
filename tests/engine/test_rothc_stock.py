"""A start from a measured stock: equilibrium has it, radiocarbon follows, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_input import SiteInput
from edaphos.engine.rothc_site import SiteOptions, run_site
from edaphos.engine.rothc_stock import hold_site_stock

from ..rothc_cases import CASES, POOLS, golden

UNMANURED = golden("g01_hoosfield_unmanured")
SITE = UNMANURED.site()


def scaled_by_hand(site: SiteInput, factor: float) -> SiteInput:
    scale = np.where(np.arange(site.months) < 12, factor, 1.0)
    return replace(site, plant_input=scale * site.plant_input, manure=scale * site.manure)


def manured() -> SiteInput:
    """A site whose first year has manure, too."""
    return replace(SITE, manure=np.where(SITE.month == 3, 0.5, 0.0))


@pytest.mark.parametrize("name", CASES)
def test_its_own_equilibrium_needs_no_scaling(name: str) -> None:
    case = golden(name)
    equilibrium = case.about["equilibrium_exact_periodic"]
    held = hold_site_stock(case.site(), equilibrium["SOC"])
    assert held.factor == pytest.approx(1.0, abs=1e-9)
    wanted = [equilibrium[pool] for pool in POOLS]
    np.testing.assert_allclose(held.state.pools[:, 0], wanted, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("inert", ["file", "falloon"])
def test_equilibrium_has_the_stock(name: str, inert: str) -> None:
    site = golden(name).site()
    stock = 1.7 * golden(name).start["SOC"] + 1
    result = run_site(site, SiteOptions(stock=stock, inert=inert))
    iom = site.iom if inert == "file" else 0.049 * stock**1.139  # Falloon et al. 1998
    assert result.held.iom == pytest.approx(iom, rel=1e-12)
    assert result.start.sum() + iom == pytest.approx(stock, abs=1e-9)
    assert result.years()["SOC_t_C_ha"][0] == pytest.approx(stock, abs=1e-9)
    assert result.spin_up_months == 0
    # The official rule on the same input, scaled by hand, ends a little before it.
    by_hand = replace(scaled_by_hand(site, result.held.factor), iom=iom)
    official, exact = run_site(by_hand), run_site(by_hand, SiteOptions("exact"))
    first, theirs = result.years().iloc[0], official.years().iloc[0]
    assert theirs["SOC_t_C_ha"] == pytest.approx(stock, abs=1e-3)
    assert theirs["deltaC"] == pytest.approx(first["deltaC"], abs=2e-2)
    np.testing.assert_allclose(result.months(), exact.months(), atol=1e-9)


def test_plants_and_manure_keep_their_shares_and_later_years_stay() -> None:
    site = manured()
    result = run_site(site, SiteOptions(stock=60.0))
    held = result.held
    assert held.plant_input == pytest.approx(held.factor * site.plant_input[:12].sum())
    assert held.manure == pytest.approx(held.factor * 0.5)
    assert result.summary()["held"]["manure_t_C_ha_yr"] == held.manure
    np.testing.assert_array_equal(result.site.plant_input[12:], site.plant_input[12:])
    entering = site.plant_input[12:].sum() + site.manure[12:].sum()
    assert entering == pytest.approx(result.soc[-1] - 60 + result.run.co2.sum(), abs=1e-9)
    # Ten times the input is the same course: a tenth of the factor, the same run.
    tenfold = run_site(scaled_by_hand(site, 10.0), SiteOptions(stock=60.0))
    assert tenfold.held.factor == pytest.approx(held.factor / 10, rel=1e-12)
    np.testing.assert_allclose(tenfold.months(), result.months(), atol=1e-9)


def test_evaporation_is_that_of_the_run() -> None:
    site = replace(SITE, evaporation=2 * SITE.evaporation)
    whole = replace(site, evaporation=0.75 * site.evaporation)
    pan = hold_site_stock(site, 40.0)
    assert hold_site_stock(whole, 40.0, evaporation="pet").factor == pytest.approx(pan.factor)
    assert hold_site_stock(site, 40.0, evaporation="pet").factor != pytest.approx(pan.factor)


def test_stocks_that_no_input_holds() -> None:
    for stock in (SITE.iom, 0.5 * SITE.iom):
        with pytest.raises(InputError, match=r"not above the site.s inert organic matter of 2\.7"):
            run_site(SITE, SiteOptions(stock=stock))
    assert run_site(SITE, SiteOptions(stock=2.0, inert="falloon")).start.sum() > 1.8
    for stock in (0.0, -3.0, np.nan, np.inf):
        with pytest.raises(InputError, match="expected a number above 0"):
            SiteOptions(stock=stock)
        with pytest.raises(InputError, match="field, soc: found"):
            hold_site_stock(SITE, stock, source="field, soc")
    bare = scaled_by_hand(SITE, 0.0)
    with pytest.raises(InputError, match="nothing to scale to 30 t C/ha"):
        run_site(bare, SiteOptions(stock=30.0))
    frozen = replace(SITE, temperature=np.full(SITE.months, -8.0))
    with pytest.raises(InputError, match="so nothing decomposes"):
        run_site(frozen, SiteOptions(stock=30.0))
