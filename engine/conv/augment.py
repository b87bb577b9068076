"""The eight symmetries of a square: flips and quarter turns of training patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The identity, three quarter turns, and their mirror images.
SYMMETRIES = 8


def turned(patches: NDArray[np.float32], which: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return patches mirrored and turned.

    Parameters
    ----------
    patches
        Shape ``(n, channels, size, size)``.
    which
        Symmetry of each patch, ``(n,)``: quarter turns counterclockwise (0 to 3), plus 4 for a
        mirror image (columns reversed) before them.

    Returns
    -------
    ndarray
        A new array; rows keep their order.
    """
    out = np.empty_like(patches)
    for symmetry in range(SYMMETRIES):
        rows = np.flatnonzero(which == symmetry)
        if rows.size:
            some = patches[rows]
            mirrored = some[..., ::-1] if symmetry >= 4 else some
            out[rows] = np.rot90(mirrored, symmetry % 4, axes=(2, 3))
    return out


def augmented(
    patches: NDArray[np.float32], rng: np.random.Generator, first: int = 0
) -> NDArray[np.float32]:
    """Return each patch under a symmetry drawn for it; all eight are equally likely.

    Only for channels that are :attr:`~edaphos.engine.conv.channels.Channels.symmetric`. Cells are
    taken for squares, which those of a longitude-latitude grid away from the equator are not.
    Draws for `first` patches that are before these are passed over.
    """
    return turned(patches, rng.integers(SYMMETRIES, size=first + len(patches))[first:])
