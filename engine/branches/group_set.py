"""Training sets: squares around places, cut at the window of each group, in shards on the disk.

A climate of 1 km needs no square of 9 x 9 cells around each place while a relief does. So each
window is cut for the variables that want it, all from one pass over the cube: places lie in shards
of neighbours, each shard is a task of a cluster and a folder that is there whole or not at all, and
a set that was cut off goes on with the shards that are missing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conv.patch_reading import read_patches
from ..conv.patch_statistics import seen_in
from ..conv.patches import COLUMN, MEMORY, PatchStore
from ..conv.places import Places, places_of
from ..conv.planes import Plane, plane_name, planes_of
from ..conv.weights import Seen, grid_seen, variables_seen
from ..cube.cube import Cube
from ..errors import InputError
from ..fan_out import fan_out
from ..grid import Grid
from ..progress import QUIET, Reporter
from ..run import GridSpec
from ..samples import Samples
from ..whole_folder import is_whole, whole_folder
from ..years import YearPolicy

SCHEMA = 1
ABOUT, STATISTICS = "set.json", "statistics.json"
#: Places of a shard.
SHARD = 8192


class Shards:
    """Arrays of several files as one along the first axis; asked as ``raw_patches`` asks.

    Parameters
    ----------
    files
        ``.npy`` files of equal shape but for the first axis.
    """

    def __init__(self, files: list[Path]) -> None:
        try:
            self.parts = [np.load(file, mmap_mode="r") for file in files]
        except (OSError, ValueError) as error:
            raise InputError(f"{error}; delete the folder and run again") from error
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.shape = (int(self.starts[-1]), *self.parts[0].shape[1:])
        self.nbytes = sum(part.nbytes for part in self.parts)
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, asked: tuple[Any, ...]) -> NDArray[np.float32]:
        rows, planes, *sides = asked
        flat, kept = rows.ravel(), planes.ravel()
        shard = np.searchsorted(self.starts, flat, side="right") - 1
        out: NDArray[np.float32] | None = None
        for k in np.unique(shard):
            mine = np.flatnonzero(shard == k)
            local = flat[mine] - self.starts[k]
            some = self.parts[k][local[:, None], kept[None, :], *sides]
            if out is None:
                out = np.empty((flat.size, *some.shape[1:]), np.float32)
            out[mine] = some
        return np.empty((0, kept.size, 0, 0), np.float32) if out is None else out


@dataclass(frozen=True)
class ShardedStore(PatchStore):
    """The squares of one window of a set, in place of a :class:`PatchStore`."""

    @cached_property
    def values(self) -> Any:
        """Raw values, ``(places, planes, size, size)``, NaN for missing; mapped from the disk."""
        return Shards([part / _file(self.size) for part in _parts(self.folder)])

    def __reduce__(self) -> tuple[Any, ...]:
        return (_open_one, (self.folder, self.size))


@dataclass(frozen=True)
class GroupSet:
    """A folder of shards.

    Parameters
    ----------
    folder
        Where it lies.
    stores
        By window.
    digest
        SHA-256 of what was cut, and where.
    """

    folder: Path
    stores: Mapping[int, ShardedStore]
    digest: str

    @classmethod
    def open(cls, folder: Path) -> GroupSet:
        """Open a folder that :func:`draw_set` filled.

        Raises
        ------
        InputError
            There is none, or it is not whole.
        """
        about = _about(folder)
        stores = {
            int(size): ShardedStore(
                folder,
                tuple((name, month) for name, month in told["planes"]),
                tuple(told["kinds"]),
                tuple(told["directional"]),
                int(size),
                str(about["digest"]),
                {name: Seen(**seen) for name, seen in told["variables"].items()},
                **about["seen_grid"],
            )
            for size, told in about["windows"].items()
        }
        return cls(folder, stores, str(about["digest"]))

    def of(self, window: int) -> ShardedStore:
        """Return the squares of a window."""
        if window not in self.stores:
            raise InputError(
                f"{self.folder}: holds windows of {', '.join(map(str, self.stores))} cells, "
                f"{window} was asked for; delete the folder and run again"
            )
        return self.stores[window]

    @property
    def variables(self) -> dict[str, Seen]:
        """The cube variables of all windows."""
        return {k: v for store in self.stores.values() for k, v in store.variables.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of all squares."""
        return sum(int(store.values.nbytes) for store in self.stores.values())

    def __len__(self) -> int:
        return len(next(iter(self.stores.values())))


@dataclass(frozen=True)
class _Shard:
    cube: Cube
    grid: Grid
    windows: dict[int, tuple[Plane, ...]]
    places: Places
    folder: Path
    memory: int
    stride: int


