"""Feature columns of models of covariates and depth: their names, in samples and over tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..samples import Samples, feature_names
from .protocol import Depth, TileInputs

GLOBALSOILMAP_DEPTHS: tuple[Depth, ...] = (
    (0, 5),
    (5, 15),
    (15, 30),
    (30, 60),
    (60, 100),
    (100, 200),
)
DEPTH_FEATURES = ("top_cm", "bottom_cm")

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
