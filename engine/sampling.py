"""Drawing training rows from the cube: each layer gets the values of its grid cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import Transformer

from .cube.cube import Cube
from .cube.layout import Stack
from .errors import InputError, did_you_mean
from .grid import Grid
from .samples import SOC_TARGET, Samples, Target, feature_columns, feature_names
from .status import Status
from .years import YearPolicy, values_at

#: Share of soil layers that one covariate may cost before it is refused.
MOST_LACKING = 0.5


@dataclass(frozen=True)
class SamplingReport:
    """What became of the rows: lacking the target, off the grid, lacking a covariate, or kept.

    And of their years: those that yearly covariates lack, and undated ones.
    """

    rows: int
    off_grid: int
    lacking: int
    kept: int
    lacking_by_variable: dict[str, int]
    years_outside: int = 0
    years_undated: int = 0
    lacking_target: int = 0
    target: str = "soc_g_kg"

    def to_text(self) -> str:
        """Return the counts as one line."""
        parts = [f"{self.kept:,} of {self.rows:,} soil layers get covariates"]
        if self.lacking_target:
            parts.append(f'{self.lacking_target:,} have no "{self.target}"')
        if self.off_grid:
            parts.append(f"{self.off_grid:,} lie off the grid")
        if self.lacking:
            worst = max(self.lacking_by_variable, key=lambda name: self.lacking_by_variable[name])
            most = f'most lack "{worst}" ({self.lacking_by_variable[worst]:,})'
            parts.append(f"{self.lacking:,} lack a covariate, {most}")
        if self.years_outside or self.years_undated:
            parts.append(
                f"yearly covariates: {self.years_outside:,} layers lie in years they lack, "
                f"{self.years_undated:,} are undated"
            )
        return "; ".join(parts)


def draw_samples(
    table: pd.DataFrame,
    cube: Cube,
    grid: Grid,
    covariates: Sequence[str],
    *,
    target: Target = SOC_TARGET,
    weight: NDArray[np.float64] | None = None,
    also: Sequence[str] = (),
    years: YearPolicy | None = None,
) -> tuple[Samples, SamplingReport]:
    """Join soil layers with the covariates of the grid cells that hold them.

    The values are exactly those a map tile reads there (``Cube.at``), and the same rule decides
    what is usable: a row lacking any covariate that is not a declared seasonal gap is left out.

    Parameters
    ----------
    table
        A clean profile table.
    cube, grid, covariates
        What is read, and at which cells.
    target
        Quantity, its column in `table`, its units; rows without a value are left out.
    weight
        Declustering weight of each row; 1 by default.
    also
        Further cube variables to carry along without being features (zones for the assessment).
    years
        What yearly covariates are at undated layers, and in years they lack.
    """
    if len(table) == 0:
        raise InputError("no soil layer is left to learn from; the QA report tells why")
    quantity, column, units = target
    rows, (table, weight) = len(table), _with_target(table, column, weight)
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    row, col, inside = located_on(grid, lon, lat, "soil layers")
    wanted = [*covariates, *(name for name in also if name not in covariates)]
    year = table["year"].to_numpy(float)
    values, substituted = values_at(cube, lon, lat, grid, wanted, year, years or YearPolicy())
    times = {name: cube.variable(name).time for name in wanted}
    features = feature_columns({name: values[name] for name in covariates}, times)
    usable, lacking = inside.copy(), {}
    for name in covariates:
        missing = lacking_on(values[name], inside)
        if cube.variable(name).seasonal_gap or not missing.any():
            continue
        usable &= ~missing
        lacking[name] = count = int(missing.sum())
        if count > MOST_LACKING * inside.sum():
            source = cube.variable(name).source or "no source stated"
            raise InputError(
                f'covariate "{name}" ({source}) is missing '
                f"at {count:,} of {int(inside.sum()):,} soil layers: is its scale or nodata wrong, "
                "does it not cover the profiles? Mend it, declare seasonal_gap, or leave it out"
            )
    joined = {
        "y": table[column].to_numpy(np.float64),
        "weight": np.ones(len(table)) if weight is None else weight,
        "cell": row * grid.shape[1] + col,
        **features,
        **{name: values[name] for name in wanted if name not in covariates},
    }
    kept = pd.concat([table.reset_index(drop=True), pd.DataFrame(joined)], axis=1)[usable]
    kept = kept.reset_index(drop=True)
    kept["weight"] /= kept["weight"].mean()
    report = SamplingReport(
        rows=rows,
        off_grid=int((~inside).sum()),
        lacking=int((inside & ~usable).sum()),
        kept=len(kept),
        lacking_by_variable=lacking,
        years_outside=substituted.outside,
        years_undated=substituted.undated,
        lacking_target=rows - len(table),
        target=column,
    )
    classes = [
        column
        for name in covariates
        if cube.variable(name).kind == "class"
        for column in feature_names(name, times[name])
    ]
    return Samples(kept, tuple(features), (quantity, units), tuple(classes)), report


def located_on(
    grid: Grid, lon: NDArray[np.float64], lat: NDArray[np.float64], what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return row and column of places' cells, and which lie on the grid: ``Grid.locate``.

    Raises
    ------
    InputError
        None does; `what` names them.
    """
    row, col, inside = grid.locate(lon, lat)
    if not inside.any():
        raise InputError(
            f'none of the {len(lon):,} {what} lies on the grid "{grid.name}": they span '
            f"longitude {lon.min():.2f} to {lon.max():.2f}, latitude {lat.min():.2f} to "
            f"{lat.max():.2f}; check the grid's bounds and whether lon and lat are swapped"
        )
    return row, col, inside


