"""What a model uses its covariates for, asked of rows it did not learn from.

- *Permutation importance* (Breiman 2001; Fisher, Rudin & Dominici 2019, *JMLR* 20): by how much the
  squared error grows when a covariate's values are dealt to other rows. All months of a monthly
  covariate move together, as do the two ends of a layer. Covariates that vary together share what
  they are worth: each alone then seems worth less.
- *Partial dependence* (Friedman 2001) with *individual curves* (Goldstein et al. 2015): the mean
  predicted at places left out where one covariate is set to each value of a grid, by depth. Where a
  value never goes with the rest of a place, the curve is the model's guess and no more.

Both work for any model of rows whose features are columns, and ask it for predictions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .models.columns import DEPTH_FEATURES, column_name, resolve_feature
from .samples import Samples

Floats = NDArray[np.float64]
Depth = tuple[float, float]

#: What the two ends of a layer are called together.
DEPTH = "depth"
#: Values along a curve, at most; of a class covariate its most frequent classes.
GRID = 9
#: Depths that curves are made for, at most: from the first of the map to the last.
CURVE_DEPTHS = 3


@dataclass(frozen=True)
class ExplainSpec:
    """What to ask of a model.

    Parameters
    ----------
    columns
        Feature columns of each covariate, permuted together.
    grids
        Values at which curves are told, for covariates of one column.
    depths
        Intervals that curves are made for, cm.
    rows
        Rows of a fold that are permuted, at most.
    places
        Places of a fold that curves are made for, at most.
    seed
        Of which rows and places, and of permutations.
    """

    columns: Mapping[str, tuple[str, ...]]
    grids: Mapping[str, tuple[float, ...]]
    depths: tuple[Depth, ...]
    rows: int = 1000
    places: int = 60
    seed: int = 0


@dataclass(frozen=True)
class Explained:
    """What one model said of rows left out.

    Parameters
    ----------
    rows
        Positions of the rows that were permuted, ``(m,)``.
    error
        Their squared error of log(1 + value), ``(m,)``.
    permuted
        The same where each covariate is permuted, by its name, each ``(m,)``.
    curves
        Mean predicted on the original scale, by covariate: ``(depths, grid, places)``.
    """

    rows: NDArray[np.int64]
    error: Floats
    permuted: Mapping[str, Floats]
    curves: Mapping[str, Floats]


def explain_spec(model: Any, samples: Samples, seed: int = 0) -> ExplainSpec | None:
    """Return what a model can be asked; None if it is not one of covariates in columns.

    Such a model has ``importance`` and ``covariates``, as forests and boosted trees do.

    Parameters
    ----------
    model
        Untrained.
    samples
        All rows, whose covariates (and not targets) give the grids of curves.
    seed
        Of everything random.
    """
    names: tuple[str, ...] = tuple(getattr(model, "covariates", ()))
    if not names or not hasattr(model, "importance") or samples.patches is not None:
        return None
    columns = {
        name: tuple(column_name(*feature) for feature in resolve_feature(name, samples))
        for name in names
    }
    depths = model.emits.depths
    at = np.unique(np.linspace(0, len(depths) - 1, CURVE_DEPTHS).round().astype(int))
    return ExplainSpec(
        columns={**columns, DEPTH: DEPTH_FEATURES},
        grids={name: _grid(samples, own[0]) for name, own in columns.items() if len(own) == 1},
        depths=tuple(depths[i] for i in at),
        seed=seed,
    )


def explain(
    model: Any, held: Samples, positions: NDArray[np.int64], spec: ExplainSpec, fold: int
) -> Explained:
    """Ask a trained model about rows that it did not learn from.

    Parameters
    ----------
    model
        With ``predict_rows``.
    held
        Rows left out.
    positions
        Of those among all rows, ``(len(held),)``.
    spec
        What to ask.
    fold
        Which fold they are, for draws of its own.
    """
    rng = np.random.default_rng(np.random.SeedSequence([spec.seed, 0x1AB, fold]))
    drawn = np.sort(rng.permutation(len(held))[: spec.rows])
    rows = held.take(drawn)
    observed = np.log1p(np.maximum(rows.y, 0.0))

    def squared(asked: Samples) -> Floats:
        return np.asarray((_centre(model, asked) - observed) ** 2)

    permuted = {
        name: squared(_set(rows, own, rows.table[list(own)].to_numpy()[rng.permutation(len(rows))]))
        for name, own in spec.columns.items()
    }
    places = held.take(_one_of_each(held.table["profile_id"], rng)[: spec.places])
    return Explained(
        rows=positions[drawn],
        error=squared(rows),
        permuted=permuted,
        curves={name: _curves(model, places, name, spec) for name in spec.grids},
    )


def _curves(model: Any, places: Samples, name: str, spec: ExplainSpec) -> Floats:
    """Return what is predicted at each place, ``(depths, grid, places)``."""
    grid, (column,) = spec.grids[name], spec.columns[name]
    shape = (len(spec.depths), len(grid), len(places))
    depth, value, place = (at.ravel() for at in np.indices(shape))
    asked = places.take(place)
    ends = np.array(spec.depths)[depth]
    asked = _set(asked, DEPTH_FEATURES, ends)
    kind = places.table[column].dtype
    asked = _set(asked, (column,), np.array(grid, kind)[value][:, None])
    found = model.predict_rows(asked)[f"{places.target[0]}_mean"]
    return np.asarray(found, np.float64).reshape(shape)


def _centre(model: Any, rows: Samples) -> Floats:
    """Return what is predicted on the log scale: the centre where there is one, else the mean."""
    found, name = model.predict_rows(rows), rows.target[0]
    said = next(found[n] for s in ("logmean", "q50", "mean") if (n := f"{name}_{s}") in found)
    return np.asarray(np.log1p(np.maximum(said, 0.0)), np.float64)


def _set(rows: Samples, columns: tuple[str, ...], values: NDArray[Any]) -> Samples:
    """Return the rows with other values in some columns."""
    table = rows.table.assign(**{name: values[:, i] for i, name in enumerate(columns)})
    return Samples(table, rows.features, rows.target, rows.classes, rows.patches)


def _one_of_each(names: pd.Series, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the position of one row of each name, in random order."""
    order = rng.permutation(len(names))
    _, first = np.unique(names.to_numpy()[order].astype(str), return_index=True)
    found = order[first]
    return np.asarray(found[rng.permutation(len(found))], np.int64)


def _grid(samples: Samples, column: str) -> tuple[float, ...]:
    """Return values along which a covariate is told: quantiles, or frequent classes."""
    values = samples.table[column].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return ()
    if column not in samples.classes:
        return tuple(np.unique(np.quantile(values, np.linspace(0.02, 0.98, GRID))).tolist())
    classes, counts = np.unique(values, return_counts=True)
    return tuple(np.sort(classes[np.argsort(-counts, kind="stable")[:GRID]]).tolist())
