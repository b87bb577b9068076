"""Where products are made before they take their place: disk space, drafts, and delivery.

Every file is made on a disk of this machine and then takes its place in one step: it is renamed,
or uploaded, which shows in a bucket only when it is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..grid import Grid
from ..place import Place, S3Path, no_bucket
from ..plan_size import human_bytes
from ..scratch import scratch_folder
from .cog_blocks import WHOLE_CELLS, tiling

#: Largest stored number of a product, bytes.
_CELL_BYTES = 4
#: A draft, its overviews, and the finished file with its own, each as if nothing were compressed.
_COPIES = 1 + 1 / 3 + 4 / 3
_DRAFTS = ".drafts.partial"


def temporary_bytes(grid: Grid, whole_cells: int = WHOLE_CELLS) -> int:
    """Return the most disk space that an export needs besides its products, in bytes.

    One file is made at a time: a draft with all its cells (4 bytes each, not compressed), its
    overviews, and the finished file before it takes its place.

    Parameters
    ----------
    grid
        Of the map.
    whole_cells
        As many cells one file may have, as for :func:`edaphos.engine.products.cog.export_cogs`.
    """
    parts = tiling(grid, whole_cells=whole_cells)
    cells = max(rows * cols for rows, cols in (part.shape for part in parts))
    if len(parts) > 1:
        height, width = parts.coarse_shape(grid.shape)
        cells = max(cells, height * width)
    return int(cells * _CELL_BYTES * _COPIES)


@contextmanager
def drafts(target: Place) -> Iterator[Path]:
    """Yield an empty folder on a disk for drafts of what goes to `target`; it is removed again.

    What a killed export left in it is removed first. For a folder it lies within, so that a draft
    takes its place by being renamed; for a bucket below ``TMPDIR``.
    """
    if isinstance(target, S3Path):
        name = hashlib.sha256(str(target).encode()).hexdigest()[:16]
        folder = scratch_folder() / f"export-{name}"
    else:
        folder = target / _DRAFTS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_disk(folder: Path, needed: int) -> None:
    """Refuse to start an export that the disk has no room for.

    Raises
    ------
    InputError
        The disk of `folder` has less than `needed` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder.parent}: the export needs {human_bytes(needed)} for drafts, and this disk "
            f"has {human_bytes(free)} free; make room, set TMPDIR to a larger disk where the "
            "products go to a bucket, or turn the exports off ([products] cog = false)"
        )


def deliver(draft: Path, target: Place) -> int:
    """Move a finished file to its place, where it shows whole or not at all; return its bytes."""
    size = draft.stat().st_size
    if isinstance(target, S3Path):
        import obstore

        try:
            # a file goes up in parts that are put together when the last has arrived
            target.attempt(lambda: obstore.put(target.client, target.key, draft))
        except FileNotFoundError:
            raise no_bucket(target) from None
        draft.unlink()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    return size
