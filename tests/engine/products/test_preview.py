from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.grid import Grid
from edaphos.engine.products.preview import block_means, make_preview

from ..maps import DEPTHS, fake_map


@pytest.mark.parametrize("max_width", [360, 100, 77])
def test_coarse_cells_are_means_of_the_valid_cells(max_width: int) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    preview = make_preview(ds, max_width=max_width, block=50)
    assert preview.status.shape[1] <= max_width
    full, coarse = ds["soc_mean"].values[0, 0], preview.of("soc", "mean", (0.0, 5.0))
    f = preview.factor
    rng = np.random.default_rng(0)
    for _ in range(50):
        i, j = rng.integers(coarse.shape[0]), rng.integers(coarse.shape[1])
        part = full[i * f : (i + 1) * f, j * f : (j + 1) * f]
        part = part[np.isfinite(part)]
        expected = part.astype(float).mean() if len(part) else np.nan
        np.testing.assert_allclose(coarse[i, j], expected, rtol=1e-6)


def test_blocks_do_not_change_the_preview() -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    one, two = make_preview(ds, 100, block=17), make_preview(ds, 100, block=999)
    np.testing.assert_array_equal(one.status, two.status)
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, two.values[name])


def test_a_small_map_is_left_as_it_is() -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    preview = make_preview(ds)
    assert preview.factor == 1
    np.testing.assert_array_equal(preview.status, ds["status"].values)
    assert preview.grid.geobox.affine == Grid.preset("global-1deg").geobox.affine


def test_blocks_without_values_stay_missing() -> None:
    values = np.full((4, 5), np.nan, np.float32)
    values[0, 0], values[3, 4] = 1.0, 2.0
    np.testing.assert_array_equal(
        block_means(values, 2), [[1.0, np.nan, np.nan], [np.nan, np.nan, 2.0]]
    )
