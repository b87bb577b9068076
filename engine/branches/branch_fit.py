"""What was fitted: nets of branches of the world or of a region, and all that is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conv.learning_rows import Ints, LearningRows
from ..conv.predictive import Predictive, Said
from ..conv.weights import Seen
from ..models.protocol import Depth
from ..training_curve import Training
from .fitted import FittedBranches
from .kept_places import KeptPlaces
from .kept_rows import KeptRows
from .settings import Way


@dataclass(frozen=True)
class WayTried:
    """One way of fine-tuning, and what came of it.

    Parameters
    ----------
    way, corrected
        Which, and whether its scale was corrected.
    error
        Mean squared error over some parts of the rows, by nets that they did not teach, in units
        of the target's variance in the world.
    """

    way: Way
    corrected: bool
    error: float


@dataclass(frozen=True)
class HeldOut:
    """What is said of a region's training rows by nets that these did not teach.

    Parameters
    ----------
    said, rows
        What is said, and the rows.
    part
        Of each row: those of a part were held out together.
    """

    said: Said
    rows: LearningRows
    part: Ints


@dataclass(frozen=True)
class BranchFit:
    """What was fitted.

    Parameters
    ----------
    nets
        The nets, and the scales of what they read and say.
    predictive
        How what they say becomes a distribution.
    depths
        That the predictive distribution is told for, cm.
    variables, crs, cell
        The cube variables behind the channels; the grid of training places.
    rows
        How many rows taught nets, stopped them and calibrated them, by name.
    summary
        What the training data were, and how good it was on rows that taught nothing.
    places
        Codes of places learned from (:func:`~edaphos.engine.branches.regions_out.place_codes`).
    covariances
        Of the features of each net.
    ways
        Ways of fine-tuning that were tried; the first was kept. Empty for a model of the world.
    held_out
        Of a region that was just fitted; None for a model of the world, or one that was loaded.
    kept
        Covariates of some places learned from, for regions to be aligned with.
    kept_rows
        Rows that are kept with a model of the world; None for one that was loaded, whose file is
        read where it is needed.
    trainings
        How trainings went; empty for a model that was loaded.
    """

    nets: FittedBranches
    predictive: Predictive
    depths: tuple[Depth, ...]
    variables: Mapping[str, Seen]
    crs: str
    cell: float
    rows: Mapping[str, int]
    summary: Mapping[str, Any]
    places: NDArray[np.uint32]
    covariances: tuple[Any, ...] = ()
    ways: tuple[WayTried, ...] = ()
    held_out: HeldOut | None = field(default=None, compare=False)
    kept: KeptPlaces | None = None
    kept_rows: KeptRows | None = field(default=None, compare=False)
    trainings: tuple[Training, ...] = field(default=(), compare=False)
