"""The map on disk: one sharded Zarr array for each output, plus the status layer.

A shard holds all depths of one year of one tile and is written whole, in one call, by one task;
so no two tasks ever write the same object, and a year can be added or one region made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec

from edaphos.kernels.encoding import quantise

from .errors import InputError
from .grid import Grid, Window
from .models.protocol import Depth, Emits, Output
from .place import Place
from .status import Status, flag_attributes
from .store import zarr_store

MAP = "map.zarr"
#: Side of an inner chunk: what a viewer reads at once.
INNER = 256
#: How an inner chunk is packed; its own checksum tells a reader of a flipped bit.
CODECS = (ZstdCodec(level=3), Crc32cCodec())


@dataclass(frozen=True)
class Encoding:
    """How an output's numbers are stored."""

    dtype: str
    scale: float = 1.0
    fill: float = float("nan")
    largest: int = 0

    @property
    def packed(self) -> bool:
        """Whether values are stored as scaled integers."""
        return self.dtype == "uint16"


ENCODINGS: Mapping[str, Encoding] = {
    "content": Encoding("uint16", 0.01, 65_535, 65_534),
    "stock": Encoding("uint16", 0.002, 65_535, 65_534),
    "float": Encoding("float32"),
}


def inner_size(tile_size: int) -> int:
    """Return the side of the inner chunks of a tile, or say which tile sizes work."""
    if tile_size % INNER == 0:
        return INNER
    if tile_size < INNER and tile_size % 16 == 0:
        return tile_size
    raise InputError(
        f"tile size {tile_size} does not fit the map's chunks: use a multiple of {INNER} "
        f"(512 and 1024 are good), or a multiple of 16 below {INNER} for small maps"
    )


def create_map(
    folder: Place,
    grid: Grid,
    emits: Emits,
    years: Sequence[int],
    attributes: Mapping[str, Any],
) -> None:
    """Write the map's metadata and coordinates; existing data are left as they are.

    Parameters
    ----------
    folder
        The run's folder; the map becomes ``folder/map.zarr``.
    grid, emits, years
        What the arrays span.
    attributes
        Global attributes (title, licence, sources, …), JSON-compatible.
    """
    root = zarr.open_group(zarr_store(folder / MAP), mode="a", zarr_format=3)
    root.attrs.update({"Conventions": "CF-1.11", **attributes})
    _create_coordinates(root, grid, emits.depths, years)
    for output in emits.outputs:
        _create_output(root, grid, output, len(emits.depths), len(years))
    _create_status(root, grid)


def _create_output(root: zarr.Group, grid: Grid, output: Output, depths: int, years: int) -> None:
    encoding, inner = ENCODINGS[output.encoding], inner_size(grid.tile_size)
    quantity = quantity_words(output.name)
    summed = output.units.startswith("kg m-2")
    attributes: dict[str, Any] = {
        "units": output.units,
        "long_name": f"{quantity}, {output.long_name or output.statistic}",
        "statistic": output.statistic,
        "grid_mapping": "spatial_ref",
        "ancillary_variables": "status",
        "cell_methods": f"area: mean depth: {'sum' if summed else 'mean'}",
    }
    if encoding.packed:
        attributes |= {"scale_factor": encoding.scale, "add_offset": 0.0}
        attributes |= {"_FillValue": int(encoding.fill)}
    if not output.by_depth:
        attributes["cell_methods"] = "area: mean"
    left_out = 0 if output.by_depth else 1  # of four axes
    if output.name not in root:
        root.create_array(
            output.name,
            shape=(depths, years, *grid.shape)[left_out:],
            dtype=encoding.dtype,
            chunks=(1, 1, inner, inner)[left_out:],
            shards=(depths, 1, grid.tile_size, grid.tile_size)[left_out:],
            compressors=CODECS,
            fill_value=encoding.fill,
            dimension_names=("depth", "year", "y", "x")[left_out:],
            attributes=attributes,
        )


