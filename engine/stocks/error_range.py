"""How far a map's errors go together: stated, or read off the residuals of its validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..assess.assessment import Assessment
from ..errors import InputError
from .residual_range import fit_range

#: Places that an estimate needs.
FEWEST_PLACES = 100


@dataclass(frozen=True)
class ErrorRange:
    """Correlation of errors in space: ``(1 - nugget) exp(-distance / length)``.

    Parameters
    ----------
    length_km
        L: the correlation falls to 0.37 of its start at this distance, to 0.05 at three times it.
    nugget
        Share of the variance without any correlation in space, 0 to 1.
    source
        Where the two come from, for people.
    """

    length_km: float
    nugget: float = 0.0
    source: str = "stated"

    def __post_init__(self) -> None:
        if not (0 < self.length_km <= 40_000):
            raise InputError(
                f"range of errors: expected km above 0 (up to 40000), found {self.length_km:g}"
            )
        if not 0 <= self.nugget <= 1:
            raise InputError(f"nugget of errors: expected 0 to 1, found {self.nugget:g}")

    def to_text(self) -> str:
        """Return the correlation in words."""
        return (
            f"errors correlated over {self.length_km:,.0f} km (exponential), "
            f"{100 * self.nugget:.0f} % of their variance without correlation; {self.source}"
        )


def error_range(assessment: Assessment, seed: int = 0) -> ErrorRange | None:
    """Estimate how far errors go together from out-of-fold residuals of a validation.

    Residuals are divided by half the width of their interval, where there is one, so that large
    stocks do not drown the others; one layer of each place counts, that nearest the surface. Those
    of the split by spatial blocks are taken: near neighbours are then out of sight, as they are
    where a map has no profiles.

    Returns
    -------
    ErrorRange or None
        None where there are fewer than :data:`FEWEST_PLACES` places.
    """
    splits = list(dict.fromkeys(assessment.metrics["split"]))
    if not splits:
        return None
    split = "block" if "block" in splits else str(splits[0])
    table = assessment.out_of_fold(split)
    if not {"lon", "lat", "obs", "mean"} <= set(table.columns):
        return None
    residual = (table["obs"] - table["mean"]).to_numpy(np.float64)
    if {"lower", "upper"} <= set(table.columns) and table["upper"].notna().any():
        half = 0.5 * (table["upper"] - table["lower"]).to_numpy(np.float64)
        residual = np.divide(residual, half, out=np.full_like(residual, np.nan), where=half > 0)
    depth = table["top_cm"] if "top_cm" in table.columns else pd.Series(0.0, table.index)
    told = table[["lon", "lat"]].assign(depth=depth, residual=residual).dropna()
    one = told.sort_values("depth", kind="stable").groupby(["lon", "lat"], sort=True).first()
    if len(one) < FEWEST_PLACES:
        return None
    lon, lat = (one.index.get_level_values(i).to_numpy(np.float64) for i in (0, 1))
    length, nugget = fit_range(lon, lat, one["residual"].to_numpy(np.float64), seed)
    source = f"estimated from the residuals of the {split} validation at {len(one):,} places"
    return ErrorRange(length, nugget, source)
