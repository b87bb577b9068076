"""ICBM's yearly step against a solver of differential equations, and its steady state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from edaphos.kernels.icbm import HUMIFIED, OLD_RATE, YOUNG_RATE, simulate_years, steady_pools


def solved(y, o, entering, climate, rates) -> np.ndarray:
    """Return both pools at the end of each year, by the paper's equations 1 and 2."""
    k1, k2, h = rates
    state, ends = [y, o], []
    for i, r in zip(entering, climate, strict=True):

        def slope(_, pools, i=i, r=r):
            return [i - k1 * r * pools[0], h * k1 * r * pools[0] - k2 * r * pools[1]]

        state = solve_ivp(slope, (0, 1), state, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        ends.append(state)
    return np.array(ends)


amounts, factors = st.floats(0, 20), st.floats(0, 5)


@given(
    y=amounts,
    o=amounts,
    entering=st.lists(st.floats(0, 3), min_size=3, max_size=3),
    climate=st.lists(factors, min_size=3, max_size=3),
    k1=st.floats(0.05, 3),
    k2=st.floats(1e-4, 1),
    h=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_equals_a_solver_of_the_differential_equations(y, o, entering, climate, k1, k2, h) -> None:
    found = simulate_years(
        np.array([y]), np.array([o]), np.c_[entering], np.c_[climate], (k1, k2, h)
    )
    wanted = solved(y, o, entering, climate, (k1, k2, h))
    np.testing.assert_allclose(found[:, :, 0], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k2", [0.5, 0.5 * (1 + 1e-13), 0.5 + 1e-7])
def test_equal_rates_are_no_trouble(k2: float) -> None:
    found = simulate_years(np.ones(1), np.ones(1), np.ones((4, 1)), np.ones((4, 1)), (0.5, k2, 0.3))
    wanted = solved(1.0, 1.0, [1.0] * 4, [1.0] * 4, (0.5, k2, 0.3))
    np.testing.assert_allclose(found[:, :, 0], wanted, rtol=1e-10)


def test_steady_state_of_the_paper() -> None:
    """Table 1's steady state: 0.2 kg/m² entering at r = 1 hold about 0.25 young and 4.1 old."""
    young, old, entering = steady_pools(
        np.array([0.25 + 0.125 * 0.2 / 0.00605]), 0.8, 0.00605, 0.125
    )
    assert entering[0] == pytest.approx(0.2, rel=1e-12)
    assert young[0] == pytest.approx(0.25, rel=1e-12)
    assert old[0] == pytest.approx(4.13, abs=0.01)
    assert (YOUNG_RATE, OLD_RATE, HUMIFIED) == (0.8, 0.00605, 0.125)


@given(st.floats(0.1, 30), st.floats(0.05, 3), st.floats(1e-4, 1), st.floats(0, 1))
def test_steady_state_stays(stock: float, k1: float, k2: float, h: float) -> None:
    young, old, entering = steady_pools(np.array([stock]), k1, k2, h)
    assert young[0] + old[0] == pytest.approx(stock, rel=1e-12)
    years = np.repeat(entering[None], 30, axis=0)
    found = simulate_years(young, old, years, np.ones((30, 1)), (k1, k2, h))
    np.testing.assert_allclose(found.sum(axis=1), stock, rtol=1e-11)


def test_runs_to_the_steady_state_of_its_input() -> None:
    found = simulate_years(
        np.zeros(1), np.zeros(1), np.full((5000, 1), 0.2), np.full((5000, 1), 1.3)
    )
    wanted = [0.2 / (0.8 * 1.3), 0.125 * 0.2 / (0.00605 * 1.3)]
    np.testing.assert_allclose(found[-1, :, 0], wanted, rtol=1e-9)


def test_missing_stays_in_its_pixel() -> None:
    climate = np.ones((3, 2))
    climate[1, 1] = np.nan
    found = simulate_years(np.ones(2), np.ones(2), np.ones((3, 2)), climate)
    assert np.isfinite(found[:, :, 0]).all()
    assert np.isfinite(found[0, :, 1]).all()
    assert np.isnan(found[1:, :, 1]).all()


def test_refuses_what_does_not_fit() -> None:
    one, years = np.ones(2), np.ones((3, 2))
    with pytest.raises(ValueError, match="expected entering"):
        simulate_years(one, one, years, years[:2])
    with pytest.raises(ValueError, match="expected entering"):
        simulate_years(one[:1], one, years, years)
    with pytest.raises(ValueError, match="above 0"):
        simulate_years(one, one, years, years, (0.8, 0.0, 0.1))
