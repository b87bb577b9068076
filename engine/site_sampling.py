"""Drawing sites and years from the cube: stocks where sampled, covariates in every year.

Models in space and time need more of a place than its sampled years: what drives a process runs
through all of them. So each site gets a row for each year of the span, with the covariates of its
grid cell in that year, and a stock in those in which it was sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .cube.cube import Cube
from .errors import InputError
from .grid import Grid
from .profiles.declustering import decluster_weights
from .profiles.site_stocks import StockCounts, site_stocks
from .samples import Samples, feature_names
from .sampling import MOST_LACKING, lacking_on, located_on

Values = dict[str, NDArray[np.float32]]

#: Sites no further apart than this, degrees, stay together in cross-validation: they may be one
#: place that was sampled twice.
NEAR_DEG = 0.001


@dataclass(frozen=True)
class SiteSpan:
    """What a model in space and time is trained on; its attribute ``site_span``.

    Parameters
    ----------
    first, last
        Years of each site, all of them.
    depth_cm
        The stock is that of 0 to this depth.
    renamed
        Monthly variables whose feature columns begin with another name, as the twelve yearly
        variables of a climate that changes already have theirs.
    """

    first: int
    last: int
    depth_cm: float
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def years(self) -> tuple[int, ...]:
        """All years of the span."""
        return tuple(range(self.first, self.last + 1))


@dataclass(frozen=True)
class SiteReport:
    """What became of the profiles: as stocks, and where the cube is.

    Parameters
    ----------
    stocks
        From layers to stocks.
    off_grid, lacking
        Sites off the grid, and sites that lack a covariate in some year.
    lacking_by_variable
        How many lack each.
    sites, observations, revisited, by_year
        Of the sites kept.
    twins
        Sites kept that lie within :data:`NEAR_DEG` of one that was sampled at another date.
    """

    stocks: StockCounts
    off_grid: int
    lacking: int
    lacking_by_variable: Mapping[str, int]
    sites: int
    observations: int
    revisited: int
    by_year: Mapping[int, int]
    twins: int = 0

    def to_text(self) -> str:
        """Return the counts as one line."""
        parts = [self.stocks.to_text()]
        if self.off_grid:
            parts.append(f"{self.off_grid:,} sites lie off the grid")
        if self.lacking:
            worst = max(self.lacking_by_variable, key=lambda name: self.lacking_by_variable[name])
            most = f'most lack "{worst}" ({self.lacking_by_variable[worst]:,})'
            parts.append(f"{self.lacking:,} sites lack a covariate, {most}")
        dates = ", ".join(f"{year}: {count:,}" for year, count in self.by_year.items())
        parts.append(f"{self.sites:,} sites train the model ({dates})")
        if self.twins:
            parts.append(
                f"{self.twins:,} of them lie within {NEAR_DEG:g} degrees of one that was sampled "
                "in other years; where both are one place, give its profiles one identifier, or "
                "one pair of coordinates, so that they tell how it changed"
            )
        return "; ".join(parts)


def draw_sites(
    table: pd.DataFrame,
    cube: Cube,
    grid: Grid,
    variables: Sequence[str],
    span: SiteSpan,
    *,
    target: tuple[str, str] = ("stock", "kg m-2"),
    decluster_deg: float | None = None,
    also: Sequence[str] = (),
) -> tuple[Samples, SiteReport]:
    """Return a row for each site and year of the span; ``y`` is NaN in years without a sample.

    Values are exactly those that a map tile reads in the site's cell; each chunk of the cube is
    read once for all sites, all variables of a stack, and all years.

    Parameters
    ----------
    table
        A clean profile table.
    cube, grid, variables
        What is read, and at which cells; of a yearly variable that lacks a year its nearest.
    span
        Years and depth.
    target
        Name and units of ``y``.
    decluster_deg
        Weigh sites down where many share a cell this wide.
    also
        Static variables carried along without being features.

    Returns
    -------
    samples, report
        Rows by site, then year. Beside the features: ``location_id`` (the first of the sites
        within :data:`NEAR_DEG` of one another) and ``cell_lat``, the latitude of the cell's centre.

    Raises
    ------
    InputError
        No stocks, all of one date, no site on the grid, or a covariate is missing at most sites.
    """
    stocks, counts = site_stocks(table, span.depth_cm, span.first, span.last)
    if len(counts.by_year) < 2:
        raise InputError(
            f"all stocks of 0-{span.depth_cm:g} cm are of one year, {next(iter(counts.by_year))}: "
            f"what changes in time needs samples of two dates or more between {span.first} and "
            f"{span.last} ({counts.to_text()})"
        )
    sites = stocks.groupby("site", sort=True)[["source", "lon", "lat"]].first().reset_index()
    lon, lat = sites["lon"].to_numpy(float), sites["lat"].to_numpy(float)
    row, col, inside = located_on(grid, lon, lat, "sites")
    wanted = [*variables, *(name for name in also if name not in variables)]
    values = cube.at(lon, lat, grid, wanted, span.years, year_policy="nearest")
    lacking = _lacking(cube, values, variables, inside)
    usable = inside.copy()
    for missing in lacking.values():
        usable &= ~missing
    kept = np.flatnonzero(usable)
    features = _features(cube, {n: values[n] for n in variables}, span, kept)
    held = {name: np.repeat(values[name][kept], len(span.years)) for name in also}
    frame = _frame(sites.iloc[kept], span, grid, row[kept], col[kept], decluster_deg)
    frame["y"] = _stocks(stocks, sites["site"].to_numpy(str)[kept], span).ravel()
    joined = pd.concat([frame, pd.DataFrame({**features, **held})], axis=1)
    return (
        Samples(joined, tuple(features), target),
        _report(counts, inside, usable, lacking, frame),
    )


def _lacking(
    cube: Cube, values: Values, variables: Sequence[str], inside: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    """Return which sites on the grid lack each variable, in any month or year."""
    found = {}
    for name in variables:
        missing = lacking_on(values[name], inside)
        if missing.sum() > MOST_LACKING * inside.sum():
            source = cube.variable(name).source or "no source stated"
            raise InputError(
                f'covariate "{name}" ({source}) is missing in some year at {missing.sum():,} of '
                f"{inside.sum():,} sites: is its scale or nodata wrong, does it not cover the "
                "sites? Mend it in the cube's TOML (fill_radius_deg), or leave it out"
            )
        if missing.any():
            found[name] = missing
    return found


def _features(
    cube: Cube, values: Values, span: SiteSpan, kept: NDArray[np.intp]
) -> dict[str, NDArray[np.float32]]:
    """Return a column for each feature, a row for each site and year."""
    columns: dict[str, NDArray[np.float32]] = {}
    for name, array in values.items():
        time, here = cube.variable(name).time, array[kept]
        if time == "yearly":
            found = {name: here.ravel()}
        else:
            months = feature_names(span.renamed.get(name, name), time)
            parts = here.reshape(len(kept), -1)
            found = {m: np.repeat(parts[:, i], len(span.years)) for i, m in enumerate(months)}
        double = sorted(set(found) & set(columns))
        if double:
            raise InputError(
                f'two covariates give a column "{double[0]}": a monthly variable and a yearly one '
                "of its months; leave one of them out, or build it under another name"
            )
        columns |= found
    return columns


def _frame(
    sites: pd.DataFrame,
    span: SiteSpan,
    grid: Grid,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    decluster_deg: float | None,
) -> pd.DataFrame:
    """Return what samples say of each site and year beside covariates."""
    years, lon, lat = len(span.years), sites["lon"].to_numpy(float), sites["lat"].to_numpy(float)
    weight = np.ones(len(sites))
    if decluster_deg is not None:
        weight = decluster_weights(lon, lat, decluster_deg)
    repeated = {
        "profile_id": sites["site"].to_numpy(object),
        "location_id": sites["site"].to_numpy(object)[together(lon, lat)],
        "source": sites["source"].to_numpy(object),
        "lon": lon,
        "lat": lat,
        "weight": weight,
        "cell": row * grid.shape[1] + col,
        "cell_lat": _latitude(grid, row, col),
    }
    frame = pd.DataFrame({name: np.repeat(v, years) for name, v in repeated.items()})
    frame["year"] = np.tile(np.array(span.years, float), len(sites))
    frame["top_cm"], frame["bottom_cm"] = 0.0, float(span.depth_cm)
    return frame


def together(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return, for each place, the position of the first of those that stay together with it."""
    pairs = _near(lon, lat)
    shape = (len(lon), len(lon))
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    _, group = connected_components(graph, directed=False)
    _, first = np.unique(group, return_index=True)
    return np.asarray(first[group], np.intp)


