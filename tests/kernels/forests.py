"""Forests of scikit-learn and rows for them, with what trees can stumble over among both."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

Rows = NDArray[np.float32]
FEATURES = 5
#: float32 and their neighbours, so that thresholds fall between neighbouring floats.
EXTREMES = np.array(
    [-3.4028235e38, -1.0, -1e-38, -1e-45, 0.0, 1e-45, 2e-45, 1.0, 1.0000001, 3.4028235e38],
    np.float32,
)
KINDS = ("smooth", "rounded", "extreme", "constant", "missing")


def rows_of(kind: str, seed: int, count: int, gaps: bool = False) -> Rows:
    """Rows ``(count, 5)``: continuous, with ties, of extreme floats, of one value, or with NaN."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, FEATURES)).astype(np.float32)
    if kind == "rounded":
        x = np.round(x, 1)
    elif kind == "extreme":
        x = rng.choice(EXTREMES, x.shape)
    elif kind == "constant":
        x[:, 1:] = np.float32(0.1)
    if kind == "missing" or gaps:
        x[rng.random(x.shape) < 0.15] = np.nan
    return x


def target_of(rows: Rows, seed: int) -> NDArray[np.float64]:
    """Return targets, some of them equal."""
    rng = np.random.default_rng(seed)
    signal = np.nan_to_num(np.clip(rows[:, 0], -3, 3)) + rng.standard_normal(len(rows))
    return np.round(np.exp(signal), 1)


def grow(kind: str, seed: int, trees: int, rows: int, **settings: Any) -> tuple[Any, Rows, NDArray]:
    """Return a fitted forest of extra trees or of random ones, with its training rows."""
    x = rows_of(kind, seed, rows)
    y = target_of(x, seed)
    make = ExtraTreesRegressor if seed % 2 else RandomForestRegressor
    model = make(trees, max_features="sqrt", random_state=seed, **settings).fit(x, y)
    return model, x, y


def expected_leaves(model: Any, rows: Rows) -> NDArray[np.int64]:
    """Return scikit-learn's leaves, counted depth first through all trees, ``(n, trees)``."""
    found, before = [], 0
    for estimator, nodes in zip(model.estimators_, model.apply(rows).T, strict=True):
        leaf = estimator.tree_.children_left == -1
        found.append(before + (np.cumsum(leaf) - 1)[nodes])
        before += int(leaf.sum())
    return np.stack(found, axis=1)


forests = st.builds(
    grow,
    st.sampled_from(KINDS),
    st.integers(0, 2**16),
    st.integers(1, 6),
    st.integers(2, 150),
    min_samples_leaf=st.integers(1, 4),
)
