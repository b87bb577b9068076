"""False-discovery control from histograms, against SciPy's on arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from edaphos.kernels.discovery import (
    PER_OCTAVE,
    Method,
    harmonic,
    p_edges,
    p_histogram,
    threshold,
)


def p_values(seed: int, n: int = 2000, share: float = 0.2, shift: float = 3.0) -> np.ndarray:
    """Return two-sided p-values, a share of them from a shifted normal distribution."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n) + shift * (rng.random(n) < share)
    return 2 * norm.sf(np.abs(z))


def rounded_up(p: np.ndarray) -> np.ndarray:
    edges = p_edges()
    return edges[np.searchsorted(edges, p)]


@pytest.mark.parametrize("method", ["bh", "by"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("q", [0.01, 0.1, 0.3])
def test_rejects_what_scipy_rejects_of_the_rounded_values(
    method: Method, seed: int, q: float
) -> None:
    p = p_values(seed)
    mine = p <= threshold(p_histogram(p), q, method)
    theirs = false_discovery_control(rounded_up(p), method=method) <= q
    np.testing.assert_array_equal(mine, theirs)
    exact = false_discovery_control(p, method=method) <= q
    assert not (mine & ~exact).any()
    assert mine.sum() >= 0.95 * exact.sum() - 1
    assert exact.any() or q == 0.01


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60),
    st.floats(0.01, 0.5),
    st.sampled_from(["bh", "by"]),
)
def test_never_rejects_more_than_scipy(values: list[float], q: float, method: Method) -> None:
    p = np.array(values, np.float32)
    mine = p <= threshold(p_histogram(p), q, method)
    exact = false_discovery_control(p.astype(float), method=method) <= q * (1 + 1e-12)
    assert not (mine & ~exact).any()


def test_tiling_cannot_change_the_counts() -> None:
    p = p_values(1).reshape(40, 50).astype(np.float32)
    p[:3, :7] = np.nan
    tiles = [p[i : i + 16, j : j + 16] for j in range(0, 50, 16) for i in range(0, 40, 16)]
    summed = sum(p_histogram(tile) for tile in tiles)
    np.testing.assert_array_equal(summed, p_histogram(p))
    assert p_histogram(p).sum() == 2000 - 21


def test_every_p_value_lies_in_its_bin() -> None:
    edges = p_edges()
    assert (np.diff(edges) > 0).all()
    assert edges[-1] == 1
    assert (edges[1:] / edges[:-1]).max() <= 1 + 1 / PER_OCTAVE
    for position in (0, 1, 700, len(edges) - 1):
        assert p_histogram(edges[[position]])[position] == 1
        above = np.nextafter(edges[[position]], 2)
        if above[0] <= 1:
            assert p_histogram(above)[position + 1] == 1
    assert p_histogram(np.zeros(4))[0] == 4


def test_without_tests_or_effects_nothing_is_rejected() -> None:
    assert threshold(p_histogram(np.full(3, np.nan)), 0.1) == -1
    assert threshold(p_histogram(np.ones(100)), 0.1) == -1
    assert not (np.zeros(0) <= threshold(p_histogram(np.zeros(0)), 0.1)).any()


def test_all_are_rejected_where_all_are_small() -> None:
    assert threshold(p_histogram(np.full(100, 0.09)), 0.1) >= 0.09
    assert threshold(p_histogram(np.full(100, 0.09)), 0.1, "by") == -1


def test_harmonic_numbers() -> None:
    for n in (1, 2, 10, 1000):
        assert harmonic(n) == pytest.approx(sum(1 / i for i in range(1, n + 1)), rel=1e-12)


def test_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match="p-values must lie"):
        p_histogram(np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="bins"):
        threshold(np.zeros(3, np.int64), 0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(p_histogram(np.ones(1)), 1.5)
    with pytest.raises(ValueError, match="method"):
        threshold(p_histogram(np.ones(1)), 0.1, "holm")  # type: ignore[arg-type]
