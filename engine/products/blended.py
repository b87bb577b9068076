"""A region's map that passes into that of the world towards its border, as GeoTIFFs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from edaphos.kernels.blend import bilinear, border_weight, inside_weight

from ..boundary import Boundary, BoundaryMask, mask_of
from ..errors import InputError
from ..grid import Grid
from ..map_view import open_map
from ..run import Run

#: Rows of the region that are blended at once.
STRIP = 256
#: Width of the passage, km, where no other is asked for, and the share of the region's shorter side
#: that it takes at most.
WIDTH_KM, WIDEST = 50.0, 0.2


def write_blended(
    world: Run, region: Run, folder: Path, *, width_km: float | None = None
) -> list[Path]:
    """Write the means of a region's map, blended into the world's, on the region's grid.

    Parameters
    ----------
    world, region
        Runs with finished maps of one quantity. The world's is read between its cell centres, in
        its first year of the same label, else its first.
    folder
        Of the GeoTIFFs, one for each depth that both maps have.
    width_km
        Of the passage at the border, inwards; None for 50, or a fifth of the shorter side of the
        region's grid if that is less, so that the region is itself within. The border is that of
        the region's boundary, where its recipe has one, else that of its grid.

    Raises
    ------
    InputError
        The maps have no mean or no depth in common, or nowhere a value beside each other.
    """
    ours, theirs = open_map(region.path), open_map(world.path)
    names = [n for n in ours.data_vars if str(n).endswith("_mean") and n in theirs]
    shared = [d for d in ours["depth"].values if d in theirs["depth"].values]
    if not names or not shared:
        raise InputError(
            f"{region.path} and {world.path}: the maps have no mean of one quantity at one depth: "
            "blend maps of one model and its fine-tuning"
        )
    if width_km is None:
        width_km = min(WIDTH_KM, WIDEST * min(region.grid.shape) * _cell_km(region.grid))
    folder.mkdir(parents=True, exist_ok=True)
    digest = region.identity.get("boundary")
    boundary = None if digest is None else Boundary.load(region.path, digest)
    mask = None if boundary is None else mask_of(boundary, region.grid)
    written = []
    for name in names:
        for depth in shared:
            a, b = (m[name].sel(depth=depth) for m in (ours, theirs))
            top, bottom = _bounds(ours, depth)
            path = folder / f"{str(name).removesuffix('_mean')}_{top:g}-{bottom:g}cm_blended.tif"
            _write(a, b, region.grid, world.grid, path, width_km, mask)
            written.append(path)
    return written


def _bounds(dataset: xr.Dataset, depth: Any) -> tuple[float, float]:
    top, bottom = dataset["depth_bounds"].sel(depth=depth).values
    return float(top), float(bottom)


def _write(
    region: xr.DataArray,
    world: xr.DataArray,
    fine: Grid,
    coarse: Grid,
    path: Path,
    width_km: float,
    mask: BoundaryMask | None,
) -> None:
    """Write one layer, strip by strip."""
    height, cols = fine.shape
    width = width_km / _cell_km(fine)
    years = list(region["year"].values)
    known = list(world["year"].values)
    there = world.isel(year=known.index(years[0]) if years[0] in known else 0)
    values = np.asarray(there.values, np.float32)
    to = Transformer.from_crs(fine.crs.to_wkt(), coarse.crs.to_wkt(), always_xy=True)
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "height": height, "width": cols,
        "crs": fine.crs.to_wkt(), "transform": fine.geobox.affine, "nodata": float("nan"),
        "tiled": True, "compress": "deflate", "predictor": 3,
    }  # fmt: skip
    met = False
    units = str(region.attrs.get("units", ""))
    with rasterio.open(path, "w", **profile) as file:
        file.update_tags(units=units, passage_km=f"{width_km:g}")
        file.units = (units,)
        file.set_band_description(1, f"{region.attrs.get('long_name', '')} [{units}]".lstrip())
        for first in range(0, height, STRIP):
            rows = np.arange(first, min(first + STRIP, height))
            own = region.isel(year=0, y=slice(first, rows[-1] + 1)).values.astype(np.float64)
            beside = bilinear(values, *_places(fine, coarse, rows, to))
            share = border_weight(rows, cols, height, width)
            if mask is not None:
                share = np.minimum(share, _within(mask, fine, rows, width))
            both = share * own + (1 - share) * beside
            met = met or bool(np.isfinite(both).any())
            out = np.where(np.isfinite(beside), both, own).astype(np.float32)
            file.write(out, 1, window=Window(0, first, cols, len(rows)))
    if not met:
        path.unlink()
        raise InputError(
            f"{path.name}: the two maps have no cell with a value in common, so that nothing can "
            "be blended; name the map of the world first, and one of a region within it second"
        )


def _within(
    mask: BoundaryMask, grid: Grid, rows: NDArray[np.int64], width: float
) -> NDArray[np.float64]:
    """Return the weight of rows of a map by their distance from its boundary, inwards."""
    reach = int(np.ceil(width)) + 1
    first, last = max(0, rows[0] - reach), min(grid.shape[0], rows[-1] + 1 + reach)
    inside = mask.inside(grid.window(first, 0, last - first, grid.shape[1]))
    return inside_weight(inside, width)[rows - first]


def _places(
    fine: Grid, coarse: Grid, rows: NDArray[np.int64], to: Transformer
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return row and column, in cells from the first centre of `coarse`, of cells of `fine`."""
    (west, north), (dx, dy) = fine.origin, fine.resolution
    x, y = np.meshgrid(west + (np.arange(fine.shape[1]) + 0.5) * dx, north - (rows + 0.5) * dy)
    x, y = to.transform(x, y)
    (west, north), (dx, dy) = coarse.origin, coarse.resolution
    return (north - np.asarray(y)) / dy - 0.5, (np.asarray(x) - west) / dx - 0.5


def _cell_km(grid: Grid) -> float:
    """Return about how wide a cell is in the middle of a grid, km."""
    rows, cols = grid.shape
    area = grid.cell_areas(grid.window(rows // 2, cols // 2, 1, 1))
    return float(np.sqrt(area.item())) / 1000
