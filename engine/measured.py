"""Predictors measured on the soil layer itself, beside covariates that a grid has everywhere.

They fill gaps in profiles; a map would need a grid of each, so that models with them are assessed
and not mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError, did_you_mean
from .profiles.schema import PROPERTIES
from .samples import Samples

#: Clay and silt together, % by mass: what is not sand.
FINE = "clay_silt_pct"
#: What may be named.
MEASURED: tuple[str, ...] = (FINE, *PROPERTIES)


def check_measured(names: Sequence[str], where: str) -> None:
    """Refuse a name that is none of :data:`MEASURED`; `where` is told in the error."""
    for name in names:
        if name not in MEASURED:
            raise InputError(
                f'{where}: no measured predictor "{name}": {did_you_mean(name, MEASURED)}'
            )


def measured_values(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a measured predictor of each row of a profile table, NaN where unknown, ``(n,)``."""
    if name != FINE:
        values = table[name] if name in table else pd.Series(np.nan, table.index)
        return values.to_numpy(np.float64)
    clay, sand, silt = (table[c].to_numpy(np.float64) for c in ("clay_pct", "sand_pct", "silt_pct"))
    return np.where(np.isfinite(sand), 100.0 - sand, clay + silt)


def with_measured(samples: Samples, names: Sequence[str]) -> Samples:
    """Return the rows in which all these are known, with each as a feature (float32)."""
    columns = {name: measured_values(samples.table, name) for name in names}
    known = np.isfinite(samples.y)
    for values in columns.values():
        known &= np.isfinite(values)
    told = {name: values.astype(np.float32) for name, values in columns.items()}
    features = (*samples.features, *(name for name in names if name not in samples.features))
    found = replace(samples, table=samples.table.assign(**told), features=features)
    return found.take(known)
