from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import spearmanr

from edaphos.recipes.virtual_fields import PRACTICAL_RANGE, Field, nugget, turn_with_depth
from edaphos.recipes.virtual_process import (
    DENSITY_MINERAL,
    DENSITY_ORGANIC,
    DPM_SHARE,
    OM_PER_CARBON,
    climate_state,
    content,
    residence_time,
    waterlogging,
)
from edaphos.recipes.virtual_truth import Strengths, VirtualSoil
from edaphos.recipes.virtual_variance import CLIMATE, variance_shares


def climate(temperature, rain, n=1):
    """The same month twelve times."""
    shape = (12, n)
    return {
        "temperature": np.full(shape, float(temperature)),
        "rain": np.full(shape, float(rain)),
        "relief": np.zeros(n),
    }


def points(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


# -- process ------------------------------------------------------------------------------------


def test_rothc_temperature_modifier_is_one_at_its_reference():
    # RothC's manual: the factor is 1 at 9.25 degC, the mean of Rothamsted.
    state = climate_state(climate(9.25, 500))
    np.testing.assert_allclose(state.rate, 1.0, atol=0.01)


def test_drought_slows_to_a_fifth_and_deep_frost_stops():
    wet, dry = climate_state(climate(20, 500)).rate, climate_state(climate(20, 0)).rate
    np.testing.assert_allclose(dry / wet, 0.2)
    assert climate_state(climate(-30, 50)).rate[0] < 1e-12


@pytest.mark.parametrize(
    ("temperature", "rain", "production"),
    [(30.0, 83.3333333, 1455.5), (10.0, 1000.0, 1406.3), (-60.0, 1000.0, 0.6)],
)
def test_miami_model(temperature, rain, production):
    # Lieth 1975: NPP(P = 1000 mm) and NPP(T = 10 degC), g dry matter, worked by hand
    state = climate_state(climate(temperature, rain))
    np.testing.assert_allclose(state.carbon_input * 1000 / 0.45, production, atol=0.15)


@pytest.mark.parametrize("clay", [5.0, 23.0, 60.0])
def test_residence_time_is_where_rothcs_pools_come_to_rest(clay):
    x = 1.67 * (1.85 + 1.60 * np.exp(-0.0786 * clay))
    rates = np.array([10.0, 0.3, 0.66, 0.02])

    def change(_, pools):
        lost = rates * pools
        kept = lost.sum() / (x + 1)
        return np.array([DPM_SHARE, 1 - DPM_SHARE, 0.46 * kept, 0.54 * kept]) - lost

    end = solve_ivp(change, (0, 3000), np.zeros(4), method="BDF", rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(residence_time(clay), end.y[:, -1].sum(), rtol=1e-4)


def test_content_and_density_agree_through_adams_bulk_density():
    density = np.geomspace(0.01, 300, 50)
    soc = content(density)
    om = soc * OM_PER_CARBON / 1000
    bulk = 1 / (om / DENSITY_ORGANIC + (1 - om) / DENSITY_MINERAL)
    back = soc * bulk  # g/kg x g/cm3 = kg/m3
    low = density < 5
    np.testing.assert_allclose(back[low], density[low], rtol=1e-4)
    assert np.all(np.diff(soc) > 0)
    assert 400 < soc[-1] < content(np.array(1e6)) < 515


def test_cold_wet_and_hollow_are_waterlogged():
    def degree(temperature, rain, wetness=0.0):
        return waterlogging(climate_state(climate(temperature, rain)), np.array([wetness]))[0]

    assert degree(-2, 60) > degree(8, 60) > degree(25, 60)
    assert degree(2, 60, 1.0) > degree(2, 60, -1.0)
    assert degree(27, 1) < 1e-3


# -- fields -------------------------------------------------------------------------------------


def test_practical_range():
    s = np.sqrt(3) * PRACTICAL_RANGE
    np.testing.assert_allclose((1 + s) * np.exp(-s), 0.05, atol=1e-4)


def test_fields_have_no_seam_and_differ_by_name_and_seed():
    field = Field("a", 500.0, 1)
    lat = np.linspace(-80, 80, 9)
    np.testing.assert_allclose(
        field(np.full(9, 180.0), lat), field(np.full(9, -180.0), lat), atol=1e-9
    )
    pole = field(np.linspace(-180, 180, 7), np.full(7, 90.0))
    np.testing.assert_allclose(pole, pole[0], atol=1e-9)
    lon, lat = points(500)
    for other in (Field("b", 500.0, 1), Field("a", 500.0, 2)):
        assert abs(np.corrcoef(field(lon, lat), other(lon, lat))[0, 1]) < 0.3


def test_nugget_belongs_to_the_place():
    lon, lat = points(4000)
    noise = nugget("p", lon, lat, 0)
    np.testing.assert_array_equal(noise[::-1], nugget("p", lon[::-1], lat[::-1], 0))
    np.testing.assert_array_equal(noise, nugget("p", lon + 1e-7, lat, 0).round(12) * 0 + noise)
    assert abs(noise.mean()) < 0.06
    assert abs(noise.std() - 1) < 0.05
    assert abs(np.corrcoef(noise, nugget("p", lon + 2e-5, lat, 0))[0, 1]) < 0.06


def test_turning_with_depth_keeps_variance_and_loses_memory():
    a, b = np.random.default_rng(0).standard_normal((2, 20_000))
    layers = np.array([turn_with_depth(a, b, z) for z in (0, 30, 100, 1e6)])
    np.testing.assert_allclose(layers.std(axis=1), 1, atol=0.03)
    memory = np.corrcoef(layers)[0]
    assert np.all(np.diff(memory) < 0)
    assert abs(memory[-1]) < 0.03


# -- truth --------------------------------------------------------------------------------------


def test_truth_is_reproducible_at_single_points():
    soil = VirtualSoil(3)
    lon, lat = points(40)
    here = climate(8, 60, 40)
    whole = soil.soc(lon, lat, 5, 15, here)
    one = soil.soc(lon[7:8], lat[7:8], 5, 15, climate(8, 60, 1))
    np.testing.assert_allclose(one, whole[7:8], rtol=1e-12)
    assert not np.allclose(whole, VirtualSoil(4).soc(lon, lat, 5, 15, here))


def test_truth_falls_with_depth_without_residuals_and_layers_add_up():
    soil = VirtualSoil(3, strengths=Strengths(*[0.0] * 8))
    lon, lat = np.zeros(1), np.zeros(1)
    edges = [0, 5, 15, 30, 60, 100, 200]
    here = climate(10, 60)
    layers = [soil.soc(lon, lat, a, b, here)[0] for a, b in pairwise(edges)]
    assert np.all(np.diff(layers) < 0)
    fine = np.mean([soil.soc(lon, lat, z, z + 1, here)[0] for z in range(60, 100)])
    np.testing.assert_allclose(soil.soc(lon, lat, 60, 100, here)[0], fine, rtol=2e-3)


def test_truth_is_in_the_order_of_the_earths_climates():
    lon, lat = points(400)
    soil = VirtualSoil(0)

    def median(temperature, rain):
        return np.median(soil.soc(lon, lat, 0, 30, climate(temperature, rain, 400)))

    desert, tropics, temperate, boreal = (
        median(26, 3),
        median(26, 180),
        median(10, 60),
        median(-2, 45),
    )
    assert desert < 6 < tropics < temperate + 5
    assert boreal > 1.5 * temperate


# -- shares of variance -------------------------------------------------------------------------


def test_shares_are_those_stated():
    # In one dry climate ln SOC is nearly linear in the residuals, whose variances are parameters.
    lon, lat = points(6000)
    strengths = Strengths(broad=0, regional=0.3, local=0.2, pedon=0.4, clay=0, wetness=0, rooting=0)
    soil = VirtualSoil(5, strengths=strengths)
    shares = variance_shares(soil, lon, lat, climate(22, 8, 6000))
    total = 0.3**2 + 0.2**2 + 0.4**2 + np.log1p(0.1**2)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["hidden regional field"] == pytest.approx(0.09 / total, abs=0.03)
    assert shares["variation within a cell"] == pytest.approx(0.04 / total, abs=0.03)
    assert shares["nugget between pedons"] == pytest.approx(0.16 / total, abs=0.03)
    assert shares["drainage (hidden but for relief)"] == pytest.approx(0, abs=1e-12)
    assert shares[CLIMATE] == pytest.approx(0, abs=1e-12)


def test_hidden_drainage_follows_relief():
    lon, lat = points(500)
    relief = np.random.default_rng(1).normal(0, 80, 500)
    wetness = VirtualSoil(0).hidden(lon, lat, relief).wetness
    assert spearmanr(wetness, relief).statistic < -0.3