def draw_set(
    samples: Samples,
    cube: Cube,
    grid: Grid,
    windows: Mapping[int, tuple[str, ...]],
    folder: Path,
    *,
    years: YearPolicy | None = None,
    client: Any = None,
    shard: int = SHARD,
    memory: int = MEMORY,
    stride: int = 1,
    reporter: Reporter = QUIET,
) -> Samples:
    """Cut the squares of samples, or take those that are there; return samples that know theirs.

    Parameters
    ----------
    samples, cube, grid, years
        As for :func:`~edaphos.engine.conv.patches.extract`.
    windows
        Variables by the side of their square.
    client
        Each shard is a task of this client; here, one after another, without one.
    shard
        Places of a shard.
    memory
        Bytes that one task may work in.
    stride
        Cells of the grid from one cell of a square to the next.
    """
    names = tuple(name for variables in windows.values() for name in variables)
    cube.missing_bands(names)
    places, patch = places_of(samples, cube, grid, names, years or YearPolicy())
    spec = asdict(GridSpec.of(grid))
    by_window = {size: planes_of(cube, variables) for size, variables in windows.items()}
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "cube": cube.manifest.digest,
        "grid": {k: spec[k] for k in ("crs", "origin", "resolution", "shape")},
        "seen_grid": grid_seen(grid),
        "windows": {
            str(size): {
                "planes": planes,
                "kinds": [cube.variable(name).kind for name, _ in planes],
                "directional": [cube.variable(name).directional for name, _ in planes],
                "variables": {
                    k: asdict(seen) for k, seen in variables_seen(cube, windows[size]).items()
                },
            }
            for size, planes in by_window.items()
        },
        "places": len(places),
        "shard": shard,
        "digest_of_places": places.digest,
        **({"stride": stride} if stride > 1 else {}),
    }
    about["digest"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    begun = folder.with_name(folder.name + ".begun")
    if not (is_whole(folder) and _about(folder)["digest"] == about["digest"]):
        shutil.rmtree(folder, ignore_errors=True)
        if not (begun / ABOUT).is_file() or _about(begun)["digest"] != about["digest"]:
            shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True, exist_ok=True)
        (begun / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        tasks = [
            _Shard(
                cube,
                grid,
                by_window,
                _slice(places, first, shard),
                begun / f"shard-{number:05d}",
                memory,
                stride,
            )
            for number, first in enumerate(range(0, len(places), shard))
        ]
        todo = [task for task in tasks if not is_whole(task.folder)]
        fan_out(_cut, todo, client, reporter, "Cutting squares")
        begun.rename(folder)
    if not (folder / STATISTICS).is_file():
        told = _statistics(GroupSet.open(folder))
        (folder / STATISTICS).write_text(json.dumps(told, indent=1) + "\n")
    return replace(samples, table=samples.table.assign(**{COLUMN: patch}), patches=folder)


def _slice(places: Places, first: int, count: int) -> Places:
    part = slice(first, first + count)
    years = {held: taken[part] for held, taken in places.years.items()}
    return Places(places.rows[part], places.cols[part], years)


def _cut(task: _Shard) -> None:
    """Cut the squares of one shard, in all windows."""
    if is_whole(task.folder):  # by an attempt that was taken for lost
        return
    with whole_folder(task.folder) as partial:
        for size, planes in task.windows.items():
            shape = (len(task.places), len(planes), size, size)
            out = np.lib.format.open_memmap(partial / _file(size), "w+", np.float32, shape)
            told: dict[str, Any] = {"memory": task.memory, "advance": _nothing}
            if task.stride == 1 or size == 1:
                read_patches(task.cube, task.grid, task.places, planes, out, **told)
            else:
                _cut_apart(task, planes, out, told)
            out.flush()


def _cut_apart(
    task: _Shard, planes: tuple[Plane, ...], out: NDArray[np.float32], told: dict[str, Any]
) -> None:
    """Write squares whose cells lie apart, each of their cells by a grid moved so far."""
    one = np.empty((*out.shape[:2], 1, 1), np.float32)
    for row, col, down, right in offsets(out.shape[-1], task.stride):
        moved = replace(task.grid, geobox=task.grid.geobox.translate_pix(right, down))
        read_patches(task.cube, moved, task.places, planes, one, **told)
        out[:, :, row, col] = one[:, :, 0, 0]


def offsets(window: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield row and column in a window, and how many cells away from its middle that is.

    >>> [o for o in offsets(3, 10)][:2]
    [(0, 0, -10, -10), (0, 1, -10, 0)]
    """
    half = window // 2
    for row in range(window):
        for col in range(window):
            yield row, col, (row - half) * stride, (col - half) * stride


def _nothing(count: int, name: str) -> None:
    del count, name


def _statistics(held: GroupSet) -> dict[str, dict[str, float | int]]:
    """Return mean, deviation, extremes and gaps of each plane over all places, by name."""
    found = {}
    every = np.arange(len(held))
    for store in held.stores.values():
        seen = seen_in(store, every, np.arange(len(store.planes)), store.size)
        for plane, one in zip(store.planes, seen, strict=True):
            found[plane_name(plane)] = {
                k: v for k, v in asdict(one).items() if k != "codes" and np.isfinite(v)
            }
    return found


def _open_one(folder: Path, size: int) -> ShardedStore:
    return GroupSet.open(folder).of(size)


def _file(size: int) -> str:
    return f"window-{size}.npy"


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-?????"))


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        if about["schema"] != SCHEMA:
            raise ValueError(f"schema {about['schema']}, expected {SCHEMA}")
        return about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not readable as a training set ({error}); delete the folder and run again"
        ) from error
