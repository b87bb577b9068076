"""kNNDM folds of samples, and how far folds, samples and prediction places are apart.

Random folds flatter a map that is predicted far from its samples; folds of blocks of one size may
judge it too hard. kNNDM takes folds whose distances match those of the map (``kernels/knndm.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.knndm import (
    Neighbourhood,
    cut,
    merge_into_folds,
    nearest_km,
    unit_vectors,
    ward,
    wasserstein,
)

from ..errors import InputError
from .block_ids import block_ids

if TYPE_CHECKING:
    from .splits import Codes, Split

Floats = NDArray[np.float64]

#: Locations that are clustered one by one; of more, near ones are joined beforehand.
MOST_LOCATIONS = 16_384
#: Side of the blocks in which these are joined, at first, degrees.
SMALLEST_BLOCK = 0.02
#: Numbers of clusters tried, on a logarithmic grid.
TRIED = 100
#: Largest share of the locations in one fold.
LARGEST_SHARE = 0.5
#: Samples count as no nearer to each other than to the map's places from this probability on.
SURE = 0.05
#: Points of the distribution functions that are kept for pictures.
STEPS = 200


@dataclass(frozen=True)
class Matched:
    """The folds of kNNDM.

    Parameters
    ----------
    folds
        Of each location, ``(n,)``; None where random folds are as good.
    distance_km
        Wasserstein's distance of their distribution from that of the prediction places.
    """

    folds: NDArray[np.int64] | None
    distance_km: float


def match_folds(lon: Floats, lat: Floats, places: Floats, folds: int) -> Matched:
    """Return folds of distinct locations that match the distances of prediction places.

    Where locations are no nearer to each other than prediction places are to them (one-sided test
    of Kolmogorov and Smirnov), no folds need be made: random ones are as good.

    Parameters
    ----------
    lon, lat
        Of the locations, degrees; in an order of their own, which decides between equals.
    places
        Longitude and latitude of places drawn from the map, ``(m, 2)``.
    folds
        Number of folds.
    """
    from scipy.stats import ks_2samp

    points = unit_vectors(lon, lat)
    around = Neighbourhood(points)
    wanted = nearest_km(points, unit_vectors(*places.T))
    test = ks_2samp(around.nearest_km(), wanted, alternative="greater", method="asymp")
    if test.pvalue >= SURE:
        return Matched(None, wasserstein(around.nearest_km(), wanted))
    cells = _cells(lon, lat)
    sizes = np.bincount(cells).astype(np.float64)
    centres = np.stack([np.bincount(cells, axis) / sizes for axis in points.T], axis=1)
    merged, _ = ward(centres, sizes)
    best: Matched | None = None
    for clusters in cut(merged, _numbers(folds, len(sizes))):
        of_cell = merge_into_folds(centres, clusters, sizes, folds)
        if np.bincount(of_cell, sizes).max() > LARGEST_SHARE * len(points):
            continue
        found = of_cell[cells]
        apart = wasserstein(around.nearest_of_other_folds_km(found), wanted)
        if best is None or apart < best.distance_km:
            best = Matched(found, apart)
    if best is None:
        raise InputError(
            f"no kNNDM folds of {len(points)} locations hold at most "
            f"{100 * LARGEST_SHARE:g} % of them each; take more folds, or splits by block"
        )
    return best


def _cells(lon: Floats, lat: Floats) -> NDArray[np.int64]:
    """Return what is clustered as one: each location, or of many those in a small spatial block.

    Blocks double until there are few enough, so that distances between folds are exact all the
    same, and only folds finer than such blocks are not tried.
    """
    cells, side = np.arange(len(lon)), SMALLEST_BLOCK
    while cells.max() >= MOST_LOCATIONS:
        cells = np.unique(block_ids(lon, lat, side), return_inverse=True)[1]
        side *= 2
    return cells


def _numbers(folds: int, n: int) -> NDArray[np.int64]:
    """Return the numbers of clusters to try, descending."""
    most = max(folds, n - 2)
    return np.unique(np.geomspace(folds, most, TRIED).round().astype(np.int64))[::-1]


def check_places(places: Floats | None) -> Floats:
    """Return prediction places, or say why a split by kNNDM cannot do without."""
    if places is None or len(places) == 0:
        raise InputError(
            "a split by knndm needs places of the map to be predicted, to match their distances "
            "from the samples; run it from a recipe, or give assess(places=...)"
        )
    return np.asarray(places, np.float64)


def nearest_distances(
    lon: Floats, lat: Floats, codes: Codes, splits: Sequence[Split], places: Floats
) -> pd.DataFrame:
    """Return how far prediction places, samples, and the folds of splits are from their nearest.

    Parameters
    ----------
    lon, lat, codes
        Of each row, and its location.
    splits
        Splits of the rows; a place whose rows lie in several folds is at distance 0.
    places
        Longitude and latitude of prediction places, ``(m, 2)``.

    Returns
    -------
    pandas.DataFrame
        Columns ``what`` (``prediction``, ``sample`` or the split's name), ``share`` and ``km``
        (that share of them has a nearest one at most so far), ``wasserstein_km`` (from the
        distribution of ``prediction``).
    """
    _, first, back = np.unique(codes, return_index=True, return_inverse=True)
    points = unit_vectors(lon[first], lat[first])
    distinct, again = np.unique(points, axis=0, return_inverse=True)
    around = Neighbourhood(distinct)
    wanted = nearest_km(distinct, unit_vectors(*places.T))
    found = {"prediction": wanted, "sample": around.nearest_km()}
    for split in splits:
        rows = pd.DataFrame({"place": again[back], "fold": split.folds}).groupby("place")["fold"]
        apart = around.nearest_of_other_folds_km(rows.first().to_numpy())
        found[split.name] = np.where(rows.nunique().to_numpy() > 1, 0.0, apart)
    shares = np.linspace(0, 1, STEPS + 1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "what": what,
                    "share": shares,
                    "km": np.quantile(km, shares),
                    "wasserstein_km": wasserstein(km, wanted),
                }
            )
            for what, km in found.items()
        ],
        ignore_index=True,
    )
