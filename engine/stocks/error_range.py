"""How far a map's errors go together: stated, or read off the residuals of its validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..assess.assessment import Assessment
from ..errors import InputError
from .residual_range import correlogram

Floats = NDArray[np.float64]

#: Places that an estimate needs.
FEWEST_PLACES = 100
#: Lengths that structures may have, km, and the share that one must have.
LADDER_KM = np.geomspace(5, 2500, 28)
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class ErrorRange:
    """Correlation of errors in space: a sum of ``share * exp(-distance / length)``.

    Parameters
    ----------
    structures
        Share of the variance, 0 to 1, and length (km) of each: a correlation falls to 0.37 of its
        start at its length, to 0.05 at three times it. What shares leave to 1 has no correlation
        in space (nugget).
    source
        Where they come from, for people.
    """

    structures: tuple[tuple[float, float], ...]
    source: str = "stated"

    @classmethod
    def of(cls, length_km: float, nugget: float = 0.0) -> ErrorRange:
        """Return one structure.

        Raises
        ------
        InputError
            A length that is not above 0, or a nugget that is not within 0 to 1.
        """
        if not (0 < length_km <= 40_000):
            raise InputError(
                f"range of errors: expected km above 0 (up to 40000), found {length_km:g}"
            )
        if not 0 <= nugget <= 1:
            raise InputError(f"nugget of errors: expected 0 to 1, found {nugget:g}")
        return cls(((1 - nugget, length_km),))

    @property
    def least_km(self) -> float:
        """The least length."""
        return min((km for _, km in self.structures), default=1.0)

    @property
    def nugget(self) -> float:
        """Share of the variance without correlation."""
        return max(0.0, 1 - sum(share for share, _ in self.structures))

    def to_text(self) -> str:
        """Return the correlation in words."""
        told = [f"{100 * share:.0f} % over {km:,.0f} km" for share, km in self.structures]
        parts = [*told, f"{100 * self.nugget:.0f} % without"]
        return f"correlation in space (of their variance {', '.join(parts)}), {self.source}"


def fit_structures(lon: Floats, lat: Floats, residual: Floats, seed: int = 0) -> ErrorRange:
    """Return the structures whose sum fits the correlogram of residuals best.

    Least squares weighted by pairs, shares not negative (Lawson & Hanson 1974), over a ladder of
    lengths; lengths that stand beside each other become one. Structures below 1 % are left out.

    Raises
    ------
    InputError
        Too few residuals.
    """
    from scipy.optimize import nnls

    at, found, pairs = correlogram(lon, lat, residual, seed)
    weight = np.sqrt(pairs)
    basis = np.exp(-at[:, None] / LADDER_KM)
    shares, _ = nnls(basis * weight[:, None], found * weight)
    structures: list[tuple[float, float]] = []
    before = False
    for share, km in zip(shares.tolist(), LADDER_KM.tolist(), strict=True):
        if share > 0 and before:
            held, length = structures[-1]
            structures[-1] = (held + share, (held * length + share * km) / (held + share))
        elif share > 0:
            structures.append((share, km))
        before = share > 0
    structures = [(share, km) for share, km in structures if share >= LEAST_SHARE]
    # nearest pairs may be duplicates: what is above 1 comes off the shortest structure
    above = sum(share for share, _ in structures) - 1
    if above > 0:
        first, km = structures[0]
        structures[0] = (max(first - above, 0.0), km)
    return ErrorRange(tuple(structures))


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
    found = fit_structures(lon, lat, one["residual"].to_numpy(np.float64), seed)
    source = f"estimated from the residuals of the {split} validation at {len(one):,} places"
    return replace(found, source=source)
