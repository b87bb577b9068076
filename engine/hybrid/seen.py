"""What a learner sees of a place and a year, where it should tell places and years apart.

Covariates of single years carry weather. A forest on them takes a warm year for a warm place, and
with few sampled dates any weather that happens to part them for time itself: between the dates its
stocks jump with the weather. Split in two, the covariates' means over the years tell places apart,
and the calendar year alone tells time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .site_years import SiteYears


@dataclass(frozen=True)
class PlaceAndTime:
    """Means of yearly covariates over some years beside static ones, and the calendar year.

    Parameters
    ----------
    first, last
        Calendar years of the means: those of the training data.
    """

    first: int
    last: int

    @classmethod
    def of(cls, data: SiteYears) -> PlaceAndTime:
        """Return what sees with means over the years of `data`."""
        return cls(int(data.years[0]), int(data.years[-1]))

    def place(self, data: SiteYears) -> NDArray[np.float32]:
        """Return static covariates and means of yearly ones, ``(S, p + q)`` float32.

        A mean leaves missing years out.

        Raises
        ------
        InputError
            If `data` lacks one of the years.
        """
        offset = self.first - int(data.years[0])
        if offset < 0 or self.last > data.years[-1]:
            raise InputError(
                f"yearly covariates run from {data.years[0]} to {data.years[-1]}, but their means "
                f"from {self.first} to {self.last} tell places apart: give all of these years"
            )
        values = data.yearly[:, offset : offset + self.last - self.first + 1].astype(np.float64)
        known = np.isfinite(values)
        total, count = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return np.concatenate([data.static, means.astype(np.float32)], axis=1)

    def __call__(self, data: SiteYears) -> SiteYears:
        """Return the same sites and years with these covariates instead."""
        sites, years = data.stock.shape
        calendar = np.broadcast_to(data.years.astype(np.float32)[None, :, None], (sites, years, 1))
        return replace(
            data,
            static=self.place(data),
            yearly=calendar,
            static_names=(*data.static_names, *(f"mean of {name}" for name in data.yearly_names)),
            yearly_names=("year",),
        )
