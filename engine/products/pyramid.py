"""Coarser copies of a map, beside it in its store, for viewers that zoom out.

``map.zarr/pyramid/1`` has half the rows and columns of the map, ``2`` a quarter, and so on. Each
level has the map's arrays and CF coordinates; the group ``pyramid`` lists the levels after the
``multiscales`` convention of GeoZarr. A cell of a level lies over 2 by 2 cells of the one before:

- amounts are the mean over the **mapped** cells of the map below it, so the coast is no darker
  than the land behind it (codes of packed arrays are rounded again at each level);
- ``status`` is the commonest of the four, of equally common ones the first in reading order;
- ``mapped_cells`` counts the mapped cells of the map below it, which are the weights of the means.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.metadata import ArrayV3Metadata

from ..place import Place
from ..progress import QUIET, Reporter
from ..status import MAPPED
from ..store import remove_tree, zarr_store
from .layers import Block, blocks

PYRAMID = "pyramid"
COUNT = "mapped_cells"
#: The coarsest level has fewer cells than this along its longer side.
SMALLEST = 512
#: Windows made at once, where there are as many cores.
_THREADS = 4
_STATE = "state"
_CONVENTION = {
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v1/"
    "schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v1/README.md",
}


def level_shapes(shape: tuple[int, int], smallest: int = SMALLEST) -> list[tuple[int, int]]:
    """Return rows and columns of each level of a map of `shape`, the finest first.

    >>> level_shapes((1080, 2160))
    [(540, 1080), (270, 540), (135, 270)]
    """
    found = []
    while max(shape) >= smallest and min(shape) > 1:
        shape = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
        found.append(shape)
    return found


def write_pyramid(
    folder: Place, *, state: str, smallest: int = SMALLEST, reporter: Reporter = QUIET
) -> int:
    """Write the coarser levels of a finished map, each from the one before; return their number.

    Memory is bounded by the map's tile size: about 40 bytes for each cell of a tile, and one
    shard, for each of up to four threads.

    Parameters
    ----------
    folder
        The map's store.
    state
        Tells the map's state: levels that were finished in the same state are kept, others are
        made again.
    smallest
        Levels end when the longer side has fewer cells.
    """
    store = zarr_store(folder)
    root = zarr.open_group(store, mode="r+", zarr_format=3)
    shapes = level_shapes(_shape(root), smallest)
    if not shapes:
        return 0
    held = root.get(PYRAMID)
    if held is not None and "multiscales" in held.attrs:
        if held.attrs.get(_STATE) == state:
            return len(shapes)
        remove_tree(folder / PYRAMID)  # of another state; without the list no reader follows it
    top = root.require_group(PYRAMID)
    total = sum(len(list(_windows(root, shape))) for shape in shapes)
    with reporter.task("writing the pyramid", total) as progress:
        fine = root
        for level, shape in enumerate(shapes, start=1):
            name = str(level)
            made = top.get(name)
            if not isinstance(made, zarr.Group) or made.attrs.get(_STATE) != state:
                remove_tree(folder / PYRAMID / name)
                made = _create_level(store, root, level, shape)
                _fill(fine, made, progress.advance)
                made.attrs[_STATE] = state
            else:
                progress.advance(len(list(_windows(root, shape))))
            fine = made
    top.attrs.update({**_multiscales(len(shapes)), _STATE: state})
    return len(shapes)


def coarse_level(folder: Place, columns: int) -> str | None:
    """Return the group of the coarsest level of a map with at least so many columns.

    None where the map's own cells are that, or it has no finished levels.

    Parameters
    ----------
    folder
        The map's store.
    columns
        That are wanted.
    """
    root = zarr.open_group(zarr_store(folder, read_only=True), mode="r", zarr_format=3)
    top = root.get(PYRAMID)
    if not isinstance(top, zarr.Group) or "multiscales" not in top.attrs:
        return None
    shapes = {int(name): _shape(group) for name, group in top.groups()}
    wide = [level for level, shape in shapes.items() if shape[1] >= columns]
    return f"{PYRAMID}/{max(wide)}" if wide else None


def _multiscales(levels: int) -> dict[str, Any]:
    layout: list[dict[str, Any]] = []
    for level in range(1, levels + 1):
        entry: dict[str, Any] = {
            "asset": str(level),
            "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]},
        }
        if level > 1:
            entry["derived_from"] = str(level - 1)
        layout.append(entry)
    return {
        "zarr_conventions": [_CONVENTION],
        "multiscales": {"layout": layout, "resampling_method": "average"},
        "comment": "level 1 is derived from the map itself, in the group above, at full "
        "resolution; status is resampled by mode",
    }


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


def _shape(root: zarr.Group) -> tuple[int, int]:
    height, width = _array(root, "status").shape
    return height, width


def _dims(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    assert isinstance(array.metadata, ArrayV3Metadata)
    return array.metadata.dimension_names


def _amounts(root: zarr.Group) -> list[str]:
    dims = ("depth", "year", "y", "x")
    return sorted(name for name, array in root.arrays() if _dims(array) in (dims, dims[1:]))


def _tile(root: zarr.Group) -> int:
    status = _array(root, "status")
    return int((status.shards or status.chunks)[-1])


def _windows(root: zarr.Group, shape: tuple[int, int]) -> Iterator[Block]:
    """Yield the windows of a level: its shards, so that no two writings touch the same object."""
    return blocks(shape, _tile(root))


def _create_level(store: Store, root: zarr.Group, level: int, shape: tuple[int, int]) -> zarr.Group:
    """Write the metadata and coordinates of a level."""
    factor = 2**level
    group = zarr.open_group(store, path=f"{PYRAMID}/{level}", mode="a", zarr_format=3)
    attributes = dict(root.attrs)
    nominal = attributes.get("nominal_resolution", "unknown")
    attributes["nominal_resolution"] = f"{factor} x {factor} cells of {nominal}"
    group.attrs.update(attributes)
    for name in (*_amounts(root), "status"):
        _create_like(group, name, _array(root, name), shape)
    status = _array(root, "status")
    group.create_array(
        COUNT,
        shape=shape,
        dtype="uint32",
        chunks=status.chunks,
        shards=status.shards,
        compressors=status.compressors,
        fill_value=0,
        dimension_names=("y", "x"),
        attributes={
            "long_name": "cells of the map below that are mapped",
            "units": "1",
            "grid_mapping": "spatial_ref",
        },
    )
    for name in ("depth", "depth_bounds", "year", "spatial_ref"):
        _copy(group, root, name)
    for name, count in (("y", shape[0]), ("x", shape[1])):
        fine = _array(root, name)
        centres = np.asarray(fine[:], np.float64)
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        edge = centres[0] - step / 2
        values = edge + (np.arange(count) + 0.5) * step * factor
        _coordinate(group, name, values, fine)
    _rescale(_array(group, "spatial_ref"), factor)
    return group


def _create_like(
    group: zarr.Group, name: str, like: zarr.Array[Any], shape: tuple[int, int]
) -> None:
    group.create_array(
        name,
        shape=(*like.shape[:-2], *shape),
        dtype=like.dtype,
        chunks=like.chunks,
        shards=like.shards,
        compressors=like.compressors,
        fill_value=like.fill_value,
        dimension_names=_dims(like),
        attributes=dict(like.attrs),
    )


def _copy(group: zarr.Group, root: zarr.Group, name: str) -> None:
    source = _array(root, name)
    _coordinate(group, name, np.asarray(source[...]), source)


def _coordinate(group: zarr.Group, name: str, values: NDArray[Any], like: zarr.Array[Any]) -> None:
    made = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        dimension_names=_dims(like),
        attributes=dict(like.attrs),
    )
    made[...] = values


def _rescale(reference: zarr.Array[Any], factor: int) -> None:
    """Widen the cells in the transform that ``spatial_ref`` states."""
    stated = reference.attrs.get("GeoTransform")
    if stated:
        numbers = [float(v) for v in str(stated).split()]
        for index in (1, 2, 4, 5):
            numbers[index] *= factor
        reference.attrs["GeoTransform"] = " ".join(repr(v) for v in numbers)


def _fill(fine: zarr.Group, made: zarr.Group, advance: Callable[[], None]) -> None:
    """Make every window of a level from the finer one."""
    amounts = _amounts(made)
    threads = min(_THREADS, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in pool.map(
            lambda window: _fill_window(fine, made, amounts, window), _windows(made, _shape(made))
        ):
            advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _fill_window(fine: zarr.Group, made: zarr.Group, amounts: list[str], window: Block) -> None:
    height, width = _shape(fine)
    rows = slice(2 * window[0].start, min(2 * window[0].stop, height))
    cols = slice(2 * window[1].start, min(2 * window[1].stop, width))
    codes = np.asarray(_array(fine, "status")[rows, cols])
    if COUNT in fine:
        weights = np.asarray(_array(fine, COUNT)[rows, cols], np.float64)
    else:
        weights = np.isin(codes, [int(s) for s in MAPPED]).astype(np.float64)
    _array(made, "status")[window] = commonest(codes)
    if not weights.any():
        return
    quarters = _quarters(weights, 0.0)
    _array(made, COUNT)[window] = sum(quarters).astype(np.uint32)  # type: ignore[union-attr]
    for name in amounts:
        source, target = _array(fine, name), _array(made, name)
        fill = float(source.fill_value)
        by_depth = source.ndim == 4
        for year in range(source.shape[-3]):
            cells = [
                np.asarray(source[(*at, year, rows, cols)])
                for at in ([(d,) for d in range(source.shape[0])] if by_depth else [()])
            ]
            found = np.stack([weighted_mean(one, quarters, fill) for one in cells])
            at = (slice(year, year + 1), *window)
            if by_depth:
                target[(slice(None), *at)] = found[:, None]
            else:
                target[at] = found


def weighted_mean(
    values: NDArray[Any], weights: list[NDArray[np.float64]], fill: float
) -> NDArray[Any]:
    """Return the mean of each 2 by 2 values that are not `fill`, by weight; `fill` where none is.

    Parameters
    ----------
    values
        Shape ``(y, x)``; integers are rounded to the nearest.
    weights
        Of the four, each ``(ceil(y / 2), ceil(x / 2))``: as :func:`_quarters` gives them.
    fill
        Stands for missing; may be NaN.
    """
    total = np.zeros(weights[0].shape)
    count = np.zeros(weights[0].shape)
    for quarter, weight in zip(_quarters(values, fill), weights, strict=True):
        held = ~np.isnan(quarter) if np.isnan(fill) else quarter != fill
        mine = weight * held
        total += np.where(held, quarter, 0) * mine
        count += mine
    mean = np.divide(total, count, out=np.full(total.shape, float(fill)), where=count > 0)
    if np.issubdtype(values.dtype, np.integer):
        mean = np.rint(mean)
    return mean.astype(values.dtype)


def commonest(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the commonest of each 2 by 2 codes, of equally common ones the first."""
    padded = np.pad(codes, [(0, size % 2) for size in codes.shape], mode="edge")
    four = np.stack([padded[r::2, c::2] for r in (0, 1) for c in (0, 1)])
    alike = np.stack([(four == one).sum(axis=0) for one in four])
    first = alike.argmax(axis=0)
    return np.asarray(np.take_along_axis(four, first[None], axis=0)[0])


def _quarters(values: NDArray[Any], fill: float) -> list[NDArray[Any]]:
    """Return the four of each 2 by 2 values, in reading order; `fill` beyond the edges."""
    padding = [(0, size % 2) for size in values.shape]
    padded = np.pad(values, padding, constant_values=values.dtype.type(fill))
    return [padded[r::2, c::2] for r in (0, 1) for c in (0, 1)]
