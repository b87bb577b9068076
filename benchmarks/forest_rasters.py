"""Invented covariates and a forest for the benchmark of walking forests over rasters.

Real covariates at their own resolution are rough: in the 90 m rasters of Edgeroi the ranks of
pixels in a square of 8 × 8 scatter by 0.10 (relief) to 0.58 (Landsat) of their standard deviation
over all. The fields here have power spectra that fall with the wave number to a power, which is
chosen so that they cover that range: 0.07 to 0.66.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: Powers of the spectra of twelve bands at the map's own resolution, from rough to smooth.
ROUGH = (2.0, 2.0, 2.0, 2.3, 2.3, 2.6, 2.6, 3.0, 3.0, 3.0, 3.5, 3.5)
#: At 250 m: of four bands at that resolution, and of eight of climate, whose cells have 4 km.
FINE = (2.0, 2.3, 2.6, 3.0)
CLIMATE, CLIMATE_BANDS, CELLS_A_CELL = 3.0, 8, 16
SAMPLES = 5000


@dataclass(frozen=True)
class Raster:
    """Covariates ``(bands, y, x)``, NaN in the sea, and samples of them with their target.

    `scatter` is that of ranks in squares of 8 × 8 cells, over all of the square, for each band.
    """

    bands: Floats
    rows: Floats
    target: NDArray[np.float64]
    scatter: list[float]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Cells with all covariates, ``(y, x)``."""
        return ~np.isnan(self.bands).any(axis=0)


def make_raster(case: str, side: int, part: int, seed: int = 0) -> Raster:
    """Return the top `part` rows of a square of `side`: ``rough`` bands, or ``coarse`` climate.

    Samples are drawn from the whole square. About a quarter of it is sea.
    """
    rng = np.random.default_rng(seed)
    if case == "rough":
        bands = [_field(side, power, rng) for power in ROUGH]
    else:
        coarse = side // CELLS_A_CELL
        bands = [_bilinear(_field(coarse, CLIMATE, rng), side) for _ in range(CLIMATE_BANDS)]
        bands += [_field(side, power, rng) for power in FINE]
    square = np.stack(bands)
    sea = _field(side, 4.0, rng) < -0.7
    at = rng.choice(side * side, SAMPLES, replace=False)
    rows = np.ascontiguousarray(square.reshape(len(bands), -1).T[at])
    signal = 2.5 + 0.4 * rows[:, 0] - 0.3 * rows[:, 8] + 0.3 * np.sin(2 * rows[:, 2])
    signal += 0.5 * rows[:, 10] * (rows[:, 5] > 0) + 0.2 * rows[:, 4]
    target = np.exp(signal + 0.5 * rng.standard_normal(SAMPLES))
    scatter = _scatter(square)
    square[:, sea] = np.nan
    return Raster(np.ascontiguousarray(square[:, :part]), rows, target, scatter)


def _scatter(bands: Floats, square: int = 8) -> list[float]:
    found = []
    for band in bands:
        ranks = np.argsort(np.argsort(band, axis=None)).reshape(band.shape) / band.size
        height, width = (size // square * square for size in band.shape)
        parts = ranks[:height, :width].reshape(height // square, square, width // square, square)
        found.append(float(np.sqrt(parts.var(axis=(1, 3)).mean()) / ranks.std()))
    return found


def _field(side: int, power: float, rng: np.random.Generator) -> Floats:
    """Return a field of mean 0 and variance 1, whose spectrum falls as ``k**-power``."""
    wave = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    wave[0, 0] = np.inf
    noise = np.fft.rfft2(rng.standard_normal((side, side)))
    field = np.fft.irfft2(noise * wave ** (-power / 2), s=(side, side))
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _bilinear(coarse: Floats, side: int) -> Floats:
    """Return a coarse field on a finer grid, linear between centres of cells."""
    at = (np.arange(side) + 0.5) * len(coarse) / side - 0.5
    low = np.clip(np.floor(at).astype(int), 0, len(coarse) - 2)
    share = (at - low).astype(np.float32)
    rows = coarse[low] * (1 - share)[:, None] + coarse[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)