def _create_status(root: zarr.Group, grid: Grid) -> None:
    attributes: dict[str, Any] = {
        "long_name": "why a cell has a value or none",
        "grid_mapping": "spatial_ref",
        **flag_attributes(),
    }
    if "status" not in root:
        root.create_array(
            "status",
            shape=grid.shape,
            dtype="uint8",
            chunks=(inner_size(grid.tile_size),) * 2,
            shards=(grid.tile_size,) * 2,
            compressors=CODECS,
            fill_value=int(Status.NOT_COMPUTED),
            dimension_names=("y", "x"),
            attributes=attributes,
        )


_QUANTITIES = {
    "soc": "soil organic carbon content of the fine earth",
    "stock": "soil organic carbon stock",
    "change": "change of the soil organic carbon stock",
    "clay": "clay content of the fine earth",
    "dpm": "carbon of decomposable plant material",
    "rpm": "carbon of resistant plant material",
    "bio": "carbon of microbial biomass",
    "hum": "carbon of humified organic matter",
    "iom": "carbon of inert organic matter",
    "co2": "carbon respired",
    "input": "carbon input",
    "beta": "fall of soil organic carbon with depth",
    "dissimilarity": "dissimilarity to the training places",
}


def quantity_words(name: str) -> str:
    """Return what a variable is of, told by the first part of its name, or the name itself.

    >>> quantity_words("stock_bau_mean")
    'soil organic carbon stock'
    """
    return _QUANTITIES.get(name.split("_")[0], name)


def _create_coordinates(
    root: zarr.Group, grid: Grid, depths: Sequence[Depth], years: Sequence[int]
) -> None:
    whole = grid.whole
    if grid.is_geographic:
        x_attrs = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
        y_attrs = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    else:
        x_attrs = {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"}
        y_attrs = {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"}
    _coordinate(root, "x", whole.x, ("x",), x_attrs)
    _coordinate(root, "y", whole.y, ("y",), y_attrs)
    bounds = np.array(depths, np.float64)
    depth_attrs = {
        "standard_name": "depth",
        "long_name": "depth below the surface of the mineral soil",
        "units": "cm",
        "positive": "down",
        "axis": "Z",
        "bounds": "depth_bounds",
    }
    _coordinate(root, "depth", bounds.mean(axis=1), ("depth",), depth_attrs)
    _coordinate(root, "depth_bounds", bounds, ("depth", "bounds"), {"units": "cm"})
    _coordinate(root, "year", np.array(years, np.int32), ("year",), {"long_name": "calendar year"})
    a = grid.geobox.affine
    mapping = {
        **grid.crs.to_cf(),
        "spatial_ref": grid.crs.to_wkt(),
        "GeoTransform": f"{a.c!r} {a.a!r} {a.b!r} {a.f!r} {a.d!r} {a.e!r}",
    }
    _coordinate(root, "spatial_ref", np.array(0, np.int32), (), mapping)


def _coordinate(
    root: zarr.Group,
    name: str,
    values: NDArray[Any],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> None:
    if name not in root:
        root.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=values.shape,
            dimension_names=dims,
            attributes=dict(attributes),
        )
    root[name][...] = values  # type: ignore[index]  # again after a crash: the same bytes


def write_tile(
    store: Store,
    window: Window,
    outputs: Sequence[Output],
    values: Mapping[str, NDArray[np.floating[Any]]],
    status: NDArray[np.uint8],
) -> dict[str, int]:
    """Write one tile: a shard for each output and year, and one for the status layer.

    Returns
    -------
    dict
        For each output, how many values were out of range and set to its nearer end.
    """
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    rows = slice(window.row0, window.row0 + window.height)
    cols = slice(window.col0, window.col0 + window.width)
    clipped: dict[str, int] = {}
    for output in outputs:
        data = np.asarray(values[output.name])
        encoding = ENCODINGS[output.encoding]
        if encoding.packed:
            codes, below, above = quantise(
                data, encoding.scale, int(encoding.fill), encoding.largest
            )
            if below or above:
                clipped[output.name] = below + above
        else:
            codes = data.astype(encoding.dtype)
        array = group[output.name]
        for year in range(data.shape[1]):
            at = slice(year, year + 1)
            if output.by_depth:
                array[:, at, rows, cols] = codes[:, at]  # type: ignore[index]
            else:
                array[at, rows, cols] = codes[0, at]  # type: ignore[index]
    group["status"][rows, cols] = status  # type: ignore[index]
    return clipped
