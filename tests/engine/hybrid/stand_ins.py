"""A process model simple enough to know by heart, and spies, for tests of hybrids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.hybrid.site_years import Drivers, Floats


@dataclass(frozen=True)
class PowerProcess:
    """Stock follows the input's ratio to that of the start year, to a power (0.3 by default).

    A negative power is a process whose drivers have the wrong sign.
    """

    power: float = 0.3
    kind: ClassVar[str] = "power"

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        driver = drivers.input_driver.T
        begun = np.where(start >= 0, start, 0)
        ratio = driver / driver[np.arange(len(start)), begun][:, None]
        paths = stock[:, None] * ratio**self.power
        years = np.arange(driver.shape[1])
        return np.where((start[:, None] >= 0) & (years >= start[:, None]), paths, np.nan)

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:
        return self

    def draws(self, count: int, seed: int) -> list[Self]:
        return [self] * count
