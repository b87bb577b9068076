"""Names of a map's layers: each its own, also of variables without depth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from edaphos.engine.products.layers import layers


def test_statistics_of_a_variable_without_depth_have_names_of_their_own():
    whole = (("year", "y", "x"), np.ones((1, 2, 2)))
    deep = (("depth", "year", "y", "x"), np.ones((2, 1, 2, 2)))
    ds = xr.Dataset(
        {
            "beta_mean": (*whole, {"statistic": "mean"}),
            "beta_q05": (*whole, {"statistic": "Q0.05"}),
            "dissimilarity": (*whole, {"statistic": "index"}),
            "stock_mean": (*deep, {"statistic": "mean"}),
            "depth_bounds": (("depth", "bounds"), np.array([[0.0, 20.0], [20.0, 100.0]])),
        },
        coords={"year": [2010]},
    )
    names = [layer.name for layer in layers(ds)]
    assert names == [
        "beta_mean",
        "beta_Q0.05",
        "dissimilarity",
        "stock_0-20cm_mean",
        "stock_20-100cm_mean",
    ]
