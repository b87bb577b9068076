"""Stocks of one layer from the surface down, at places and in years, from a table of soil layers.

``stock = SOC x bulk density x (1 - coarse fraction) x thickness``: g/kg times g/cm³ times cm is a
hundredth of kg/m² (Poeplau et al. 2017, *SOIL* 3, 61-66, eq. 6, with volumetric fragments).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.stock import KG_M2

from ..errors import InputError

Floats = NDArray[np.float64]

#: Centimetres of the layer that no sample need cover; what is covered stands for them.
GAP_CM = 1.0
#: Places are one where longitude and latitude agree to so many decimals (4: 11 m).
DECIMALS = 4
#: Dates of one profile are of one place where they lie no further apart than this, degrees: a place
#: that is found again by satellite is not found to the metre.
ONE_PLACE_DEG = 0.01


@dataclass(frozen=True)
class StockCounts:
    """What became of soil layers on their way to stocks.

    A *profile at a date* is all layers of one profile and year. It is left out as `undated`,
    `outside` the years, `lacking_density` (with it, its layers would reach) or `not_covered`
    (with a gap of more than :data:`GAP_CM`). `without_fragments` are kept, their unknown coarse
    fraction taken as 0, which makes the stock an upper bound; so are those `found_again` beside the
    place of their profile's first date, which is taken for theirs.
    """

    layers: int = 0
    profiles: int = 0
    undated: int = 0
    outside: int = 0
    lacking_density: int = 0
    not_covered: int = 0
    without_fragments: int = 0
    found_again: int = 0
    observations: int = 0
    sites: int = 0
    revisited: int = 0
    by_year: Mapping[int, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the counts as one line."""
        kept = self.profiles - self.undated - self.outside - self.lacking_density - self.not_covered
        parts = [
            f"{kept:,} of {self.profiles:,} profiles at a date give {self.observations:,} stocks "
            f"at {self.sites:,} sites, {self.revisited:,} of them at two dates or more"
        ]
        reasons = {
            "are undated, and cannot train yearly maps": self.undated,
            "lie outside the years": self.outside,
            "lack bulk density": self.lacking_density,
            f"leave a gap of more than {GAP_CM:g} cm": self.not_covered,
        }
        parts += [f"{count:,} {why}" for why, count in reasons.items() if count]
        if self.found_again:
            parts.append(
                f"{self.found_again:,} were found again beside where their profile was sampled "
                "first, and count as there"
            )
        if self.without_fragments:
            parts.append(
                f"{self.without_fragments:,} have no coarse fraction, which is taken as 0: their "
                "stocks are upper bounds"
            )
        return "; ".join(parts)


def site_stocks(
    table: pd.DataFrame, depth_cm: float, first: int, last: int
) -> tuple[pd.DataFrame, StockCounts]:
    """Return the stock of 0 to `depth_cm` at each place in each of the years it was sampled in.

    Where layers of a profile overlap, their densities are averaged; of a layer that reaches
    deeper its share counts. Profiles of one place and year are averaged. Dates of one profile are
    of one place, that of the first, unless they lie more than :data:`ONE_PLACE_DEG` apart.

    Parameters
    ----------
    table
        A clean profile table.
    depth_cm
        Lower end of the layer.
    first, last
        Years wanted.

    Returns
    -------
    stocks, counts
        One row for each place and year, sorted: ``site`` (longitude and latitude to
        :data:`DECIMALS` decimals), ``source``, ``lon``, ``lat``, ``year``, ``stock`` (kg/m²),
        ``profiles`` (how many were averaged).

    Raises
    ------
    InputError
        Nothing is left; the message says why.
    """
    found: list[dict[str, Any]] = []
    reasons = dict.fromkeys(("undated", "outside", "lacking_density", "not_covered"), 0)
    bare = profiles = 0
    names = ("year", "lon", "lat", "top_cm", "bottom_cm", "coarse_fraction")
    ordered = table.sort_values(["profile_id", "year", "top_cm", "bottom_cm"], kind="stable")
    year, lon, lat, top, bottom, coarse = (ordered[n].to_numpy(np.float64) for n in names)
    carbon = _carbon(ordered)
    source, profile = (ordered[n].to_numpy(object) for n in ("source", "profile_id"))
    for start, end in profiles_at_dates(profile.astype(str), year):
        profiles += 1
        when = year[start]
        if np.isnan(when) or not first <= when <= last:
            reasons["undated" if np.isnan(when) else "outside"] += 1
            continue
        layers = slice(start, end)
        stock, why = layer_stock(top[layers], bottom[layers], carbon[layers], depth_cm)
        if why:
            reasons[why] += 1
            continue
        bare += int(np.isnan(coarse[layers][top[layers] < depth_cm]).any())
        x, y = (round(float(v[start]), DECIMALS) + 0.0 for v in (lon, lat))
        one = {"profile_id": profile[start], "source": source[start], "lon": x, "lat": y}
        found.append({**one, "year": int(when), "stock": stock})
    counts = StockCounts(
        layers=len(table),
        profiles=profiles,
        undated=reasons["undated"],
        outside=reasons["outside"],
        lacking_density=reasons["lacking_density"],
        not_covered=reasons["not_covered"],
        without_fragments=bare,
    )
    if not found:
        raise InputError(
            f"no profile gives a stock of 0-{depth_cm:g} cm in {first} to {last}: "
            f"{counts.to_text()}. Stocks need soc, bulk_density and year of every layer down to "
            "that depth; name the file's columns under profiles.files.columns"
        )
    placed, again = _placed(pd.DataFrame(found))
    stocks = _averaged(placed)
    dates = stocks.groupby("site").size()
    by_year = {int(year): int(n) for year, n in stocks["year"].value_counts().sort_index().items()}
    return stocks, replace(
        counts,
        found_again=again,
        observations=len(stocks),
        sites=len(dates),
        revisited=int((dates > 1).sum()),
        by_year=by_year,
    )


