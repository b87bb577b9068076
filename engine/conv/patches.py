"""Training patches: the squares of cells around samples, cut out of the cube once and kept.

A patch holds raw values of the cube, NaN where they are missing, exactly as a map tile with a halo
reads them. Its middle is what :func:`~edaphos.engine.sampling.draw_samples` put into the table.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..cube.layout import Kind
from ..errors import InputError
from ..grid import Grid
from ..progress import QUIET, Reporter
from ..run import GridSpec
from ..samples import Samples
from ..whole_folder import is_whole, whole_folder
from ..years import YearPolicy
from .patch_reading import read_patches
from .places import places_of
from .planes import Plane, planes_of
from .weights import Seen, grid_seen, variables_seen

VALUES, ABOUT = "values.npy", "patches.json"
SCHEMA = 1
#: The column of samples that says which patch is theirs.
COLUMN = "patch"
#: Bytes that cutting patches may work in.
MEMORY = 512 * 2**20


@dataclass(frozen=True)
class PatchStore:
    """A folder of patches: ``values.npy`` and ``patches.json``.

    Sent to another process it travels as its path, and the values are mapped from the disk there.

    Parameters
    ----------
    folder
        Where it lies.
    planes
        The planes of a patch, in order.
    kinds
        ``amount`` or ``class``, for each plane.
    directional
        Whether a plane's values depend on the points of the compass, for each plane.
    size
        Cells along a side, odd.
    digest
        SHA-256 of what was cut, and where.
    variables, crs, cell
        The cube variables behind the planes, and CRS and cell size of the grid, as a net's card
        keeps them (:class:`~edaphos.engine.conv.weights.NetCard`).
    """

    folder: Path
    planes: tuple[Plane, ...]
    kinds: tuple[Kind, ...]
    directional: tuple[bool, ...]
    size: int
    digest: str
    variables: Mapping[str, Seen]
    crs: str
    cell: float

    @classmethod
    def open(cls, folder: Path) -> PatchStore:
        """Open a folder that :func:`extract` filled.

        Raises
        ------
        InputError
            There is none, or its files do not fit together.
        """
        about = _about(folder)
        store = cls(
            folder,
            tuple((name, month) for name, month in about["planes"]),
            tuple(about["kinds"]),
            tuple(about["directional"]),
            int(about["size"]),
            str(about["digest"]),
            {name: Seen(**told) for name, told in about["variables"].items()},
            **about["seen_grid"],
        )
        shape = (about["patches"], len(store.planes), store.size, store.size)
        if store.values.shape != shape or store.values.dtype != np.float32:
            raise InputError(
                f"{folder / VALUES}: expected float32 of shape {shape}, found "
                f"{store.values.dtype} of {store.values.shape}; delete the folder and run again"
            )
        return store

    @cached_property
    def values(self) -> np.memmap[Any, np.dtype[np.float32]]:
        """Raw values, ``(patches, planes, size, size)``, NaN for missing; mapped from the disk."""
        try:
            return np.load(self.folder / VALUES, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder / VALUES}: not readable ({error}); delete the folder and run again"
            ) from error

    def __len__(self) -> int:
        return len(self.values)

    def __reduce__(self) -> tuple[Any, ...]:
        return (PatchStore.open, (self.folder,))


def extract(
    samples: Samples,
    cube: Cube,
    grid: Grid,
    variables: Sequence[str],
    size: int,
    folder: Path,
    *,
    years: YearPolicy | None = None,
    memory: int = MEMORY,
    reporter: Reporter = QUIET,
) -> Samples:
    """Cut the patches that samples need out of a cube, or take those that are there already.

    There is one patch for each different cell and choice of years of yearly variables, so that the
    layers of a profile share theirs. Chunks of the cube are read once.

    Parameters
    ----------
    samples
        With ``lon``, ``lat`` and ``year``; off the grid a patch is missing.
    cube, grid, variables
        What is read, and at which cells: those of the map, or a stack's own
        (:func:`~edaphos.engine.conv.planes.native_grid`). Monthly variables give twelve planes.
    size
        Cells along a side, odd; the sample's cell is in the middle. Beyond the grid a patch holds
        what a tile's halo does.
    folder
        Written whole or not at all. Patches there of the same cube, grid, variables, size and
        places are kept, others replaced.
    years
        As :func:`~edaphos.engine.sampling.draw_samples` took it.
    memory
        Bytes to work in; the patches themselves lie on the disk.

    Returns
    -------
    Samples
        With the column ``patch``, the position in :attr:`PatchStore.values`, and the folder.

    Raises
    ------
    InputError
        `size` is not a positive odd number, or a variable is unknown.
    """
    if size < 1 or size % 2 == 0:
        raise InputError(f"patch size must be a positive odd number of cells, found {size}")
    cube.missing_bands(variables)
    planes = planes_of(cube, variables)
    places, patch = places_of(samples, cube, grid, tuple(variables), years or YearPolicy())
    described = [cube.variable(name) for name, _ in planes]
    about = {
        "schema": SCHEMA,
        "cube": cube.manifest.digest,
        "grid": {k: asdict(GridSpec.of(grid))[k] for k in ("crs", "origin", "resolution", "shape")},
        "planes": planes,
        "kinds": [variable.kind for variable in described],
        "directional": [variable.directional for variable in described],
        "variables": {k: asdict(seen) for k, seen in variables_seen(cube, variables).items()},
        "seen_grid": grid_seen(grid),
        "size": size,
        "patches": len(places),
        "places": places.digest,
    }
    about["digest"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    if not (is_whole(folder) and _about(folder)["digest"] == about["digest"]):
        shutil.rmtree(folder, ignore_errors=True)
        with whole_folder(folder) as partial:
            shape = (len(places), len(planes), size, size)
            out = np.lib.format.open_memmap(partial / VALUES, "w+", np.float32, shape)
            work = int((places.rows >= 0).sum()) * len(set(variables))
            with reporter.task("Cutting patches", work) as progress:
                read_patches(
                    cube, grid, places, planes, out, memory=memory, advance=progress.advance
                )
            out.flush()
            (partial / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    table = samples.table.assign(**{COLUMN: patch})
    return replace(samples, table=table, patches=folder)


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        if about["schema"] != SCHEMA:
            raise ValueError(f"schema {about['schema']}, expected {SCHEMA}")
        return {**about, "digest": str(about["digest"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not readable as patches ({error}); delete the folder and run again"
        ) from error


def patches_of(samples: Samples) -> NDArray[np.int64]:
    """Return the position of each sample's patch, shape ``(n,)``.

    Raises
    ------
    InputError
        The samples have none.
    """
    if samples.patches is None or COLUMN not in samples.table:
        raise InputError(
            "samples have no patches; a model that learns from them declares its patch_size"
        )
    return samples.table[COLUMN].to_numpy(np.int64)
