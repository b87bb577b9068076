"""Feature columns of models of covariates and depth: their names, in samples and over tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..samples import Samples, feature_names
from .protocol import Depth, Output, TileInputs

GLOBALSOILMAP_DEPTHS: tuple[Depth, ...] = (
    (0, 5),
    (5, 15),
    (15, 30),
    (30, 60),
    (60, 100),
    (100, 200),
)
DEPTH_FEATURES = ("top_cm", "bottom_cm")
#: Cells gathered into rows at once; bounds memory beside the tile itself.
CHUNK_CELLS = 65_536

#: A covariate, and which of its months (0-11) if it has any.
Feature = tuple[str, int | None]


def quantile_name(quantity: str, level: float) -> str:
    """Return the map variable of a quantile.

    >>> quantile_name("soc", 0.05)
    'soc_q05'
    """
    percent = round(100 * level, 6)
    return (
        f"{quantity}_q{int(percent):02d}" if percent == int(percent) else f"{quantity}_q{percent:g}"
    )


def mean_and_quantiles(
    target: tuple[str, str], quantiles: Sequence[float], words: Callable[[float], str] | None = None
) -> tuple[Output, ...]:
    """Return what a model maps: the mean of its target, and quantiles.

    `words` says what a quantile is called for people.
    """
    name, units = target
    encoding: Literal["content", "float"] = "content" if units == "g kg-1" else "float"
    told = words or (lambda q: f"{100 * q:g} % quantile")
    return (
        Output(f"{name}_mean", units, "mean", encoding, "arithmetic mean of the prediction"),
        *(Output(quantile_name(name, q), units, f"Q{q:g}", encoding, told(q)) for q in quantiles),
    )


def column_name(variable: str, month: int | None) -> str:
    """Return the feature column of a variable, or of one of its months (0-11)."""
    return variable if month is None else feature_names(variable, "monthly")[month]


def resolve_feature(variable: str, samples: Samples) -> tuple[Feature, ...]:
    """Return the features of a covariate: itself, or its twelve months.

    Raises
    ------
    InputError
        If the samples have none of it; names the nearest.
    """
    if variable in samples.features:
        return ((variable, None),)
    if feature_names(variable, "monthly")[0] in samples.features:
        return tuple((variable, month) for month in range(12))
    samples.matrix((variable,))  # raises, naming the nearest feature
    raise AssertionError("unreachable")


def sample_rows(features: tuple[Feature, ...], samples: Samples) -> NDArray[np.float32]:
    """Return covariates and, last, the two depths of each sample, ``(n, features + 2)``."""
    covariates = samples.matrix(tuple(column_name(*f) for f in features))
    depth = np.stack([samples.top, samples.bottom], axis=1).astype(np.float32)
    return np.ascontiguousarray(np.concatenate([covariates, depth], axis=1))


def tile_column(inputs: TileInputs, feature: Feature, year: int) -> NDArray[np.float32]:
    """Return one feature over the tile, flattened, without halo."""
    variable, month = feature
    values = inputs.values[variable]
    if month is not None:
        values = values[month]
    elif values.ndim == 3:
        values = values[year]
    if inputs.halo:
        values = values[inputs.halo : -inputs.halo, inputs.halo : -inputs.halo]
    return np.ascontiguousarray(values).reshape(-1)


def tile_chunks(
    inputs: TileInputs, features: Sequence[Feature], year: int, cells: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield `cells` of a tile in parts, each with its features, ``(features, cells)``."""
    columns = [tile_column(inputs, feature, year) for feature in features]
    for first in range(0, len(cells), CHUNK_CELLS):
        chunk = cells[first : first + CHUNK_CELLS]
        values = np.empty((len(columns), len(chunk)), np.float32)
        for i, column in enumerate(columns):
            values[i] = column[chunk]
        yield chunk, values
