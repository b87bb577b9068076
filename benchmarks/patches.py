"""Patches cut out of a cube a second, and the channels of a tile, beside the plain ways."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import zarr
from threadpoolctl import threadpool_limits
from zarr.storage import WrapperStore

from edaphos.engine.conv.channels import Band, Channels
from edaphos.engine.conv.patches import PatchStore, extract, patches_of
from edaphos.engine.cube import stack_reader
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.samples import Samples
from edaphos.engine.store import zarr_store

from .result import Result
from .worlds import DEGREES, make_cube

SIZE = 15
BANDS, TILE = 37, 512 + SIZE - 1
VARIABLES = ("elevation", "slope", "t", "r", "s", "w", "soil_mask")
#: Places cut by slicing the arrays, which takes long.
SLICED = 300


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the time of a tile's channels, and the rate of cutting patches."""
    yield channels_of_a_tile(5 if small else 15)
    folder = Path(tempfile.mkdtemp(prefix="edaphos-patches-"))
    try:
        yield cut_patches(folder, *((1024, 2000) if small else (4096, 20_000)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def channels_of_a_tile(repeats: int) -> Result:
    """Measure standardising, filling and masking a tile, beside NumPy and a mere copy."""
    rng = np.random.default_rng(0)
    tile = rng.normal(size=(1, BANDS, TILE, TILE)).astype(np.float32)
    tile[rng.random(tile.shape) < 0.02] = np.nan
    centre, factor = (rng.uniform(1, 9, BANDS).astype(np.float32) for _ in range(2))
    bands = (
        Band((f"v{k}", None), "amount", False, True, float(centre[k]), float(factor[k]))
        for k in range(BANDS)
    )
    channels = Channels(tuple(bands))

    def plain() -> np.ndarray:
        missing = np.isnan(tile)
        values = (tile - centre[:, None, None]) * factor[:, None, None]
        share = (~missing).sum(axis=1, keepdims=True).astype(np.float32) / np.float32(BANDS)
        return np.concatenate([np.where(missing, np.float32(0), values), share], axis=1)

    assert np.array_equal(channels.assemble(tile), plain())
    with threadpool_limits(1):
        ours, numpy, copy = (
            _best(way, repeats) for way in (lambda: channels.assemble(tile), plain, tile.copy)
        )
    moved = (2 * BANDS + 1) * TILE**2 * 4
    return Result(
        name="channels of a tile",
        value=round(ours * 1e3, 2),
        unit="ms",
        peer="NumPy, whole arrays",
        ratio=round(numpy / ours, 2),
        details={
            "bands": BANDS,
            "cells": TILE**2,
            "numpy_ms": round(numpy * 1e3, 2),
            "copy_of_the_planes_ms": round(copy * 1e3, 2),
            "least_bytes_moved": moved,
            "gb_s": round(moved / ours / 1e9, 1),
            "threads": 1,
        },
    )


def cut_patches(folder: Path, fine: int, places: int) -> Result:
    """Measure cutting patches at the finest resolution of a cube, each chunk read once."""
    cube = make_cube(folder / "cube.zarr", fine)
    grid = Grid.from_bounds("EPSG:4326", (0, 0, DEGREES, DEGREES), DEGREES / fine)
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(0, DEGREES, (2, places))
    samples = Samples(pd.DataFrame({"lon": lon, "lat": lat, "year": 2000.0}), ())
    extract(samples.take(np.arange(9)), cube, grid, VARIABLES, SIZE, folder / "compiled")
    reads, seconds = _counted(
        lambda: extract(samples, cube, grid, VARIABLES, SIZE, folder / "patches")
    )
    in_memory, memory_seconds = _counted(
        lambda: Cube.open(cube.path).patches(lon, lat, grid, VARIABLES, SIZE)
    )
    sliced = _slice(cube, grid, lon[:SLICED], lat[:SLICED])
    cut = extract(samples, cube, grid, VARIABLES, SIZE, folder / "patches")
    store = PatchStore.open(folder / "patches")
    found = store.values[patches_of(cut)[:SLICED], :2]
    assert np.array_equal(found, sliced[0], equal_nan=True)
    rate = len(store) / seconds
    return Result(
        name="patches cut",
        value=round(rate),
        unit="patches/s",
        peer="Zarr arrays sliced place by place (two variables at their own resolution)",
        ratio=round(rate * sliced[1] / SLICED, 1),
        details={
            "places": places,
            "planes": len(VARIABLES),
            "size": SIZE,
            "chunks_read": len(reads),
            "reads_of_a_chunk": max(reads.values()),
            "seconds": round(seconds, 2),
            "bytes": store.values.nbytes,
            "cube_patches_seconds": round(memory_seconds, 2),
            "cube_patches_reads_a_chunk": round(in_memory.total() / len(in_memory), 2),
        },
    )


class _Counting(WrapperStore[Any]):
    """Counts what is read of each object."""

    reads: ClassVar[Counter[tuple[str, str]]] = Counter()

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if "/c/" in key:
            self.reads[key, str(byte_range)] += 1
        return await super().get(key, prototype, byte_range)

    def _with_store(self, store: Any) -> _Counting:
        return _Counting(store)


def _counted(work: Callable[[], object]) -> tuple[Counter[tuple[str, str]], float]:
    """Return how often each chunk is read, and the seconds."""
    _Counting.reads = Counter()
    stack_reader.zarr_store = lambda *a, **k: _Counting(zarr_store(*a, **k))
    try:
        started = time.perf_counter()
        work()
        return _Counting.reads, time.perf_counter() - started
    finally:
        stack_reader.zarr_store = zarr_store


def _slice(cube: Cube, grid: Grid, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, float]:
    """Return patches of the two finest amounts sliced from their array, and the seconds."""
    array = zarr.open_array(store=zarr_store(cube.path / "stacks/relief/values"), mode="r")
    out = np.full((lon.size, 2, SIZE, SIZE), np.nan, np.float32)
    rows, cols, _ = grid.locate(lon, lat)
    half, side = SIZE // 2, array.shape[-1]
    started = time.perf_counter()
    for k, (row, col) in enumerate(zip(rows, cols, strict=True)):
        top, left = max(0, row - half), max(0, col - half)
        bottom, right = min(side, row + half + 1), min(side, col + half + 1)
        into = out[
            k, :, top - row + half : bottom - row + half, left - col + half : right - col + half
        ]
        into[...] = array[:, top:bottom, left:right]
    return out, time.perf_counter() - started


def _best(work: Callable[[], object], repeats: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(once() for _ in range(repeats))
