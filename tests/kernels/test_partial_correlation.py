"""Partial correlations against regression residuals, scipy's ranks, and worked examples of Holm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edaphos.kernels.partial_correlation import (
    holm,
    moment_terms,
    partial_p,
    partials_from_sums,
    ranks,
)


def of_rows(values: np.ndarray) -> np.ndarray:
    return partials_from_sums(moment_terms(values).sum(axis=0), values.shape[1])


def by_residuals(values: np.ndarray, j: int) -> float:
    """Correlation of what is left of column 0 and column j after regression on the others."""
    others = np.delete(values[:, 1:], j - 1, axis=1)
    design = np.column_stack([np.ones(len(values)), others])
    left = [
        v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (values[:, 0], values[:, j])
    ]
    return float(stats.pearsonr(*left)[0])


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(12, 60))
@settings(max_examples=25, deadline=None)
def test_equals_the_correlation_of_residuals(seed: int, drivers: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, drivers + 1)) @ rng.normal(size=(drivers + 1, drivers + 1))
    values = mixed * 10.0 ** rng.uniform(-3, 3, drivers + 1) + rng.uniform(-50, 50, drivers + 1)
    for table in (values, ranks(values)):
        wanted = [by_residuals(table, j) for j in range(1, drivers + 1)]
        np.testing.assert_allclose(of_rows(table), wanted, atol=1e-6)


def test_p_is_that_of_a_regression_coefficient() -> None:
    """The p of a partial correlation is that of the driver's coefficient in the full regression."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 3))
    y = x @ [0.4, 0.0, -0.2] + rng.normal(size=40)
    design = np.column_stack([np.ones(40), x])
    beta, residues, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = np.sqrt(residues[0] / (40 - 4) * np.diag(np.linalg.inv(design.T @ design)))
    wanted = 2 * stats.t.sf(np.abs(beta / spread)[1:], 40 - 4)
    found = partial_p(of_rows(np.column_stack([y, x])), 40, controls=2)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_without_controls_they_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    y, x = rng.gamma(2, 1, 30).round(1), rng.gamma(2, 1, 30).round(1)
    for table, wanted in (
        (np.column_stack([y, x]), stats.pearsonr(y, x)),
        (ranks(np.column_stack([y, x])), stats.spearmanr(y, x)),
    ):
        assert of_rows(table)[0] == pytest.approx(wanted.statistic)
        assert partial_p(of_rows(table), 30, 0)[0] == pytest.approx(wanted.pvalue)


def test_holm_against_the_step_down_rule() -> None:
    """Rejected at level a are the smallest p as long as p(i) <= a / (m - i + 1)."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        p = np.round(rng.uniform(0, 0.2, 6), 3)
        for level in (0.01, 0.05, 0.1):
            rejected = set()
            for i, k in enumerate(np.argsort(p, kind="stable")):
                if p[k] > level / (len(p) - i) + 1e-15:
                    break
                rejected.add(int(k))
            assert {int(k) for k in np.flatnonzero(holm(p) <= level + 1e-12)} == rejected
    kept = holm([np.nan, 0.02, 0.5])
    assert np.isnan(kept[0])
    np.testing.assert_allclose(kept[1:], [0.04, 0.5])


def test_what_follows_from_others_or_does_not_vary_has_none() -> None:
    rng = np.random.default_rng(3)
    y, a, b = rng.normal(size=(3, 25))
    assert np.isnan(of_rows(np.column_stack([y, a, b, 2 * a - b]))).all()
    assert np.isnan(of_rows(np.column_stack([y, a, np.full(25, 7.0)]))).all()
    assert np.isnan(partial_p(0.5, 4, 2))
