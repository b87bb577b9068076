"""Scores by part of the soil profile: topsoil, subsoil and deep soil, and of stock beside density.

The stock of a layer grows with its thickness, which a model is told, so that thick and thin layers
together flatter R²; the same predictions are therefore scored once more for each centimetre.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .scoring import BlockBootstrap, Floats, Predictions, Scored, Stratum, difference_table, score
from .scoring import metric_table as all_scores

#: Topsoil, subsoil and deep soil, cm (Wang et al. 2025).
PARTS: tuple[tuple[int, int], ...] = ((0, 30), (30, 100), (100, 200))
PART_LABELS: tuple[str, ...] = tuple(f"{top}-{bottom} cm" for top, bottom in PARTS)
ALL = "all"
#: What is said of how layers are put into parts.
MIDPOINT_RULE = (
    "A layer belongs to the part that holds its midpoint; one whose midpoint is at the lower bound "
    "of a part belongs to the next."
)
#: Scores of the tables.
SHOWN: tuple[str, ...] = ("R2", "r2", "RMSE", "ME", "CCC")
#: From kg/m² over cm to kg/m³.
PER_METRE = 100.0
#: What is scored of a model of stocks: scale and units.
SCALES: Mapping[str, str] = {"stock": "kg m-2", "density": "kg m-3"}


def part_codes(top: Floats, bottom: Floats) -> NDArray[np.int64]:
    """Return the part of each layer by its midpoint, ``(n,)``, -1 above, below and between them.

    >>> part_codes(np.array([0.0, 20.0, 150.0, -5.0]), np.array([10.0, 40.0, 260.0, 0.0]))
    array([ 0,  1, -1, -1])
    """
    middle = (np.asarray(top, np.float64) + np.asarray(bottom, np.float64)) / 2
    codes = np.searchsorted([PARTS[0][0], *(b for _, b in PARTS)], middle, side="right") - 1
    return np.where((np.asarray(top) < 0) | (codes >= len(PARTS)), -1, codes).astype(np.int64)


def part_strata(top: Floats, bottom: Floats) -> list[Stratum]:
    """Return all rows of the parts, and each part."""
    codes = part_codes(top, bottom)
    together = np.where(codes < 0, -1, 0).astype(np.int64)
    return [Stratum("all", (ALL,), together), Stratum("part", PART_LABELS, codes)]


def scales_of(quantity: str, top: Floats, bottom: Floats) -> dict[str, Floats]:
    """Return what values of a quantity are multiplied by on each scale that is scored.

    A layer's stock as it is, and as carbon density; any other quantity only as it is.
    """
    one = np.ones(len(top))
    if quantity != "stock":
        return {quantity: one}
    return {"stock": one, "density": PER_METRE / (np.asarray(bottom) - np.asarray(top))}


def part_scores(
    quantity: str,
    obs: Floats,
    predicted: Floats,
    top: Floats,
    bottom: Floats,
    bootstrap: BlockBootstrap,
) -> dict[str, Scored]:
    """Score predictions by part on each scale, shape ``(n,)`` each."""
    strata = part_strata(top, bottom)
    nothing = np.full(len(obs), np.nan)
    return {
        scale: score(
            obs * factor,
            Predictions(predicted * factor, nothing, nothing, nothing),
            strata,
            bootstrap,
        )
        for scale, factor in scales_of(quantity, top, bottom).items()
    }


def score_table(scored: Mapping[str, Scored], **names: str) -> pd.DataFrame:
    """Return the scores of all scales: the names, ``scale``, ``group``, ``n``, ``blocks``, scores.

    The scores are :data:`SHOWN`, each with ``_low`` and ``_high``, and the mean of observations
    and predictions.
    """
    columns = ["group", "n", "blocks"]
    for one in SHOWN:
        columns += [one, f"{one}_low", f"{one}_high"]
    columns += ["mean_obs", "mean_pred"]
    tables = [all_scores(found)[columns].assign(scale=scale) for scale, found in scored.items()]
    table = pd.concat(tables, ignore_index=True).assign(**names)
    return table[[*names, "scale", *columns]]


def gain_table(
    scored: Mapping[str, Scored], other: Mapping[str, Scored], **names: str
) -> pd.DataFrame:
    """Return the paired differences of scores: the names, ``scale``, ``group``, ``metric``, ….

    As :func:`~edaphos.engine.assess.scoring.difference_table` has them.
    """
    tables = [
        difference_table(found, other[scale], SHOWN).assign(scale=scale)
        for scale, found in scored.items()
    ]
    table = pd.concat(tables, ignore_index=True).assign(**names).drop(columns="by")
    return table[[*names, "scale", *(c for c in table if c not in (*names, "scale"))]]


def depth_means(
    quantity: str, obs: Floats, predicted: Floats, top: Floats, bottom: Floats
) -> pd.DataFrame:
    """Return the mean density (or content) measured and predicted, by depth.

    Every centimetre step of :data:`DEPTH_STEPS` averages the layers that hold it, of which stocks
    count for each centimetre: ``depth`` (middle, cm), ``n``, ``measured``, ``predicted``.
    """
    scale = list(scales_of(quantity, top, bottom).values())[-1]
    rows = []
    for above, below in DEPTH_STEPS:
        middle = (above + below) / 2
        here = (top <= middle) & (bottom > middle) & np.isfinite(predicted)
        if here.any():
            o, p = (obs * scale)[here], (predicted * scale)[here]
            rows.append((above, below, int(here.sum()), float(o.mean()), float(p.mean())))
    return pd.DataFrame(rows, columns=["top_cm", "bottom_cm", "n", "measured", "predicted"])


#: Steps of the depth profile of means, cm: the intervals that the paper sampled.
DEPTH_STEPS: tuple[tuple[int, int], ...] = (
    (0, 10), (10, 20), (20, 30), (30, 50), (50, 100), (100, 150), (150, 200),
)  # fmt: skip
