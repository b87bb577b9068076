"""What the engine knows of a process model: it carries stocks through years."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .site_years import Drivers, Floats


@runtime_checkable
class Process(Protocol):
    """A process model of the carbon stock of one layer. Any class with these will do."""

    kind: ClassVar[str]

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        """Carry stocks from a year on.

        Parameters
        ----------
        drivers
            Of S sites and Y years.
        start
            Position of the year at whose end `stock` stands, ``(S,)``; -1 for none.
        stock
            ``(S,)`` kg/m².

        Returns
        -------
        Array
            ``(S, Y)`` kg/m² at the end of each year; the stock itself in the start year; NaN before
            it, and in all years where there is no start or no input holds the stock.
        """

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:
        """Return the model fitted to stocks ``(S, Y)``, NaN where not observed.

        Every site with two or more dates counts, begun from its first.
        """

    def draws(self, count: int, seed: int) -> list[Self]:
        """Return `count` models drawn from what the calibration leaves open.

        The model itself, each time, where nothing was calibrated.
        """
