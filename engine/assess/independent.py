"""Validation by profiles of another survey, predicted at the very intervals they were sampled at.

What lies where the model learned is no independent evidence: such profiles are found by name and
by place, and left out or refused.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..errors import InputError, RunError
from ..models.protocol import RowModel
from ..samples import Samples
from .parts import part_codes, part_scores, score_table
from .scoring import BlockBootstrap
from .splits import location_codes

#: What is kept of each layer beside what was observed and predicted.
_KEPT = ("profile_id", "source", "lon", "lat", "top_cm", "bottom_cm")


def shared_with_training(
    table: pd.DataFrame, training: pd.DataFrame, distance_deg: float
) -> NDArray[np.bool_]:
    """Return which rows are of profiles that training holds by name or has within a distance.

    Parameters
    ----------
    table, training
        With ``profile_id``, ``lon`` and ``lat``.
    distance_deg
        In longitude (over the date line, too) and in latitude, degrees.
    """
    points = table[["lon", "lat"]].to_numpy(float)
    tree = cKDTree(training[["lon", "lat"]].to_numpy(float))
    turned = (points + np.array([turn, 0.0]) for turn in (-360.0, 0.0, 360.0))
    nearest = np.min([tree.query(there, p=np.inf)[0] for there in turned], axis=0)
    same = table["profile_id"].isin(set(training["profile_id"])).to_numpy()
    own = pd.Series(same | (nearest <= distance_deg + 1e-9))
    # one layer that is shared makes the profile so
    whole = own.groupby(table["profile_id"].to_numpy()).transform("any")
    return whole.to_numpy(bool)


def independent_rows(
    table: pd.DataFrame,
    training: pd.DataFrame,
    *,
    shared: Literal["remove", "refuse"],
    distance_deg: float,
) -> tuple[pd.DataFrame, str]:
    """Return the rows that training does not hold, and what is to be said of the others ("").

    Raises
    ------
    InputError
        Some are shared and `shared` is ``refuse``, or all are.
    """
    held = shared_with_training(table, training, distance_deg)
    layers, profiles = int(held.sum()), int(table.loc[held, "profile_id"].nunique())
    if not layers:
        return table, ""
    told = (
        f"{profiles:,} of {table['profile_id'].nunique():,} validation profiles ({layers:,} layers)"
        f" are among those learned from, by name or within {distance_deg:g} degrees of them"
    )
    if shared == "refuse" or held.all():
        do = "leave them out of the file, or out of [profiles]"
        other = "" if held.all() else ', or set validate.shared = "remove"'
        raise InputError(f"validate.files: {told}, and are no independent evidence: {do}{other}")
    return table[~held].reset_index(drop=True), f"{told}, and were left out."


def judge(
    model: RowModel, samples: Samples, *, replicates: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict each layer at its own interval and score by part of the profile.

    Returns
    -------
    scores, rows
        As :func:`~edaphos.engine.assess.parts.score_table` has them, with intervals from a
        bootstrap over sites (``blocks`` counts them); and each layer with ``obs`` and ``mean``.

    Raises
    ------
    RunError
        The model does not return the mean of its target.
    """
    quantity = samples.target[0]
    found = model.predict_rows(samples)
    if f"{quantity}_mean" not in found:
        raise RunError(f'the model returns no "{quantity}_mean", only {", ".join(sorted(found))}')
    mean = np.asarray(found[f"{quantity}_mean"], np.float64)
    sites = BlockBootstrap.draw(location_codes(samples), replicates, seed)
    scored = part_scores(quantity, samples.y, mean, samples.top, samples.bottom, sites)
    rows = samples.table[list(_KEPT)].reset_index(drop=True)
    rows = rows.assign(obs=samples.y, mean=mean, part=part_codes(samples.top, samples.bottom))
    return score_table(scored), rows
