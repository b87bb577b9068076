"""Training rows: soil layers with the covariates of the grid cell that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError, did_you_mean

#: A quantity that models learn: its name, its column in a profile table, its units.
Target = tuple[str, str, str]
SOC_TARGET: Target = ("soc", "soc_g_kg", "g kg-1")


@dataclass(frozen=True)
class Samples:
    """A table with one row for each soil layer.

    Parameters
    ----------
    table
        Columns ``profile_id`` and ``source`` (str), ``lon``, ``lat`` (degrees), ``year`` (float,
        NaN if undated), ``top_cm``, ``bottom_cm``, ``y`` (target on the original scale), ``weight``
        (declustering weight, mean 1), ``cell`` (int64, global index of the grid cell), and one
        float32 column for each feature, monthly variables as ``name_01`` … ``name_12``.
    features
        Names of the feature columns, in the order models use.
    target
        Name and units of ``y``, such as ``("soc", "g kg-1")``.
    classes
        The features that hold class codes, whose order means nothing.
    patches
        Folder of the patches around the samples, if they have any (``engine/conv/patches.py``);
        the column ``patch`` (int64) says which is whose.
    """

    table: pd.DataFrame
    features: tuple[str, ...]
    target: tuple[str, str] = ("soc", "g kg-1")
    classes: tuple[str, ...] = ()
    patches: Path | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def y(self) -> NDArray[np.float64]:
        """Target on the original scale, shape ``(n,)``."""
        return self.table["y"].to_numpy(np.float64)

    @property
    def weight(self) -> NDArray[np.float64]:
        """Sample weight, shape ``(n,)``, mean 1."""
        return self.table["weight"].to_numpy(np.float64)

    @property
    def top(self) -> NDArray[np.float64]:
        """Upper depth in cm."""
        return self.table["top_cm"].to_numpy(np.float64)

    @property
    def bottom(self) -> NDArray[np.float64]:
        """Lower depth in cm."""
        return self.table["bottom_cm"].to_numpy(np.float64)

    def matrix(self, features: tuple[str, ...] | None = None) -> NDArray[np.float32]:
        """Return the feature columns as float32, shape ``(n, len(features))``."""
        names = self.features if features is None else features
        for name in names:
            if name not in self.table:
                raise InputError(
                    f'samples have no feature "{name}": {did_you_mean(name, self.features)}'
                )
        return self.table[list(names)].to_numpy(np.float32)

    def take(self, rows: NDArray[Any]) -> Samples:
        """Return the samples at these positions or where a mask is true."""
        return replace(
            self, table=self.table.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows]
        )


def feature_names(variable: str, time: str) -> tuple[str, ...]:
    """Return the feature columns of a cube variable: itself, or one for each month.

    >>> feature_names("rain", "monthly")[:2]
    ('rain_01', 'rain_02')
    """
    if time == "monthly":
        return tuple(f"{variable}_{month:02d}" for month in range(1, 13))
    return (variable,)


def feature_columns(
    values: Mapping[str, NDArray[np.float32]], times: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """Split cube values into one array for each feature column.

    Parameters
    ----------
    values
        As ``Cube.at`` returns them: ``(n,)``, or ``(n, 12)`` for monthly variables.
    times
        ``static``, ``monthly`` or ``yearly`` for each variable.
    """
    columns: dict[str, NDArray[np.float32]] = {}
    for name, array in values.items():
        names = feature_names(name, times[name])
        if len(names) == 1:
            columns[names[0]] = array
        else:
            columns.update({column: array[:, i] for i, column in enumerate(names)})
    return columns
