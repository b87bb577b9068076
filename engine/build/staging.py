"""Sources that cannot be read by windows, written once to a plain array that can.

Compressed archives inside pip packages, PNG and CSV can only be read from their beginning. At build
each is streamed once into a NumPy file in the build's own folder, which tasks then map into memory.
A cube in a bucket has no folder to map from: each machine then stages for itself, once.
"""

from __future__ import annotations

import fcntl
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, RunError
from .axes import Axis, NativeGrid
from .native import Rect
from .packaged import PACKAGE, Dataset, dataset
from .spec import LayerSpec


def is_staged(spec: LayerSpec) -> bool:
    """Whether the layer's source must be staged."""
    return spec.file.startswith(PACKAGE) or Path(spec.paths[0]).suffix.lower() == ".csv"


def staged_path(spec: LayerSpec, staging: Path) -> Path:
    """Return where a layer's staged array lies; layers that read the same source share it."""
    key = hashlib.sha256(repr((spec.paths, spec.coarsen)).encode()).hexdigest()[:16]
    return staging / f"{key}.npy"


def stage(spec: LayerSpec, files: list[Path], staging: Path) -> None:
    """Write a layer's staged array, whole or not at all; nothing is done where it exists."""
    target = staged_path(spec, staging)
    if target.exists():
        return
    staging.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{uuid.uuid4().hex}.partial")
    if spec.file.startswith(PACKAGE):
        packaged = dataset(spec)
        shape = (packaged.steps, *packaged.shape)
        array = np.lib.format.open_memmap(partial, "w+", packaged.dtype, shape)
        packaged.write(array)
        array.flush()
        del array
    else:
        with partial.open("wb") as file:
            np.save(file, np.stack([_read_csv(spec, path) for path in files]))
    partial.replace(target)


@contextmanager
def one_at_a_time(staging: Path) -> Iterator[None]:
    """Keep other processes of this machine from staging into a folder of its disk meanwhile."""
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class StagedNative:
    """A staged source: described from its files, read from its staged array."""

    spec: LayerSpec
    files: list[Path]
    staging: Path | None

    @cached_property
    def packaged(self) -> Dataset | None:
        """The packaged data set, if it is one."""
        return dataset(self.spec) if self.spec.file.startswith(PACKAGE) else None

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.packaged.steps if self.packaged else len(self.files)

    @property
    def units(self) -> str:
        """Units of a packaged set."""
        return self.packaged.units if self.packaged else ""

    @property
    def long_name(self) -> str:
        """Name of a packaged set."""
        return self.packaged.long_name if self.packaged else ""

    @cached_property
    def grid(self) -> NativeGrid:
        """Axes; those of a CSV raster come from the bounds that the layer must declare."""
        if self.packaged:
            return self.packaged.grid
        if self.spec.bounds is None:
            raise InputError(
                f'layer "{self.spec.name}", {self.spec.file}: a CSV raster has no georeference; '
                'declare bounds = [west, south, east, north] of its edges and crs = "EPSG:4326"'
            )
        rows, columns = self._array().shape[1:]
        return NativeGrid(Axis(0.5, 1, columns), Axis(-0.5, -1, rows), "", "centres", False)

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a stored window."""
        stored = self._array()[step, rect.row0 : rect.row1, rect.col0 : rect.col1]
        values = stored.astype(np.float32)
        if self.packaged is not None:
            values = self.packaged.decode(values)
        return values

    def _array(self) -> NDArray[np.generic]:
        if self.staging is not None and staged_path(self.spec, self.staging).exists():
            mapped: NDArray[np.generic] = np.load(
                staged_path(self.spec, self.staging), mmap_mode="r", allow_pickle=False
            )
            return mapped
        if self.packaged:
            raise RunError(f'layer "{self.spec.name}": {self.spec.file} has not been staged')
        return np.stack([_read_csv(self.spec, path) for path in self.files])


def _read_csv(spec: LayerSpec, path: Path) -> NDArray[np.float32]:
    """Read a raster of comma-separated rows without header, the northernmost first."""
    try:
        values = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise InputError(
            f'layer "{spec.name}", {path}: expected rows of comma-separated numbers of one length, '
            f"without header ({error})"
        ) from error
    return values