def lacking_on(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which places on the grid lack a value, ``(n, ...)``, in any month or year."""
    return np.asarray(np.isnan(values).reshape(len(values), -1).any(axis=1) & inside)


def _with_target(
    table: pd.DataFrame, column: str, weight: NDArray[np.float64] | None
) -> tuple[pd.DataFrame, NDArray[np.float64] | None]:
    """Return the rows that have a value of the target, and their weights."""
    if column not in table:
        raise InputError(f'profiles have no column "{column}": {did_you_mean(column, table)}')
    known = np.isfinite(table[column].to_numpy(np.float64))
    if not known.any():
        raise InputError(
            f'none of the {len(table):,} soil layers has a value of "{column}", which the model '
            "learns; name the file's column for it under profiles.files.columns"
        )
    return table[known], None if weight is None else weight[known]


def land_test(cube: Cube) -> Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]] | None:
    """Return a test whether points lie on land, by the cube's soil mask; None if it has none."""
    name = cube.manifest.masks.soil_mask
    if not name:
        return None
    grid = Grid(cube.manifest.stacks[cube.variable(name).stack].geobox, name=name)

    def on_land(lon: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.bool_]:
        codes = cube.at(lon, lat, grid, [name])[name]
        return np.asarray(np.isfinite(codes) & (codes != Status.SEA))

    return on_land


def check_covariates(cube: Cube, grid: Grid, covariates: Sequence[str]) -> None:
    """Refuse covariates that the cube lacks or that lie wholly outside the grid."""
    for name in covariates:
        if name not in cube.manifest.variables:
            raise InputError(
                f'{cube.path}: the model needs "{name}" and the cube lacks it; '
                f"{did_you_mean(name, cube.manifest.variables)}"
            )
    for name in covariates:
        stack = cube.manifest.stacks[cube.variable(name).stack]
        source, target = _extent(stack), extent_in_degrees(grid)
        if (
            source[2] <= target[0]
            or target[2] <= source[0]
            or source[3] <= target[1]
            or (target[3] <= source[1])
        ):
            raise InputError(
                f'covariate "{name}" ({cube.variable(name).source or stack.name}) spans '
                f"{_degrees(source)} and the grid {_degrees(target)}: they do not overlap. "
                "Check [grid] bounds, or leave the covariate out"
            )


def _extent(stack: Stack) -> tuple[float, float, float, float]:
    a, _, c, _, e, f = stack.transform
    rows, cols = stack.shape
    return _to_degrees(stack.crs, c, f + rows * e, c + cols * a, f)


def extent_in_degrees(grid: Grid) -> tuple[float, float, float, float]:
    """Return the western, southern, eastern and northern end of a grid, WGS 84 degrees."""
    (x, y), (dx, dy), (rows, cols) = grid.origin, grid.resolution, grid.shape
    return _to_degrees(grid.crs.to_wkt(), x, y - rows * dy, x + cols * dx, y)


def _to_degrees(
    crs: str, west: float, south: float, east: float, north: float
) -> tuple[float, float, float, float]:
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    found = transformer.transform_bounds(west, south, east, north, densify_pts=21)
    bounds = tuple(float(v) for v in found)
    return bounds if np.isfinite(bounds).all() else (-180.0, -90.0, 180.0, 90.0)  # type: ignore[return-value]


def _degrees(extent: tuple[float, float, float, float]) -> str:
    west, south, east, north = extent
    return f"{west:.2f} to {east:.2f} E, {south:.2f} to {north:.2f} N"