def layer_stock(top: Floats, bottom: Floats, carbon: Floats, depth_cm: float) -> tuple[float, str]:
    """Return the stock (kg/m²) of 0 to `depth_cm` of one profile, and why there is none ("").

    Parameters
    ----------
    top, bottom
        Of its layers, ``(n,)`` cm.
    carbon
        Density of their carbon, g/kg times g/cm³, NaN where unknown, ``(n,)``.
    depth_cm
        Lower end of the stock's layer.
    """
    top, bottom = np.clip(top, 0, depth_cm), np.clip(bottom, 0, depth_cm)
    covered, unknown, mass = 0.0, 0.0, 0.0
    for above, below in pairwise(np.unique([*top, *bottom])):
        here = carbon[(top <= above) & (bottom >= below)]
        known = here[np.isfinite(here)]
        if known.size:
            covered += below - above
            mass += float(known.mean()) * (below - above)
        elif here.size:
            unknown += below - above
    if covered >= depth_cm - GAP_CM:
        return mass * depth_cm / covered * KG_M2, ""
    return np.nan, "lacking_density" if covered + unknown >= depth_cm - GAP_CM else "not_covered"


def _carbon(table: pd.DataFrame) -> Floats:
    soc, density, coarse = (
        table[name].to_numpy(np.float64)
        for name in ("soc_g_kg", "bulk_density_g_cm3", "coarse_fraction")
    )
    return np.asarray(soc * density * (1 - np.nan_to_num(coarse)))


def profiles_at_dates(profile: NDArray[np.str_], year: Floats) -> Iterator[tuple[int, int]]:
    """Yield where the rows of each profile and year begin and end, among ordered rows."""
    when = np.nan_to_num(year, nan=-np.inf)
    new = np.ones(len(profile), bool)
    new[1:] = (profile[1:] != profile[:-1]) | (when[1:] != when[:-1])
    yield from pairwise([*np.flatnonzero(new).tolist(), len(profile)])


def _placed(found: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return profiles at dates with the site of each, and how many lay beside it."""
    places = found.groupby("profile_id")[["lon", "lat"]]
    extent = places.transform("max") - places.transform("min")
    near = (extent <= ONE_PLACE_DEG + 10.0**-DECIMALS / 2).all(axis=1)
    first = places.transform("first")
    beside = near & (first != found[["lon", "lat"]]).any(axis=1)
    lon, lat = (found[name].where(~near, first[name]) for name in ("lon", "lat"))
    form = f"{{:.{DECIMALS}f}}".format
    site = lon.map(form) + "," + lat.map(form)
    return found.assign(lon=lon, lat=lat, site=site), int(beside.sum())


def _averaged(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each place and year, profiles averaged."""
    grouped = found.groupby(["site", "year"], sort=True)
    stocks = grouped.agg(
        source=("source", "min"),
        lon=("lon", "first"),
        lat=("lat", "first"),
        stock=("stock", "mean"),
        profiles=("stock", "size"),
    ).reset_index()
    return stocks[["site", "source", "lon", "lat", "year", "stock", "profiles"]]
