"""Yearly summaries of monthly temperature and rain.

Definitions are WorldClim's bioclimatic variables (O'Donnell & Ignizio 2012, USGS Data Series 691)
where these need monthly means and totals only. Extremes here are of monthly **means**, not of the
monthly maxima and minima of bio05 to bio07. A cell with any month missing is missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Months = NDArray[np.floating]
Cells = NDArray[np.float64]


def annual_mean(months: Months) -> Cells:
    """Return the mean of twelve months, ``(12, ...) -> (...)`` (bio01)."""
    return np.asarray(months.astype(np.float64).sum(axis=0) / 12)


def annual_sum(months: Months) -> Cells:
    """Return the sum of twelve months (bio12)."""
    return np.asarray(months.astype(np.float64).sum(axis=0))


def highest(months: Months) -> Cells:
    """Return the largest month (bio13 for rain)."""
    return np.asarray(months.astype(np.float64).max(axis=0))


def lowest(months: Months) -> Cells:
    """Return the smallest month (bio14 for rain)."""
    return np.asarray(months.astype(np.float64).min(axis=0))


def spread(months: Months) -> Cells:
    """Return the warmest minus the coldest month."""
    return highest(months) - lowest(months)


def seasonality(months: Months) -> Cells:
    """Return the sample standard deviation over months (bio04 is 100 times that)."""
    return np.asarray(months.astype(np.float64).std(axis=0, ddof=1))


def rain_seasonality(months: Months) -> Cells:
    """Return the coefficient of variation in percent, of rain + 1 mm as in bio15."""
    return 100 * seasonality(months) / (1 + annual_mean(months))
