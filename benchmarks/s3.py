"""Writing and reading a cube's stack in a bucket on loopback, beside the same on this disk.

The server is rclone, which sends whole shards where a chunk was asked for: reads of a part are as
slow there as they get. Both sides hold shards that were just written, in memory as far as it goes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from edaphos.engine.place import Place, place
from edaphos.engine.store import RecordingStore, zarr_store

from .result import Result
from .servers.s3 import BUCKET, available_rclone, rclone_server

#: Cells along a shard's side, as a cube of four bands has it, and along a chunk's.
SHARD, CHUNK = 1024, 256
BANDS = 4
REPEATS = 3


def measure(*, small: bool) -> Iterator[Result]:
    """Yield MB/s of values written, read whole, and read by parts, over those of the disk."""
    missing = available_rclone()
    if missing is not None:
        sys.stderr.write(f"s3: {missing}\n")
        return
    values = _values(2 if small else 4)
    rates: dict[str, dict[str, list[float]]] = {}
    retries = 0
    with tempfile.TemporaryDirectory(prefix="edaphos-bench-") as made, rclone_server():
        for turn in range(1 if small else REPEATS):
            # in turns, so that a noisy machine slows both
            for name, root in (("disk", Path(made)), ("s3", place(f"s3://{BUCKET}/bench"))):
                found, again = _times(root / f"{turn}.zarr", values)
                retries += again
                for what, seconds in found.items():
                    rate = _megabytes(what, values) / seconds
                    rates.setdefault(what, {}).setdefault(name, []).append(rate)
    for what, by_place in rates.items():
        disk, s3 = max(by_place["disk"]), max(by_place["s3"])
        details = {"disk_mb_s": round(disk, 1), "values_mb": round(_megabytes(what, values), 1)}
        details |= {"turns": len(by_place["s3"]), "retries": retries}
        yield Result(f"s3-{what}", round(s3, 1), "MB/s of values", "this disk", s3 / disk, details)


def _values(shards: int) -> NDArray[np.float32]:
    """Return smooth fields with noise, which compress as covariates do, shape (band, y, x)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : shards * SHARD, 0 : shards * SHARD].astype(np.float32) / 500
    bands = [np.sin(x * (b + 1)) + np.cos(y) for b in range(BANDS)]
    noise = rng.normal(0, 0.02, (BANDS, *x.shape)).astype(np.float32)
    return np.round(np.stack(bands) + noise, 3).astype(np.float32)


def _times(folder: Place, values: NDArray[np.float32]) -> tuple[dict[str, float], int]:
    """Return seconds of writing shard by shard, reading so, and reading a chunk of each."""
    store = RecordingStore(zarr_store(folder))
    array = zarr.create_array(
        store,
        shape=values.shape,
        chunks=(1, CHUNK, CHUNK),
        shards=(BANDS, SHARD, SHARD),
        dtype="float32",
        compressors=ZstdCodec(level=3),
    )
    blocks = list(_blocks(values.shape, SHARD))
    seconds = {"write": _timed(lambda block: array.__setitem__(block, values[block]), blocks)}
    stored = zarr.open_array(zarr_store(folder, read_only=True), mode="r")

    def read(block: tuple[slice, ...]) -> None:
        if not np.array_equal(np.asarray(stored[block]), values[block]):
            raise RuntimeError(f"{folder}: other values than were written, at {block}")

    seconds["read"] = _timed(read, blocks)
    seconds["read-chunk"] = _timed(read, [_corner(block) for block in blocks])
    return seconds, store.retries


def _blocks(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, ...]]:
    for row in range(0, shape[1], side):
        for column in range(0, shape[2], side):
            yield slice(None), slice(row, row + side), slice(column, column + side)


def _corner(block: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return the first chunk of the first band."""
    _, rows, columns = block
    corner = (slice(edge.start, edge.start + CHUNK) for edge in (rows, columns))
    return (slice(0, 1), *corner)


def _timed(call: Any, blocks: list[tuple[slice, ...]]) -> float:
    started = time.perf_counter()
    for block in blocks:
        call(block)
    return time.perf_counter() - started


def _megabytes(what: str, values: NDArray[np.float32]) -> float:
    """Return the values that pass in one turn."""
    if what != "read-chunk":
        return values.nbytes / 1e6
    return values.nbytes / 1e6 * (CHUNK / SHARD) ** 2 / BANDS
