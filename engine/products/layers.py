"""The layers of a map: what products are called, what they mean, and where their cells lie."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..errors import InputError
from ..grid import Grid
from ..place import Place
from ..store import zarr_store
from .words import DIFFERENCES, MAIN, family

Block = tuple[slice, slice]


@dataclass(frozen=True)
class Layer:
    """One variable of a map at one depth and one year: what becomes one product.

    A variable without depths is one layer from the top to the bottom of the map.

    Parameters
    ----------
    variable
        Name in the map, ``soc_q05``.
    quantity, statistic
        ``soc`` and ``Q0.05``.
    units
        UDUNITS string of the decoded values.
    long_name
        For people.
    depth
        Upper and lower bound in cm.
    year
        Calendar year.
    depth_index, year_index
        Where it lies in the map.
    name
        ``soc_0-5cm_Q0.05``, with the year behind it where the map has several.
    """

    variable: str
    quantity: str
    statistic: str
    units: str
    long_name: str
    depth: tuple[float, float]
    year: int
    depth_index: int
    year_index: int
    name: str

    @property
    def depth_label(self) -> str:
        """``0-5cm``, as SoilGrids writes it."""
        return depth_label(self.depth)


def depth_label(depth: tuple[float, float]) -> str:
    """Return ``0-5cm`` for ``(0, 5)``."""
    return f"{depth[0]:g}-{depth[1]:g}cm"


def depths_of(ds: xr.Dataset) -> list[tuple[float, float]]:
    """Return upper and lower bound in cm of each depth of a map."""
    return [(float(top), float(bottom)) for top, bottom in ds["depth_bounds"].values]


def whole_depth(ds: xr.Dataset) -> tuple[float, float]:
    """Return the top of the first and the bottom of the last depth of a map, cm."""
    depths = depths_of(ds)
    return depths[0][0], depths[-1][1]


def layers(ds: xr.Dataset) -> list[Layer]:
    """Return the layers of a map: by quantity, mean before quantiles, then depth, then year."""
    years = years_of(ds)
    whole = [quantity_of(v) for v, array in ds.data_vars.items() if "depth" not in array.dims]
    found = []
    for variable, array in ds.data_vars.items():
        if not {"year", "y", "x"} <= set(array.dims):
            continue
        statistic = str(array.attrs.get("statistic", str(variable).rpartition("_")[2]))
        quantity = quantity_of(variable)
        told = quantity if whole.count(quantity) == 1 else f"{quantity}_{statistic}"
        by_depth = "depth" in array.dims
        for d, depth in enumerate(depths_of(ds) if by_depth else [whole_depth(ds)]):
            for t, year in enumerate(years):
                suffix = f"_{year}" if len(years) > 1 else ""
                found.append(
                    Layer(
                        variable=str(variable),
                        quantity=quantity,
                        statistic=statistic,
                        units=str(array.attrs.get("units", "1")),
                        long_name=str(array.attrs.get("long_name", variable)),
                        depth=depth,
                        year=year,
                        depth_index=d,
                        year_index=t,
                        name=f"{quantity}_{depth_label(depth)}_{statistic}{suffix}"
                        if by_depth
                        else f"{told}{suffix}",
                    )
                )
    return sorted(found, key=_order)


def quantity_of(variable: Hashable) -> str:
    """Return the quantity that a variable's name begins with.

    >>> quantity_of("stock_bau_q05"), quantity_of("dissimilarity")
    ('stock_bau', 'dissimilarity')
    """
    return str(variable).rpartition("_")[0] or str(variable)


def mean_layers(ds: xr.Dataset) -> list[Layer]:
    """Return the layers of means, those of soil carbon before pools, fluxes and the rest.

    Means of changes between years are none of them: they follow from the others.
    """
    means = [
        la for la in layers(ds) if la.statistic == "mean" and family(la.quantity) not in DIFFERENCES
    ]
    return sorted(means, key=lambda layer: family(layer.quantity) not in MAIN)


def sum_layers(ds: xr.Dataset) -> list[Layer]:
    """Return the layers that are sums over depth, such as ``stock0to100``, each at its depths."""
    found = []
    for layer in layers(ds):
        depths = re.fullmatch(r"[a-z]+(\d+)to(\d+)", layer.quantity)
        if layer.statistic == "sum" and depths:
            found.append(replace(layer, depth=(float(depths[1]), float(depths[2]))))
    return found


def years_of(ds: xr.Dataset) -> list[int]:
    """Return the years of a map."""
    return [int(year) for year in np.atleast_1d(ds["year"].values)]


def _order(layer: Layer) -> tuple[str, bool, str, int, int]:
    mean_first = layer.statistic != "mean"
    return layer.quantity, mean_first, layer.statistic, layer.depth_index, layer.year_index


def read_block(ds: xr.Dataset, layer: Layer, block: Block) -> NDArray[np.float32]:
    """Read the cells of `block` of one layer, and nothing else; missing is NaN."""
    at = {"depth": layer.depth_index, "year": layer.year_index, "y": block[0], "x": block[1]}
    array = ds[layer.variable].isel(at, missing_dims="ignore")
    return np.asarray(array.transpose("y", "x").values, dtype=np.float32)


def read_status(ds: xr.Dataset, block: Block, year_index: int = 0) -> NDArray[np.uint8]:
    """Read the status codes of `block`."""
    array = ds["status"].isel(y=block[0], x=block[1])
    if "year" in array.dims:
        array = array.isel(year=year_index)
    return np.asarray(array.transpose("y", "x").values, dtype=np.uint8)


def blocks(shape: tuple[int, int], size: int) -> Iterator[Block]:
    """Yield square blocks that cover `shape`, row by row, clipped at the far edges."""
    for row in range(0, shape[0], size):
        for col in range(0, shape[1], size):
            yield (
                slice(row, min(row + size, shape[0])),
                slice(col, min(col + size, shape[1])),
            )


def read_directly(ds: xr.Dataset, folder: Place, group: str | None = None) -> xr.Dataset:
    """Return the map `ds` so that its cells are read from its store without Dask.

    A block of a map with a million chunks is there in milliseconds instead of a second, which is
    what it takes to build and to prune Dask's graph.

    Parameters
    ----------
    ds
        As ``open_map`` returned it.
    folder
        The map's store.
    group
        Where the cells lie in it, if not at its top.
    """
    store = zarr_store(folder, read_only=True)
    options: dict[str, Any] = {
        "group": group,
        "consolidated": False,
        "chunks": None,
        "decode_coords": "all",
    }
    found = xr.open_zarr(store, mask_and_scale=True, **options)
    if "status" in found:
        raw = xr.open_zarr(store, mask_and_scale=False, **options)
        found["status"] = raw["status"].assign_coords(found["status"].coords)
    return found.assign_attrs(ds.attrs)


def map_grid(ds: xr.Dataset) -> Grid:
    """Return the grid a map lies on.

    The transform is taken from ``spatial_ref``'s ``GeoTransform`` where it has one (exact), else
    from the cell-centre coordinates.
    """
    reference = ds["spatial_ref"].attrs if "spatial_ref" in ds.variables else {}
    wkt = reference.get("crs_wkt") or reference.get("spatial_ref")
    if not wkt:
        raise InputError(
            "the map has no CRS: expected a variable spatial_ref with the attribute crs_wkt; "
            "open it with open_map(run), which restores it"
        )
    shape = (ds.sizes["y"], ds.sizes["x"])
    return Grid(
        GeoBox(shape, _affine(ds, reference), str(wkt)),
        _tile_size(ds),
        name=str(ds.attrs.get("grid", "map")),
    )


def sources_of(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return the sources of a map (name, licence, citation, resolution) as plain data."""
    raw = ds.attrs.get("sources", [])
    found = json.loads(raw) if isinstance(raw, str) and raw else raw
    return [dict(item) for item in found or []]


def _tile_size(ds: xr.Dataset) -> int:
    """Return the side of the shards that a map is stored in; 512 where it is not stored."""
    shards = (array.encoding.get("shards") for array in ds.data_vars.values())
    return next((int(shape[-1]) for shape in shards if shape), 512)


def _affine(ds: xr.Dataset, reference: dict[str, Any]) -> Affine:
    if reference.get("GeoTransform"):
        return Affine.from_gdal(*(float(v) for v in str(reference["GeoTransform"]).split()))
    x, y = ds["x"].values, ds["y"].values
    if len(x) < 2 or len(y) < 2:
        raise InputError(
            "the map is one cell wide and has no GeoTransform, so its cell size is unknown"
        )
    dx, dy = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    return Affine(dx, 0.0, x[0] - dx / 2, 0.0, dy, y[0] - dy / 2)
