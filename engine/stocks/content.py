"""Stocks of a map of content: with a bulk density that is stated, or taken from the content."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from edaphos.kernels.pedotransfer import FUNCTIONS, bulk_density
from edaphos.kernels.stock import KG_M2

from ..errors import InputError, did_you_mean

Floats = NDArray[np.float32]


def with_stocks(ds: xr.Dataset, density: str, fragments: float = 0.0) -> xr.Dataset:
    """Return a map with ``stock`` variables for its means of content.

    Parameters
    ----------
    ds
        As ``open_map`` returns it, with ``soc_mean`` (g/kg). Bounds of content become none of the
        stock: that takes the spread of density as well (:mod:`~edaphos.kernels.stock_draws`).
    density
        Bulk density of the fine earth, g/cm³, or the name of a pedotransfer function of
        :data:`~edaphos.kernels.pedotransfer.FUNCTIONS`.
    fragments
        Coarse fragments, share of volume.

    Raises
    ------
    InputError
        The map has no content, has stocks already, or `density` is neither.
    """
    if "soc_mean" not in ds:
        raise InputError("--density is for maps of content (soc_mean, g/kg); this map has none")
    function = _density(density)
    depth = ds["depth_bounds"].values.astype(np.float64)
    thickness = (depth[:, 1] - depth[:, 0]) * KG_M2 * (1 - fragments)
    factor = xr.DataArray(thickness, dims="depth")

    def stock(content: Floats, by_thickness: NDArray[np.float64]) -> Floats:
        values = content.astype(np.float64)
        return np.asarray(values * function(values) * by_thickness[..., None], np.float32)

    # one block at a time is read and turned, when it is asked for
    content = ds["soc_mean"].chunk({"y": 1024, "x": 1024})
    made = xr.apply_ufunc(
        stock,
        content,
        factor,
        input_core_dims=[["x"], []],
        output_core_dims=[["x"]],
        dask="parallelized",
        output_dtypes=[np.float32],
    ).transpose(*ds["soc_mean"].dims)
    made.attrs = {"units": "kg m-2", "statistic": "mean", "long_name": "stock, mean"}
    made.encoding = {"scale_factor": None}
    return ds.assign(stock_mean=made)


def _density(text: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    try:
        value = float(text)
    except ValueError:
        if text not in FUNCTIONS:
            raise InputError(
                f'--density "{text}": expected g/cm3, such as 1.3, or a pedotransfer function; '
                f"{did_you_mean(text, FUNCTIONS)}"
            ) from None
        return lambda soc: bulk_density(text, soc)[0]
    if not 0.05 <= value <= 2.2:
        raise InputError(f"--density {value:g}: expected 0.05 to 2.2 g/cm3 (1300 kg/m3 is 1.3)")
    return lambda soc: np.full_like(soc, value)
