"""Maps by patch CNNs: each net in its dense form, what several have in common once.

See :mod:`edaphos.kernels.dense_form` for why a map by the dense form has the values of a map patch
by patch. Nets of one family begin alike: a net that reads depth, one copy for each depth, differs
in the bias of its first dense layer only; nets fine-tuned for each depth share the layers that
were frozen. Layers whose numbers agree to the bit run once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .arithmetic import Precision, arithmetic
from .dense_form import SILENT, Unsupported, dense_form, leaves, patches_of
from .fold_norm import fold_norms
from .net_tree import bytes_per_cell, grow, run
from .staging import staged

__all__ = ["DenseMapper", "Rounding", "Unsupported", "dense_form"]

Floats = NDArray[np.float32]

#: Working memory where nothing else is asked for; larger strips are no faster.
STRIP_BYTES = 64 << 20
#: Cells along a side of the piece of a map on which coarser arithmetic is compared.
SAMPLE = 48


@dataclass(frozen=True)
class Rounding:
    """What coarser arithmetic changed on a piece of a map, in the units of the net's output.

    Parameters
    ----------
    largest, root_mean_square
        Of the differences to float32.
    spread
        Standard deviation of the float32 values there, to hold the differences against.
    cells
        How many were compared.
    """

    largest: float
    root_mean_square: float
    spread: float
    cells: int


class DenseMapper:
    """Maps by several patch CNNs at once; the layers that they begin with alike run once.

    Nets without a dense form are run on batches of patches instead, which is slow; ``how`` says
    so. Threads are the caller's: call ``torch.set_num_threads(1)`` first where bits must not
    depend on how many there are. One mapper may be used from several threads.

    Parameters
    ----------
    nets
        Patch CNNs of one patch size and as many outputs each, for example one for each depth.
        They are copied.
    patch, bands
        Cells along a side of their patches; their channels.
    precision
        ``float32``; or, where speed counts for more than the third digit, ``bf16`` (products of
        bfloat16 numbers) or ``tf32`` (on GPUs that have it; elsewhere it is float32).
    device
        Where to compute.
    max_bytes
        Working memory: a map is made in strips that fit it. On a GPU a quarter of what is free,
        unless given.

    Attributes
    ----------
    how
        ``dense``, or ``patches: `` and the reason.
    rounding
        What `precision` changed on a piece of the first map made, or None for float32.

    Raises
    ------
    ValueError
        No nets, or layers that do not fit `patch` and `bands`.
    """

    def __init__(
        self,
        nets: Sequence[nn.Sequential],
        patch: int,
        bands: int,
        *,
        precision: Precision = "float32",
        device: str = "cpu",
        max_bytes: int | None = None,
    ) -> None:
        if not nets:
            raise ValueError("nets: at least one is needed")
        self.patch, self.bands, self.precision = patch, bands, precision
        self.device = torch.device(device)
        self.max_bytes = max_bytes or _room(self.device)
        self.rounding: Rounding | None = None
        try:
            forms = [dense_form(net, patch, bands) for net in nets]
            self.how = "dense"
        except Unsupported as problem:
            forms = [deepcopy(net).eval() for net in nets]
            self.how = f"patches: {problem}"
        for form in forms:
            form.to(self.device, torch.float32, memory_format=torch.channels_last)
        chains = [[x for _, x in leaves(form) if type(x) not in SILENT] for form in forms]
        self._nets = len(nets)
        # float32 keeps the net's own steps, whose rounding is then that of its patches; coarser
        # arithmetic loses less where a normalisation is no step of its own
        if self.how == "dense" and precision != "float32":
            chains = [fold_norms(chain) for chain in chains]
        self._tree = grow(chains)
        probe = torch.zeros(1, bands, patch, patch, device=self.device)
        self._cell_bytes, self.outputs = bytes_per_cell(self._tree, probe, self.how == "dense")

    def predict(self, planes: Floats) -> Floats:
        """Return ``(nets, outputs, h, w)`` from ``(bands, h + patch - 1, w + patch - 1)``.

        Planes are finite numbers as the nets read them; the map's first cell is the middle of the
        first patch.

        Raises
        ------
        ValueError
            Planes of another shape.
        """
        bands, height, width = planes.shape
        h, w = height - self.patch + 1, width - self.patch + 1
        if bands != self.bands or min(h, w) < 1:
            raise ValueError(
                f"planes must be {self.bands} of at least {self.patch} x {self.patch} cells, "
                f"found {planes.shape}"
            )
        made = self._map(planes, h, w, self.precision)
        if self.precision != "float32" and self.rounding is None:
            self.rounding = self._compare(planes, made)
        return made

    def map_piece(self, piece: Tensor, precision: Precision | None = None) -> Tensor:
        """Return ``(nets, outputs, h, w)`` of planes on the device, in one go and left there."""
        dense, reach = self.how == "dense", self.patch - 1
        with torch.inference_mode(), arithmetic(self.device, precision or self.precision):
            found = run(self._tree, piece[None] if dense else patches_of(piece, self.patch))
            made = [found[net] for net in range(self._nets)]
            both = torch.stack([m[0] if dense else m.flatten(1).T for m in made]).float()
        sides = (piece.shape[1] - reach, piece.shape[2] - reach)
        return both.reshape(self._nets, self.outputs, *sides)

    def memory_bytes(self, cells: int) -> int:
        """Return about how much making a map of so many cells takes, its planes left out."""
        return self.max_bytes + 4 * self._nets * self.outputs * cells

    def _map(self, planes: Floats, h: int, w: int, precision: Precision) -> Floats:
        whole = torch.from_numpy(np.require(planes, np.float32, "W"))
        made = np.empty((self._nets, self.outputs, h, w), np.float32)
        reach = self.patch - 1
        halo = reach if self.how == "dense" else 0
        places = list(_blocks(h, w, halo, self.max_bytes // self._cell_bytes))
        pieces = (whole[:, y : y2 + reach, x : x2 + reach] for y, y2, x, x2 in places)
        for (y, y2, x, x2), piece in zip(places, staged(pieces, self.device), strict=True):
            made[:, :, y:y2, x:x2] = self.map_piece(piece, precision).cpu().numpy()
        return made

    def _compare(self, planes: Floats, made: Floats) -> Rounding:
        """Return how the middle of a map differs from float32."""
        h, w = (min(SAMPLE, n) for n in made.shape[-2:])
        y, x = (made.shape[-2] - h) // 2, (made.shape[-1] - w) // 2
        reach = self.patch - 1
        exact = self._map(planes[:, y : y + h + reach, x : x + w + reach], h, w, "float32")
        gap = np.abs(made[:, :, y : y + h, x : x + w].astype(np.float64) - exact)
        return Rounding(
            largest=float(gap.max()),
            root_mean_square=float(np.sqrt((gap**2).mean())),
            spread=float(exact.std(dtype=np.float64)),
            cells=h * w,
        )


def _blocks(h: int, w: int, halo: int, cells: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield rectangles, ``(y, y2, x, x2)``, that cover a map: strips of rows where these fit.

    With the halo each has up to `cells` cells; strips that would be lower than their halo, half of
    which the neighbour computes again, are cut into columns.
    """
    for pieces in range(1, w + 1):
        columns = -(-w // pieces)
        rows = cells // (columns + halo) - halo
        if rows >= min(h, max(halo, 1)):
            break
    strips = -(-h // max(rows, 1))
    for y in range(strips):
        for x in range(pieces):
            yield h * y // strips, h * (y + 1) // strips, w * x // pieces, w * (x + 1) // pieces


def _room(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] // 4)
    return STRIP_BYTES
