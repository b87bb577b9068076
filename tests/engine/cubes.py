"""Tiny cubes for tests, written directly with zarr against the layout contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from edaphos.engine.cube.layout import (
    CLASS_FILL,
    MANIFEST,
    CubeManifest,
    MaskRoles,
    Stack,
    Variable,
    objects_digest,
)
from edaphos.engine.store import RecordingStore, zarr_store


@dataclass(frozen=True)
class Layer:
    """Variables of one source grid by name: ``(y, x)``, ``(12, y, x)`` or ``(year, y, x)``."""

    values: Mapping[str, NDArray]
    origin: tuple[float, float]
    resolution: tuple[float, float]
    crs: str = "EPSG:4326"
    kind: str = "amount"
    time: str = "static"
    years: tuple[int, ...] = ()


def write_cube(
    path: Path,
    layers: Sequence[Layer],
    soil_mask: str = "",
    chunk: int = 8,
    shards: int | None = None,
) -> Path:
    """Write a cube of `layers`; chunks are small so that reads cross them."""
    store = RecordingStore(zarr_store(path))
    zarr.create_group(store=store)
    stacks, variables = {}, {}
    for number, layer in enumerate(layers):
        name = f"s{number}"
        arrays = list(layer.values.values())
        block = np.stack(arrays, axis=0 if layer.time == "static" else 1)
        is_class = layer.kind == "class"
        array = zarr.create_array(
            store=store,
            name=f"stacks/{name}/values",
            shape=block.shape,
            chunks=(*([1] * (block.ndim - 2)), chunk, chunk),
            shards=None if shards is None else (*block.shape[:-2], shards, shards),
            dtype=np.int16 if is_class else np.float32,
            fill_value=CLASS_FILL if is_class else np.nan,
            config={"write_empty_chunks": False},
        )
        array[...] = block
        (x, y), (dx, dy) = layer.origin, layer.resolution
        stacks[name] = Stack(
            name=name,
            crs=layer.crs,
            transform=(dx, 0.0, x, 0.0, -dy, y),
            shape=block.shape[-2:],
            kind=layer.kind,
            time=layer.time,
            bands=tuple(layer.values),
            years=layer.years,
        )
        for band, variable in enumerate(layer.values):
            variables[variable] = Variable(
                variable, layer.kind, layer.time, name, band, years=layer.years
            )
    objects = tuple(o for o in store.written() if o.key.startswith("stacks/"))
    manifest = CubeManifest(
        stacks, variables, MaskRoles(soil_mask), objects, objects_digest(objects)
    )
    (path / MANIFEST).write_text(manifest.to_json())
    return path
