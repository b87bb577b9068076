"""Rows of harmonised soil layers seen as whole profiles: stocks over depth, and beta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.beta import BetaFlag, fit_beta

from ..assess.splits import ranks
from ..samples import Samples
from .beta_settings import FIT_DEPTHS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WholeProfiles:
    """Profiles at a date, each with its layers of 20 cm.

    Parameters
    ----------
    of_row
        The profile of each row of the samples, ``(n,)``.
    first
        A row of each profile, its uppermost, ``(p,)``.
    stock
        Stock of each of :data:`FIT_DEPTHS`, kg/m², NaN where unknown, ``(p, 5)``.
    """

    of_row: NDArray[np.int64]
    first: NDArray[np.int64]
    stock: Floats

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Profiles whose stock is known in every layer and not 0, ``(p,)``."""
        return np.asarray(np.isfinite(self.stock).all(axis=1) & (self.stock.sum(axis=1) > 0))

    def beta(self, form: Literal["normalised", "raw"]) -> tuple[Floats, NDArray[np.uint8]]:
        """Return beta of each profile, NaN where it is not complete, and its flags, ``(p,)``.

        See :func:`edaphos.kernels.beta.fit_beta`. The raw form is fitted to the share of the whole,
        which is 1, as well: normalised, that one holds for any beta.
        """
        known = self.complete
        total = np.where(known, self.stock.sum(axis=1), np.nan)
        shares = np.cumsum(self.stock, axis=1) / total[:, None]
        bottoms = np.array([bottom for _, bottom in FIT_DEPTHS])
        last = len(bottoms) - (form == "normalised")
        return fit_beta(bottoms[:last], shares[:, :last], form, total_cm=float(bottoms[-1]))


def whole_profiles(samples: Samples) -> WholeProfiles:
    """Return the profiles that rows of layers are of; rows of other depths belong to none's layers.

    Rows of one profile and year are one; of rows that repeat a depth the last counts.
    """
    table = samples.table
    year = np.nan_to_num(table["year"].to_numpy(np.float64), nan=-1.0)
    keys = np.stack([ranks(table["profile_id"]).astype(np.float64), year], axis=1)
    names, of_row = np.unique(keys, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1).astype(np.int64)
    stock = np.full((len(names), len(FIT_DEPTHS)), np.nan)
    top, bottom, y = samples.top, samples.bottom, samples.y
    for d, (upper, lower) in enumerate(FIT_DEPTHS):
        rows = (top == upper) & (bottom == lower)
        stock[of_row[rows], d] = y[rows]
    order = np.lexsort((top, of_row))
    _, where = np.unique(of_row[order], return_index=True)
    return WholeProfiles(of_row, order[where], stock)


def falling(beta: Floats, flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which profiles' carbon falls with depth, so that their beta may be learned, ``(p,)``.

    A beta at an end of the range that is sought says no more than that it lies beyond.
    """
    unfit = int(BetaFlag.NOT_FALLING | BetaFlag.AT_BOUND | BetaFlag.UNKNOWN)
    return np.asarray(np.isfinite(beta) & ((flags & unfit) == 0))
