"""What every kind of source file offers: its axes as stored, and windows of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .axes import NativeGrid


class Rect(NamedTuple):
    """Rows ``row0 <= r < row1`` and columns ``col0 <= c < col1`` of a grid."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0

    def grown(self, rows: int, cols: int) -> Rect:
        """Return the rectangle with a margin on each side (it may leave the grid)."""
        return Rect(self.row0 - rows, self.row1 + rows, self.col0 - cols, self.col1 + cols)


class Native(Protocol):
    """A file as stored: its axes, its time steps and windows of it."""

    @property
    def grid(self) -> NativeGrid:
        """Axes and CRS as stored."""

    @property
    def steps(self) -> int:
        """Length of its time axis."""

    @property
    def units(self) -> str:
        """Units the file states, or ""."""

    @property
    def long_name(self) -> str:
        """Long name the file states, or ""."""

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return stored rows and columns as float32, the file's own missing values as NaN."""


def unreadable(where: str, error: Exception) -> InputError:
    """Return the error for a file that cannot be read."""
    return InputError(
        f"{where}: cannot be read, truncated or not a raster ({error}); fetch the file again"
    )
