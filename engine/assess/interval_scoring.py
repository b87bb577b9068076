"""Intervals of several levels, scored by group: the coverage curve, widths, interval scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from edaphos.kernels.interval_scores import (
    INTERVAL_SUMS,
    MEASURES,
    interval_terms,
    intervals_from_sums,
)

from .scoring import (
    COVERAGES,
    BlockBootstrap,
    Floats,
    Predictions,
    Stratum,
    group_sums,
    interval_over_blocks,
)

#: Groupings that coverage curves are made for.
BY: tuple[str, ...] = ("all", "topsoil", "depth", "applicability", "applicability_depth")
#: Columns of :func:`interval_table`, each measure followed by its ``_low`` and ``_high``.
COLUMNS: tuple[str, ...] = (
    "by", "group", "n", "blocks", "nominal",
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")),
)  # fmt: skip


def interval_tables(
    obs: Floats,
    predicted: Mapping[tuple[str, str], Predictions],
    strata: Mapping[str, Sequence[Stratum]],
    bootstrap: BlockBootstrap,
    *,
    weight: Floats | None = None,
) -> pd.DataFrame:
    """Return :func:`interval_table` of each model and split, with columns ``split``, ``model``."""
    tables = []
    for (model, split), p in predicted.items():
        table = interval_table(obs, p, strata[split], bootstrap, weight=weight)
        if len(table):
            table.insert(0, "split", split)
            table.insert(1, "model", model)
            tables.append(table)
    if tables:
        return pd.concat(tables, ignore_index=True)
    return pd.DataFrame(columns=["split", "model", *COLUMNS])


def interval_table(
    obs: Floats,
    predictions: Predictions,
    strata: Iterable[Stratum],
    bootstrap: BlockBootstrap,
    *,
    coverages: Sequence[float] = COVERAGES,
    weight: Floats | None = None,
) -> pd.DataFrame:
    """Score the central intervals that a model's quantiles bound.

    Parameters
    ----------
    obs, predictions, bootstrap, weight
        As for :func:`~edaphos.engine.assess.scoring.score`.
    strata
        Those whose name is in :data:`BY` are scored.
    coverages
        Nominal coverages; those whose bounds are not among the model's quantiles are left out.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`: for each group and nominal coverage, over its `n` rows in so many spatial
        blocks, the measures of :mod:`edaphos.kernels.interval_scores` with 95 % intervals from a
        bootstrap over blocks. Empty for a model without such quantiles.
    """
    known = predictions.quantiles
    held = {
        nominal: bounds
        for nominal in coverages
        if len(bounds := [q for q in known if _bounds(q, nominal)]) == 2
    }
    wanted = [stratum for stratum in strata if stratum.by in BY]
    if not held or not wanted:
        return pd.DataFrame(columns=list(COLUMNS))
    terms = [
        interval_terms(obs, known[low], known[high], nominal, weight)
        for nominal, (low, high) in held.items()
    ]
    rows = (terms[0][:, :1] > 0).astype(float)
    sums = group_sums(np.concatenate([rows, *terms], axis=1), wanted, bootstrap)
    tables = []
    for k, nominal in enumerate(held):
        part = slice(1 + k * INTERVAL_SUMS, 1 + (k + 1) * INTERVAL_SUMS)
        estimate = intervals_from_sums(sums.total[:, part])
        drawn = intervals_from_sums(np.moveaxis(sums.drawn, 0, 1)[..., part])
        columns: dict[str, object] = {
            "by": [by for by, _ in sums.groups],
            "group": [group for _, group in sums.groups],
            "n": sums.total[:, 0].astype(np.int64),
            "blocks": sums.blocks,
            "nominal": nominal,
        }
        for measure in MEASURES:
            columns[measure] = estimate[measure]
            ends = interval_over_blocks(drawn[measure], sums.blocks)
            columns[f"{measure}_low"], columns[f"{measure}_high"] = ends
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    return table[table["n"] > 0].reset_index(drop=True)


def _bounds(level: float, nominal: float) -> bool:
    """Whether a quantile bounds the central interval of a coverage."""
    return abs(abs(2 * level - 1) - nominal) < 1e-9
