"""What a learner sees of a place and a year, where it should tell places and years apart.

Covariates of single years carry weather. A forest on them takes a warm year for a warm place, and
with few sampled dates any weather that happens to part them for time itself: between the dates its
stocks jump with the weather. Taken apart, the covariates' means over the years and their slopes
tell places apart, and how places change, and the calendar year alone tells time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .site_years import Floats, SiteYears


@dataclass(frozen=True)
class PlaceAndTime:
    """Means and slopes of yearly covariates beside static ones, and the calendar year.

    Parameters
    ----------
    first, last
        Calendar years of the means: those of the training data.
    since, until
        Calendar years of the slopes: those sampled in the training data.
    """

    first: int
    last: int
    since: int
    until: int

    @classmethod
    def of(cls, data: SiteYears) -> PlaceAndTime:
        """Return what suits training data."""
        sampled = np.flatnonzero(np.any(data.sampled, axis=0))
        ends = data.years[sampled[[0, -1]] if len(sampled) else [0, -1]]
        return cls(int(data.years[0]), int(data.years[-1]), int(ends[0]), int(ends[1]))

    def place(self, data: SiteYears) -> NDArray[np.float32]:
        """Return static covariates, means and slopes of yearly ones, ``(S, p + 2 q)`` float32.

        Missing years are left out: a mean is NaN where all are missing, a slope (by least squares,
        for each year) 0 where fewer than two are known.

        Raises
        ------
        InputError
            If `data` lacks one of the years.
        """
        values, known = _between(data, self.first, self.last)
        count = known.sum(axis=1)
        mean = np.where(count > 0, values.sum(axis=1) / np.maximum(count, 1), np.nan)
        values, known = _between(data, self.since, self.until)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        time = np.where(known, np.arange(values.shape[1])[None, :, None], 0.0)
        time = np.where(known, time - time.sum(axis=1, keepdims=True) / count, 0.0)
        squares = (time**2).sum(axis=1)
        slope = (time * values).sum(axis=1) / np.where(squares > 0, squares, 1.0)
        columns = [data.static, mean.astype(np.float32), slope.astype(np.float32)]
        return np.concatenate(columns, axis=1)

    def __call__(self, data: SiteYears) -> SiteYears:
        """Return the same sites and years with these covariates instead."""
        sites, years = data.stock.shape
        calendar = np.broadcast_to(data.years.astype(np.float32)[None, :, None], (sites, years, 1))
        means = tuple(f"mean of {name}" for name in data.yearly_names)
        slopes = tuple(f"slope of {name}" for name in data.yearly_names)
        return replace(
            data,
            static=self.place(data),
            yearly=calendar,
            static_names=(*data.static_names, *means, *slopes),
            yearly_names=("year",),
        )


def _between(data: SiteYears, first: int, last: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return yearly covariates of some years, 0 where missing, and where they are known."""
    offset = first - int(data.years[0])
    if offset < 0 or last > data.years[-1]:
        raise InputError(
            f"yearly covariates run from {data.years[0]} to {data.years[-1]}, but those from "
            f"{first} to {last} tell places apart: give all of these years"
        )
    values = data.yearly[:, offset : offset + last - first + 1].astype(np.float64)
    known = np.isfinite(values)
    return np.where(known, values, 0.0), known
