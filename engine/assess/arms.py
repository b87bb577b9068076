"""Several predictions of one model, such as those of process, forest and hybrid, compared.

All come from the same folds, so that they differ in nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from edaphos.kernels.metrics import metrics

from ..samples import Samples
from .scoring import Floats

#: Groups of rows beside single years: every row, and those that all arms predict.
ALL, SHARED = "all", "shared"
COLUMNS = ("split", "arm", "rows", "n", "RMSE", "CCC", "ME", "R2")


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