def _near(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return pairs of places within :data:`NEAR_DEG`, ``(n, 2)``."""
    tree = cKDTree(np.stack([lon, lat], axis=1))
    found = tree.query_pairs(NEAR_DEG * (1 + 1e-9), p=np.inf, output_type="ndarray")
    return np.asarray(found, np.intp).reshape(-1, 2)


def _latitude(grid: Grid, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.float64]:
    x, y = grid.x_of(col), grid.y_of(row)
    if grid.is_geographic:
        return y
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return np.asarray(to_degrees.transform(x, y)[1])


def _stocks(stocks: pd.DataFrame, names: NDArray[np.str_], span: SiteSpan) -> NDArray[np.float64]:
    """Return stocks by site (sorted `names`) and year, NaN where there is no sample."""
    found = np.full((len(names), len(span.years)), np.nan)
    site = stocks["site"].to_numpy(str)
    place = np.minimum(np.searchsorted(names, site), max(len(names) - 1, 0))
    known = names[place] == site
    year = stocks["year"].to_numpy(int) - span.first
    found[place[known], year[known]] = stocks["stock"].to_numpy(float)[known]
    return found


def _report(
    counts: StockCounts,
    inside: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    lacking: Mapping[str, NDArray[np.bool_]],
    frame: pd.DataFrame,
) -> SiteReport:
    sampled = frame[frame["y"].notna()]
    dates = sampled.groupby("profile_id").size()
    by_year = sampled["year"].astype(int).value_counts().sort_index()
    years = sampled.groupby("profile_id")["year"].agg(frozenset)
    places = frame.drop_duplicates("profile_id")
    other = years.reindex(places["profile_id"]).to_numpy()
    pairs = _near(places["lon"].to_numpy(float), places["lat"].to_numpy(float))
    twins = {site for a, b in pairs if other[a] != other[b] for site in (int(a), int(b))}
    if len(by_year) < 2:
        raise InputError(
            "of the sites with covariates none is left at a second date: "
            f"{int((~inside).sum()):,} lie off the grid, {int((inside & ~usable).sum()):,} lack a "
            f"covariate ({', '.join(lacking) or 'none'})"
        )
    return SiteReport(
        stocks=counts,
        off_grid=int((~inside).sum()),
        lacking=int((inside & ~usable).sum()),
        lacking_by_variable={name: int(missing.sum()) for name, missing in lacking.items()},
        sites=int(usable.sum()),
        observations=len(sampled),
        revisited=int((dates > 1).sum()),
        by_year={int(year): int(n) for year, n in by_year.items()},
        twins=len(twins),
    )
