"""Partial correlations of soil carbon with each of its drivers, the others held, by depth.

By part of the profile, Pearson's and Spearman's, the p values adjusted by Holm's method over the
drivers of one part. p takes rows for independent, which layers of one profile and neighbouring
profiles are not; beside it stands an interval from a bootstrap over whole spatial blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.partial_correlation import (
    holm,
    moment_terms,
    partial_p,
    partials_from_sums,
    ranks,
)

from .parts import ALL, PART_LABELS, part_codes
from .scoring import BlockBootstrap, Floats, Stratum, group_sums, interval_over_blocks

METHODS: tuple[str, ...] = ("Pearson", "Spearman")
NOT_ESTIMABLE = "not estimable"
#: What is said of the p values.
DEPENDENCE = (
    "p takes rows for independent. Layers of one profile and neighbouring profiles are not, and p "
    "is too small; the interval resamples whole spatial blocks, and is the one to go by. "
    "Spearman's ranks are those of all rows, not drawn anew."
)
COLUMNS: tuple[str, ...] = (
    "group", "method", "driver", "n", "blocks", "r", "low", "high", "p", "p_holm", "note",
)  # fmt: skip


def partial_correlations(
    carbon: Floats,
    drivers: Floats,
    names: Sequence[str],
    top: Floats,
    bottom: Floats,
    blocks: NDArray[np.int64],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the partial correlation of carbon with each driver, in all parts and in each.

    Parameters
    ----------
    carbon, drivers
        ``(n,)`` and ``(n, k)``; a row with a NaN is left out.
    names
        Of the drivers.
    top, bottom
        Of the layers, cm.
    blocks
        Spatial block of each row, resampled as a whole.
    replicates, seed
        Of the bootstrap.

    Returns
    -------
    table
        :data:`COLUMNS`; ``r`` and p are NaN, and ``note`` says why, where there are no more than
        controls + 3 rows, or one driver follows from the others.
    """
    codes = part_codes(top, bottom)
    known = np.isfinite(carbon) & np.isfinite(drivers).all(axis=1) & (codes >= 0)
    found = []
    for group, rows in ((ALL, known), *((n, known & (codes == i)) for i, n in _parts())):
        values = np.column_stack([carbon[rows], drivers[rows]])
        for method in METHODS:
            one = _one(values, blocks[rows], len(names), method, replicates, seed)
            found.append(one.assign(group=group, method=method, driver=list(names)))
    return pd.concat(found, ignore_index=True)[list(COLUMNS)]


def _parts() -> list[tuple[int, str]]:
    return list(enumerate(PART_LABELS))


def _one(
    values: Floats,
    blocks: NDArray[np.int64],
    drivers: int,
    method: str,
    replicates: int,
    seed: int,
) -> pd.DataFrame:
    """Return the rows of one part and method, in the order of the drivers."""
    n, controls = len(values), drivers - 1
    nothing = np.full(drivers, np.nan)
    if n <= controls + 3:
        note = f"{NOT_ESTIMABLE}: {n} rows, more than {controls + 3} are needed"
        return _table(n, 0, nothing, nothing, nothing, nothing, note)
    terms = moment_terms(values if method == "Pearson" else ranks(values))
    bootstrap = BlockBootstrap.draw(blocks, replicates, seed)
    sums = group_sums(terms, [Stratum("all", (ALL,), np.zeros(n, np.int64))], bootstrap)
    r = partials_from_sums(sums.total[0], drivers + 1)
    if np.isnan(r).any():
        note = f"{NOT_ESTIMABLE}: a driver does not vary here, or follows from the others"
        return _table(n, int(sums.blocks[0]), nothing, nothing, nothing, nothing, note)
    drawn = partials_from_sums(sums.drawn[:, 0], drivers + 1)
    low, high = interval_over_blocks(drawn.T, np.full(drivers, sums.blocks[0]))
    return _table(n, int(sums.blocks[0]), r, low, high, partial_p(r, n, controls), "")


def _table(
    n: int, blocks: int, r: Floats, low: Floats, high: Floats, p: Floats, note: str
) -> pd.DataFrame:
    told = {"r": r, "low": low, "high": high, "p": p, "p_holm": holm(p)}
    return pd.DataFrame(told).assign(n=n, blocks=blocks, note=note)
