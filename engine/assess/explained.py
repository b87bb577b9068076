"""What covariates are worth on rows left out, and how predictions go with them, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..importance import Explained, ExplainSpec
from ..samples import Samples
from .scoring import BlockBootstrap, Floats, Stratum, group_sums, interval_over_blocks

#: Groupings that importance is told for.
BY: tuple[str, ...] = ("all", "depth")
IMPORTANCE_COLUMNS = ("by", "group", "covariate", "n", "blocks", "loss", "low", "high")
DEPENDENCE_COLUMNS = (
    "covariate", "classes", "top_cm", "bottom_cm", "value", "mean", "q10", "q90", "places",
)  # fmt: skip


def importance_table(
    samples: Samples,
    found: Sequence[Explained],
    strata: Sequence[Stratum],
    bootstrap: BlockBootstrap,
) -> pd.DataFrame:
    """Return the R² that each covariate's values are worth, by group of rows left out.

    Parameters
    ----------
    samples
        All rows.
    found
        What the models of all folds said.
    strata
        Groupings of all rows; those in :data:`BY` are told.
    bootstrap
        Draws of blocks, of all rows.

    Returns
    -------
    pandas.DataFrame
        :data:`IMPORTANCE_COLUMNS`. ``loss`` is by how much R² of log(1 + value) falls where the
        covariate is permuted; ``low`` and ``high`` bound its 95 % interval over blocks. Covariates
        are in order of their loss over all rows.
    """
    if not found:
        return pd.DataFrame(columns=list(IMPORTANCE_COLUMNS))
    names = list(found[0].permuted)
    rows = np.concatenate([one.rows for one in found])
    observed = np.log1p(np.maximum(samples.y[rows], 0.0))
    observed = observed - observed.mean()
    error = np.concatenate([one.error for one in found])
    permuted = [np.concatenate([one.permuted[name] for one in found]) for name in names]
    terms = np.stack(
        [np.ones(len(rows)), observed, observed**2, *(p - error for p in permuted)], axis=1
    )
    wanted = [Stratum(one.by, one.labels, one.codes[rows]) for one in strata if one.by in BY]
    drawn_blocks = BlockBootstrap(bootstrap.codes[rows], bootstrap.counts)
    sums = group_sums(terms, wanted, drawn_blocks)
    estimate = _loss(sums.total)
    drawn = _loss(np.moveaxis(sums.drawn, 0, 1))
    tables = []
    for k, name in enumerate(names):
        low, high = interval_over_blocks(drawn[..., k], sums.blocks)
        tables.append(
            pd.DataFrame(
                {
                    "by": [by for by, _ in sums.groups],
                    "group": [group for _, group in sums.groups],
                    "covariate": name,
                    "n": sums.total[:, 0].astype(np.int64),
                    "blocks": sums.blocks,
                    "loss": estimate[:, k],
                    "low": low,
                    "high": high,
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    table = table[table["n"] > 1]
    overall = table[table["by"] == "all"].set_index("covariate")["loss"]
    order = overall.sort_values(ascending=False, kind="stable").index
    ranked = table["covariate"].map({name: i for i, name in enumerate(order)})
    return table.iloc[np.argsort(ranked, kind="stable")].reset_index(drop=True)


def _loss(sums: Floats) -> Floats:
    """Return the R² lost, ``(..., covariates)``, of sums ``(..., 3 + covariates)``."""
    n = sums[..., :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sums[..., 2:3] - sums[..., 1:2] ** 2 / n
        return np.where(spread > 0, sums[..., 3:] / spread, np.nan)


def dependence_table(
    samples: Samples, found: Sequence[Explained], spec: ExplainSpec | None
) -> pd.DataFrame:
    """Return what is predicted along each covariate, over places left out.

    Returns
    -------
    pandas.DataFrame
        :data:`DEPENDENCE_COLUMNS`: for each value of a covariate's grid and each depth the `mean`
        over so many places, and where the 10 % and 90 % of their own curves lie. ``classes`` tells
        whether values are class codes.
    """
    if spec is None or not found:
        return pd.DataFrame(columns=list(DEPENDENCE_COLUMNS))
    lines = []
    for name, grid in spec.grids.items():
        curves = np.concatenate([one.curves[name] for one in found], axis=2)
        classes = spec.columns[name][0] in samples.classes
        for d, (top, bottom) in enumerate(spec.depths):
            for k, value in enumerate(grid):
                own = curves[d, k]
                low, high = np.quantile(own, [0.1, 0.9])
                told = (name, classes, top, bottom, value, own.mean(), low, high, len(own))
                lines.append(told)
    return pd.DataFrame(lines, columns=list(DEPENDENCE_COLUMNS))
