"""Kernels against the plain-Python oracle, over any climate, soil and management."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edaphos.kernels.equilibrium import equilibrium
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import rate_modifiers, simulate

from . import rothc_oracle as oracle

MONTHS = 24


def numbers(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Monthly values, the bounds themselves among them."""
    each = st.one_of(st.floats(low, high), st.sampled_from([low, high]))
    return arrays(np.float64, MONTHS, elements=each)


temperatures = arrays(
    np.float64,
    MONTHS,
    elements=st.one_of(
        st.floats(-40, 45), st.sampled_from([-5.0, -5.001, -4.999, -18.27, -18.3, -30.0, 0.0])
    ),
)
climates = st.fixed_dictionaries(
    {
        "temperature": temperatures,
        "rain": numbers(0, 400),
        "evaporation": numbers(-10, 400),
        "cover": arrays(np.float64, MONTHS, elements=st.sampled_from([0.0, 1.0])),
        "plant_input": numbers(0, 3),
        "manure": numbers(0, 5),
        "dpm_rpm": arrays(np.float64, MONTHS, elements=st.sampled_from([0.25, 0.67, 1.44, 5.0])),
    }
)
soils = st.tuples(
    st.one_of(st.floats(0, 100), st.sampled_from([0.0, 100.0])), st.floats(1, 200)
)  # clay, depth
pools = st.tuples(*[st.floats(0, 80)] * 4)


@given(
    climate=climates, soil=soils, begun=pools, dry=st.floats(0, 1), pan=st.sampled_from([0.75, 1])
)
@settings(max_examples=60)
def test_any_two_years(climate, soil, begun, dry, pan) -> None:
    clay, depth = soil
    site = oracle.Site(clay, depth, 0.0, evaporation_factor=pan)
    state = oracle.OracleState(begun, dry * oracle.driest(site))
    compare(site, climate, state, None)


@given(
    climate=climates,
    soil=soils,
    begun=st.tuples(*[st.floats(0.01, 80)] * 4),
    mu_max=st.floats(0.1, 5),
    km=st.floats(0.01, 5),
)
@settings(max_examples=40)
def test_any_two_years_with_microbial_rates(climate, soil, begun, mu_max, km) -> None:
    site = oracle.Site(*soil, 0.0, mu_max=mu_max, km=km)
    compare(site, climate, oracle.OracleState(begun), Microbial(mu_max, km))


def compare(
    site: oracle.Site,
    climate: dict[str, np.ndarray],
    state: oracle.OracleState,
    microbial: Microbial | None,
) -> None:
    rows = [climate[f].tolist() for f in oracle.Month.__dataclass_fields__ if f in climate]
    months = [oracle.Month(*row) for row in zip(*rows, strict=True)]
    wanted = oracle.simulate(site, months, state)
    forcing = Forcing(**{name: values[:, None] for name, values in climate.items()})
    soil = Soil(np.array([site.clay]), np.array([site.depth]))
    begun = State(np.array(state.pools)[:, None], np.array([state.deficit]))
    factor = site.evaporation_factor
    found = simulate(forcing, soil, begun, MONTHS, evaporation_factor=factor, microbial=microbial)
    np.testing.assert_allclose(found.pools[:, :, 0], [s.pools for s in wanted], atol=1e-9)
    np.testing.assert_allclose(found.co2[:, 0], [s.co2 for s in wanted], atol=1e-9)
    np.testing.assert_allclose(found.deficit[:, 0], [s.deficit for s in wanted], atol=1e-9)
    rates = rate_modifiers(forcing, soil, begun.deficit, MONTHS, evaporation_factor=factor)
    each = np.stack([rates.temperature, rates.moisture, rates.cover], axis=1)[:, :, 0]
    np.testing.assert_allclose(each, [s.modifiers for s in wanted], atol=1e-11)


@given(climate=climates, soil=soils)
@settings(max_examples=40)
def test_a_year_of_the_oracle_leads_equilibrium_back_to_itself(climate, soil) -> None:
    year = {name: values[:12].copy() for name, values in climate.items()}
    year["temperature"][5:8] = 15.0  # something must decompose
    forcing = Forcing(**{name: values[:, None] for name, values in year.items()})
    clay, depth = soil
    found = equilibrium(forcing, Soil(np.array([clay]), np.array([depth])))
    rows = [year[f].tolist() for f in oracle.Month.__dataclass_fields__ if f in year]
    months = [oracle.Month(*row) for row in zip(*rows, strict=True)]
    state = oracle.OracleState(tuple(found.pools[:, 0].tolist()), float(found.deficit[0]))
    after = oracle.simulate(oracle.Site(clay, depth, 0.0), months, state)[-1]
    np.testing.assert_allclose(after.pools, state.pools, rtol=1e-10, atol=1e-10)
