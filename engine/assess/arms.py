"""Several predictions of one model, such as those of process, forest and hybrid, compared.

All come from the same folds, so that they differ in nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from edaphos.kernels.metrics import metrics

from ..samples import Samples
from .scoring import Floats
from .splits import Split

#: Groups of rows beside single years: every row, and those that all arms predict.
ALL, SHARED = "all", "shared"
COLUMNS = ("split", "arm", "rows", "n", "RMSE", "CCC", "ME", "R2")
#: Columns of :func:`arm_rows` before those of the arms.
ROW_KEYS = ("split", "site", "lon", "lat", "year", "fold", "observed")


def compare_arms(
    samples: Samples,
    predicted: Mapping[str, Mapping[str, Floats]],
    labels: Mapping[str, str],
) -> pd.DataFrame:
    """Return scores of each prediction by year.

    Parameters
    ----------
    samples
        Rows with a target.
    predicted
        By split, then by name: out-of-fold predictions, ``(n,)``.
    labels
        What predictions are called, by name.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`; ``rows`` is a year, ``all``, or ``shared`` (rows that every arm predicts:
        only there are they like for like). CCC is that of population moments. Empty without
        predictions.
    """
    found = []
    year = samples.table["year"].to_numpy(float)
    for split, arms in predicted.items():
        if not arms:
            continue
        shared = np.all([np.isfinite(values) for values in arms.values()], axis=0)
        groups = {ALL: np.ones(len(samples), bool), SHARED: shared}
        groups |= {f"{y:g}": year == y for y in np.unique(year[np.isfinite(year)])}
        for name, values in arms.items():
            for rows, chosen in groups.items():
                scores = metrics(samples.y[chosen], values[chosen]) if chosen.any() else {}
                if scores.get("n"):
                    measures = (scores[measure] for measure in COLUMNS[4:])
                    found.append((split, labels[name], rows, int(scores["n"]), *measures))
    return pd.DataFrame(found, columns=list(COLUMNS) if found else None)


def arm_rows(
    samples: Samples,
    splits: Sequence[Split],
    predicted: Mapping[str, Mapping[str, Floats]],
    labels: Mapping[str, str],
) -> pd.DataFrame:
    """Return what each arm says of every site and year held out, sampled or not.

    Parameters
    ----------
    samples
        A row for each site and year; a target of NaN where not sampled.
    splits
        Their folds.
    predicted
        By split, then by name: out-of-fold predictions, ``(n,)``.
    labels
        What predictions are called, by name.

    Returns
    -------
    pandas.DataFrame
        :data:`ROW_KEYS`, then a column for each label, in the units of the target. Empty without
        predictions.
    """
    table, found = samples.table, []
    for split in splits:
        arms = predicted.get(split.name, {})
        if not arms:
            continue
        keys = {
            "split": split.name,
            "site": table["profile_id"].astype(str).to_numpy(),
            **{name: table[name].to_numpy(float) for name in ("lon", "lat", "year")},
            "fold": split.folds,
            "observed": samples.y,
        }
        found.append(pd.DataFrame(keys | {labels[name]: arms[name] for name in arms}))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
