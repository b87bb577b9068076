"""The Zarr arrays of a cube: shapes, chunks, coordinates and CF attributes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import ZstdCodec

from ..cube.layout import CLASS_FILL, Stack
from ..place import Place
from ..status import Status
from ..store import RecordingStore, StoredObject, write_atomically, zarr_store
from .block_plan import CHUNK, Block, Plan, shard_side
from .native import Rect

_DIMS = {
    "static": ("band", "y", "x"),
    "monthly": ("month", "band", "y", "x"),
    "yearly": ("year", "band", "y", "x"),
}


def stored_dtype(stack: Stack) -> np.dtype[Any]:
    """Return int16 for classes, float32 for amounts."""
    return np.dtype(np.int16 if stack.kind == "class" else np.float32)


def block_slices(stack: Stack, rect: Rect) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Yield where a block's values ``(step, band, y, x)`` go, one shard at a time."""
    area = (slice(rect.row0, rect.row1), slice(rect.col0, rect.col1))
    if stack.time == "static":
        yield (slice(None), *area), (0,)
    elif stack.time == "monthly":
        yield (slice(None), slice(None), *area), (slice(None),)
    else:
        for year in range(len(stack.years)):
            yield (slice(year, year + 1), slice(None), *area), (slice(year, year + 1),)


def shard_keys(stack: Stack, block: Block) -> list[str]:
    """Return the keys of a block's shards, below the cube's root."""
    lead = {
        "static": [""],
        "monthly": ["0/"],
        "yearly": [f"{year}/" for year in range(len(stack.years))],
    }
    return [
        f"{stack.path}/values/c/{part}0/{block.row}/{block.column}" for part in lead[stack.time]
    ]


def create_arrays(
    plan: Plan, out: Place, title: str, identity: str, spec: str
) -> list[StoredObject]:
    """Write groups, coordinates and metadata of the value arrays; return what was written.

    `identity` and `spec` are the hashes of everything that decides the bytes, and of the settings.
    """
    store = RecordingStore(zarr_store(out))
    root = zarr.create_group(
        store,
        overwrite=False,
        attributes={
            "title": title,
            "Conventions": "CF-1.11",
            "edaphos_build": identity,
            "edaphos_spec": spec,
        },
    )
    stacks = root.create_group("stacks")
    for stack in plan.stacks.values():
        _create_stack(stacks.create_group(stack.name), stack, plan)
    with warnings.catch_warnings():
        # Readers warn where it is absent; zarr-python, where it is written for format 3.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(store)
    _sort_consolidated(out)
    return store.written()


def _sort_consolidated(out: Place) -> None:
    """Put what consolidating gathered in order: it comes as the store happens to list it."""
    path = out / "zarr.json"
    root = json.loads(path.read_text())
    gathered = root["consolidated_metadata"]["metadata"]
    root["consolidated_metadata"]["metadata"] = {key: gathered[key] for key in sorted(gathered)}
    write_atomically(path, json.dumps(root, indent=2))


def _create_stack(group: zarr.Group, stack: Stack, plan: Plan) -> None:
    crs = CRS.from_user_input(stack.crs)
    a, _, west, _, e, north = stack.transform
    axes = {attributes["axis"]: attributes for attributes in crs.cs_to_cf()}
    rows, columns = stack.shape
    _coordinate(group, "x", west + a * (np.arange(columns) + 0.5), axes.get("X", {"axis": "X"}))
    _coordinate(group, "y", north + e * (np.arange(rows) + 0.5), axes.get("Y", {"axis": "Y"}))
    transform = " ".join(repr(v) for v in (west, a, 0.0, north, 0.0, e))
    mapping = {**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": transform}
    _coordinate(group, "spatial_ref", np.int64(0), mapping)
    if stack.time == "monthly":
        _coordinate(group, "month", np.arange(1, 13), {"long_name": "month of the climatology"})
    if stack.time == "yearly":
        _coordinate(group, "year", np.array(stack.years), {"long_name": "year"})
    shape, chunks, shards = _shapes(stack)
    fill = CLASS_FILL if stack.kind == "class" else np.nan
    attributes: dict[str, Any] = {
        "grid_mapping": "spatial_ref",
        "bands": [_band(plan, name) for name in stack.bands],
    }
    units = {plan.variables[name].units for name in stack.bands}
    if len(units) == 1:
        attributes["units"] = units.pop()
    if len(stack.bands) == 1:
        attributes["long_name"] = plan.variables[stack.bands[0]].long_name
    if stack.kind == "class":
        attributes["_FillValue"] = CLASS_FILL
    group.create_array(
        "values",
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=stored_dtype(stack),
        fill_value=fill,
        compressors=ZstdCodec(level=3),
        dimension_names=_DIMS[stack.time],
        attributes=attributes,
    )


def _shapes(stack: Stack) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return shape, inner chunks and shards: a shard holds all bands, all months or one year."""
    side, bands = shard_side(stack), len(stack.bands)
    lead = {"static": (), "monthly": (12,), "yearly": (len(stack.years),)}[stack.time]
    inner = {"static": (), "monthly": (12,), "yearly": (1,)}[stack.time]
    return (
        (*lead, bands, *stack.shape),
        (*inner, 1, CHUNK, CHUNK),
        (*inner, bands, side, side),
    )


def _band(plan: Plan, name: str) -> dict[str, Any]:
    variable = plan.variables[name]
    band: dict[str, Any] = {"name": name, "units": variable.units, "long_name": variable.long_name}
    if name == plan.masks.soil_mask:
        codes = [code for code in Status if code < Status.ORGANIC]
        band["flag_values"] = [int(code) for code in codes]
        band["flag_meanings"] = " ".join(code.meaning for code in codes)
    return band


def _coordinate(
    group: zarr.Group, name: str, values: NDArray[Any] | np.generic, attributes: dict[str, Any]
) -> None:
    data = np.asarray(values)
    array = group.create_array(
        name,
        shape=data.shape,
        chunks=data.shape,
        dtype=data.dtype,
        fill_value=0,
        compressors=None,
        dimension_names=(name,) if data.ndim else (),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
    array[...] = data
