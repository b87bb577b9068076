"""Stocks of a map of content: with a bulk density that is stated, or taken from the content."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from edaphos.kernels.pedotransfer import FUNCTIONS, bulk_density
from edaphos.kernels.stock import KG_M2
from edaphos.kernels.stock_draws import Z95, Marginal, normal_points, stock_summary

from ..errors import InputError, did_you_mean

Floats = NDArray[np.float32]

#: Points that a cell's interval is made of: its ends are told to some 2 %.
POINTS = 256
#: Side of what is turned into stocks at once, cells.
CHUNK = 256
#: Least lower bound of content, as a share of its mean: a lognormal has none at 0.
_LEAST = 0.02


def with_stocks(
    ds: xr.Dataset,
    density: str,
    fragments: float = 0.0,
    *,
    density_sd: float | None = None,
    fragments_sd: float = 0.0,
) -> xr.Dataset:
    """Return a map with ``stock`` variables for its content: means, and bounds if it can be.

    Parameters
    ----------
    ds
        As ``open_map`` returns it, with ``soc_mean`` (g/kg) and, for bounds, ``soc_q05`` and
        ``soc_q95``.
    density
        Bulk density of the fine earth, g/cm³, or the name of a pedotransfer function of
        :data:`~edaphos.kernels.pedotransfer.FUNCTIONS`.
    fragments
        Coarse fragments, share of volume.
    density_sd
        Standard deviation of the density's error, g/cm³. With it content, density and fragments
        are drawn together in each cell, and the stock has bounds; without it, none.
    fragments_sd
        Standard deviation of the fragments' share.

    Raises
    ------
    InputError
        The map has no content, has stocks already, or `density` is neither.
    """
    if "soc_mean" not in ds:
        raise InputError("--density is for maps of content (soc_mean, g/kg); this map has none")
    if "stock_mean" in ds:
        raise InputError(
            "--density is for maps of content alone; this one holds stocks (stock_mean) already: "
            "leave it out"
        )
    function = _density(density)
    depth = ds["depth_bounds"].values.astype(np.float64)
    thickness = (depth[:, 1] - depth[:, 0]) * KG_M2 * (1 - fragments)
    factor = xr.DataArray(thickness, dims="depth")

    def stock(content: Floats, by_thickness: NDArray[np.float64]) -> Floats:
        values = content.astype(np.float64)
        return np.asarray(values * function(values) * by_thickness, np.float32)

    # one block at a time is read and turned, when it is asked for
    content = ds["soc_mean"].chunk(_chunks(ds["soc_mean"]))
    made = xr.apply_ufunc(
        stock,
        content,
        factor,
        dask="parallelized",
        output_dtypes=[np.float32],
    ).transpose(*ds["soc_mean"].dims)
    made.attrs = {"units": "kg m-2", "statistic": "mean", "long_name": "stock, mean"}
    made.encoding = {"scale_factor": None}
    out = ds.assign(stock_mean=made)
    if density_sd is None:
        return out
    if not {"soc_q05", "soc_q95"} <= set(ds):
        raise InputError("--density-sd makes bounds of bounds of content; this map holds none")
    error, stones = Marginal.normal(0.0, density_sd), Marginal.fraction(fragments, fragments_sd)
    points = normal_points(POINTS)

    def bound(
        content: Floats, low: Floats, high: Floats, cm: NDArray[np.float64], level: float
    ) -> Floats:
        known = np.isfinite(content) & np.isfinite(low) & np.isfinite(high)
        told = np.full(content.shape, np.nan, np.float32)
        if not known.any():
            return told
        values, bottom, top = (v[known].astype(np.float64) for v in (content, low, high))
        bottom = np.maximum(bottom, _LEAST * values)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.log(np.maximum(top, bottom) / bottom) / (2 * Z95)
            drawn = Marginal("lognormal", np.log(values) - spread**2 / 2, spread)
        thick = np.broadcast_to(cm, content.shape)[known]
        _, found = stock_summary(
            drawn, error, stones, thick, points=points, levels=(level,), density_at=function
        )
        # a cell without any carbon has none at its bounds either
        told[known] = np.where(values == 0, 0.0, found[0])
        return told

    span = xr.DataArray(depth[:, 1] - depth[:, 0], dims="depth")
    parts = [ds[f"soc_{n}"].chunk(_chunks(ds["soc_mean"])) for n in ("mean", "q05", "q95")]
    for name, level in (("q05", 0.05), ("q95", 0.95)):
        edge = xr.apply_ufunc(
            bound,
            *parts,
            span,
            dask="parallelized",
            output_dtypes=[np.float32],
            kwargs={"level": level},
        ).transpose(*ds["soc_mean"].dims)
        edge.attrs = {"units": "kg m-2", "statistic": f"Q{level:g}", "long_name": f"stock, {name}"}
        out[f"stock_{name}"] = edge
    return out


def _chunks(array: xr.DataArray) -> dict[str, int]:
    """Return chunks of one layer, since one layer is asked for at a time."""
    return {str(dim): CHUNK if dim in ("y", "x") else 1 for dim in array.dims}


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
