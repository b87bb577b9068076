"""Loops over windows and over cells agree, compiled or not, and obey the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.kernels import resample
from edaphos.kernels.resample import Taps

MISSING = -1


def random_taps(rng: np.random.Generator, targets: int, size: int, most: int) -> Taps:
    """Taps with 0 to `most` source cells each, within a source of `size` cells."""
    number = rng.integers(0, most + 1, targets)
    first = rng.integers(0, size - most + 1, targets)
    return Taps(first, number, rng.uniform(0.01, 1, (targets, most)))


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(function, "py_func", function)


def direct_mean(source: np.ndarray, rows: Taps, cols: Taps, i: int, j: int) -> float:
    """Weighted mean of the valid source cells, by NumPy."""
    r, c = slice(rows.first[i], rows.first[i] + rows.number[i]), cols.first[j]
    block = source[r, c : c + cols.number[j]].astype(float)
    weights = np.outer(rows.weights[i, : rows.number[i]], cols.weights[j, : cols.number[j]])
    valid = np.isfinite(block)
    return float((weights * block)[valid].sum() / weights[valid].sum()) if valid.any() else np.nan


def direct_areas(source: np.ndarray, rows: Taps, cols: Taps, i: int, j: int) -> dict[int, float]:
    """Area of each class below a target cell."""
    areas: dict[int, float] = {}
    for r in range(rows.number[i]):
        for c in range(cols.number[j]):
            code = int(source[rows.first[i] + r, cols.first[j] + c])
            if code != MISSING:
                areas[code] = areas.get(code, 0) + rows.weights[i, r] * cols.weights[j, c]
    return areas


@given(seed=st.integers(0, 2**32), most=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_mean_is_the_weighted_mean_of_valid_cells(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(5, 100, (2, 9, 11)).astype(np.float32)
    source[rng.random(source.shape) < 0.4] = np.nan
    rows, cols = random_taps(rng, 6, 9, most), random_taps(rng, 7, 11, most)
    first = rows.first.clip(1)
    rows = rows._replace(first=first, number=np.minimum(rows.number, 9 - first))
    window = np.full((2, 8, 9), 7.0, np.float32)
    part = np.ascontiguousarray(source[:, 1:])
    resample.mean_window(part, 1, 0, rows, cols, window, 1, 2)
    expected = [
        [[direct_mean(plane, rows, cols, i, j) for j in range(7)] for i in range(6)]
        for plane in source
    ]
    np.testing.assert_allclose(window[:, 1:7, 2:9], expected, rtol=2e-6, atol=2e-5)
    assert (window[:, 0] == 7).all()
    assert (window[:, :, :2] == 7).all()
    row_of, col_of = (a.ravel() for a in np.meshgrid(np.arange(6), np.arange(7), indexing="ij"))
    cells = np.zeros((2, 42), np.float32)
    resample.mean_cells(part, 1, 0, rows, cols, row_of, col_of, cells, np.arange(42))
    flat = np.ascontiguousarray(window[:, 1:7, 2:9]).reshape(2, 42)
    assert np.array_equal(cells.view(np.int32), flat.view(np.int32))


@given(seed=st.integers(0, 2**32), most=st.integers(1, 4), kinds=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_mode_is_the_class_of_largest_area(seed: int, most: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.integers(MISSING, kinds, (1, 9, 11)).astype(np.int16)
    rows, cols = random_taps(rng, 6, 9, most), random_taps(rng, 7, 11, most)
    window = np.zeros((1, 6, 7), np.float32)
    resample.mode_window(source, 0, 0, rows, cols, MISSING, window, 0, 0)
    for i in range(6):
        for j in range(7):
            areas = direct_areas(source[0], rows, cols, i, j)
            found = window[0, i, j]
            assert (
                np.isnan(found)
                if not areas
                else areas[int(found)] >= 0.999999 * max(areas.values())
            )
    row_of, col_of = (a.ravel() for a in np.meshgrid(np.arange(6), np.arange(7), indexing="ij"))
    cells = np.zeros((1, 42), np.float32)
    resample.mode_cells(source, 0, 0, rows, cols, row_of, col_of, MISSING, cells, np.arange(42))
    np.testing.assert_array_equal(cells, window.reshape(1, 42))


def test_ties_go_to_the_smallest_code() -> None:
    source = np.array([[[9, 3], [3, 9]], [[4, -1], [-1, 2]]], np.int16)
    taps = Taps(np.zeros(1, np.int64), np.full(1, 2), np.array([[0.1, 0.1 + 1e-17]]))
    out = np.zeros((2, 1, 1), np.float32)
    resample.mode_window(source, 0, 0, taps, taps, MISSING, out, 0, 0)
    assert out.ravel().tolist() == [3, 2]


def test_lattices_count_sub_points() -> None:
    amounts = np.array([[[1, 2], [np.nan, 8]]], np.float32)
    codes = np.array([[[5, 5], [-1, 2]]], np.int16)
    rows = np.array([[3, 3, 4, 4], [-1, 4, 4, 4], [-1, -1, -1, -1]])
    cols = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    where = np.array([2, 0, 1])
    mean, mode = np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32)
    resample.mean_lattice(amounts, 3, 0, rows, cols, mean, where)
    resample.mode_lattice(codes, 3, 0, rows, cols, MISSING, mode, where)
    np.testing.assert_allclose(mean[0], [8, np.nan, 11 / 3], rtol=1e-6)
    np.testing.assert_array_equal(mode[0], [2, np.nan, 5])


@pytest.mark.parametrize("is_class", [False, True])
def test_compiled_equals_plain_python(is_class: bool) -> None:
    rng = np.random.default_rng(4)
    rows, cols = random_taps(rng, 4, 9, 3), random_taps(rng, 5, 11, 3)
    compiled, interpreted = np.zeros((2, 2, 4, 5), np.float32)
    if is_class:
        classes = rng.integers(-1, 4, (2, 9, 11)).astype(np.int16)
        resample.mode_window(classes, 0, 0, rows, cols, MISSING, compiled, 0, 0)
        plain(resample.mode_window)(classes, 0, 0, rows, cols, MISSING, interpreted, 0, 0)
    else:
        amounts = rng.normal(0, 1, (2, 9, 11)).astype(np.float32)
        amounts[rng.random(amounts.shape) < 0.5] = np.nan
        resample.mean_window(amounts, 0, 0, rows, cols, compiled, 0, 0)
        plain(resample.mean_window)(amounts, 0, 0, rows, cols, interpreted, 0, 0)
    np.testing.assert_array_equal(compiled, interpreted)
