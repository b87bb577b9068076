"""Cross-validation splits: by random row, profile, spatial block or source, or by kNNDM.

A split depends on the seed and on what the rows hold, never on their order. Every split but
``random`` keeps a location (all layers of a profile and of its co-located neighbours) on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean
from ..samples import Samples
from .block_ids import block_ids
from .knndm import check_places, match_folds

SplitKind = Literal["random", "profile", "block", "source", "knndm"]
SPLIT_KINDS: tuple[str, ...] = get_args(SplitKind)
#: The kind whose folds are made for the places of a map.
KNNDM = "knndm"

Codes = NDArray[np.int64]

#: Side of the smallest spatial blocks inside a training set, degrees.
SMALLEST_SIDE = 0.01

# What tells one row from another, for putting rows in an order of their own.
_IDENTITY = ("profile_id", "source", "top_cm", "bottom_cm", "year", "lon", "lat", "y")


@dataclass(frozen=True)
class Split:
    """Which fold each row is held out in.

    Parameters
    ----------
    name
        ``block``, ``profile``, ``random``, ``source``, ``knndm``, or as ``block-2deg`` for other
        block sizes.
    kind
        How rows were grouped.
    folds
        Fold of each row, from 0, shape ``(n,)``.
    blocks
        Spatial block of each row, shape ``(n,)``.
    block_deg
        Side of the blocks in degrees of latitude.
    fold_names
        What people call each fold: its number, or the source it leaves out.
    """

    name: str
    kind: SplitKind
    folds: Codes
    blocks: Codes
    block_deg: float
    fold_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.fold_names)

    def held_out(self, fold: int) -> NDArray[np.bool_]:
        """Rows to predict with a model that was trained on all others, shape ``(n,)``."""
        return np.asarray(self.folds == fold)

    def take(self, rows: NDArray[np.bool_]) -> Split:
        """Return the split of the rows where a mask is true."""
        return replace(self, folds=self.folds[rows], blocks=self.blocks[rows])

    def table(self, samples: Samples) -> pd.DataFrame:
        """Return the split as a table: one row for each profile, or each layer of a random split.

        Columns ``split``, ``profile_id``, ``top_cm``, ``bottom_cm`` (NaN where the whole profile
        goes to one fold), ``block``, ``fold``; sorted.
        """
        table = samples.table[["profile_id", "top_cm", "bottom_cm"]].reset_index(drop=True)
        table = table.assign(split=self.name, block=self.blocks, fold=self.folds)
        if self.kind != "random":
            table = table.assign(top_cm=np.nan, bottom_cm=np.nan).drop_duplicates()
        columns = ["split", "profile_id", "top_cm", "bottom_cm", "block", "fold"]
        return table[columns].sort_values(columns, ignore_index=True)


def make_split(
    samples: Samples,
    kind: str,
    *,
    folds: int = 5,
    seed: int = 0,
    block_deg: float = 5.0,
    name: str | None = None,
    places: NDArray[np.float64] | None = None,
) -> Split:
    """Put every row of `samples` in a fold.

    Parameters
    ----------
    kind
        ``random`` (rows), ``profile`` (locations), ``block`` (spatial blocks), ``source``
        (leave one source out; `folds` and `seed` are not used) or ``knndm`` (as far from the
        others as the map's places are; :mod:`edaphos.engine.assess.knndm`).
    folds
        Number of folds, at least 2.
    seed
        Seed of the assignment of groups to folds.
    block_deg
        Side of the spatial blocks, degrees of latitude.
    name
        Name of the split; default its kind.
    places
        Longitude and latitude of places that the map is predicted at, ``(m, 2)``; for ``knndm``.

    Raises
    ------
    InputError
        For an unknown kind, fewer than two folds, or fewer groups than folds.
    """
    if kind not in SPLIT_KINDS:
        raise InputError(f'unknown split "{kind}": {did_you_mean(kind, SPLIT_KINDS)}')
    if folds < 2:
        raise InputError(f"cross-validation needs at least 2 folds, found {folds}")
    locations = location_codes(samples)
    blocks = location_blocks(samples, block_deg)
    fold_names = tuple(str(fold) for fold in range(folds))
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLIT_KINDS.index(kind)]))
    if kind == "random":
        assigned = _random_rows(samples, folds, rng)
    elif kind == "source":
        assigned = ranks(samples.table["source"])
        fold_names = tuple(sorted(samples.table["source"].astype(str).unique()))
        if len(fold_names) < 2:
            raise InputError(
                f'a split by source needs two sources or more, found "{fold_names[0]}"'
            )
    elif kind == KNNDM:
        assigned = _matched(samples, folds, rng, check_places(places))
    else:
        groups = locations if kind == "profile" else np.unique(blocks, return_inverse=True)[1]
        assigned = assign_groups(groups, folds, rng, kind, block_deg)
    return Split(
        name=name or kind,
        kind=kind,  # type: ignore[arg-type]  # checked above
        folds=assigned.astype(np.int64),
        blocks=blocks,
        block_deg=block_deg,
        fold_names=fold_names,
    )


def inner_split(
    samples: Samples, *, folds: int = 5, seed: int = 0, block_deg: float = 5.0, least: int = 0
) -> Split:
    """Return a split by spatial block for choices that are made inside a training set.

    Blocks are halved until there are enough, down to :data:`SMALLEST_SIDE`.

    Parameters
    ----------
    samples
        The training rows.
    folds, seed, block_deg
        As for :func:`make_split`.
    least
        Blocks wanted, if more than folds; the smallest blocks may be fewer.

    Raises
    ------
    InputError
        If even the smallest blocks are fewer than folds.
    """
    side, wanted = block_deg, max(folds, least)
    while side / 2 >= SMALLEST_SIDE and len(np.unique(location_blocks(samples, side))) < wanted:
        side /= 2
    return make_split(samples, "block", folds=folds, seed=seed, block_deg=side)


def location_codes(samples: Samples) -> Codes:
    """Return a number for the location of each row: of its ``location_id``, else ``profile_id``."""
    column = "location_id" if "location_id" in samples.table else "profile_id"
    return ranks(samples.table[column])


def ranks(names: pd.Series) -> Codes:
    """Return the rank of each name among the sorted distinct names, shape ``(n,)``.

    Raises
    ------
    InputError
        If a name is missing.
    """
    missing = int(names.isna().sum())
    if missing:
        raise InputError(
            f'column "{names.name}": expected a name in every row of the samples, '
            f"found {missing} of {len(names)} without; fill them in or leave these rows out"
        )
    return np.unique(names.astype(str), return_inverse=True)[1].astype(np.int64)


def location_blocks(samples: Samples, degrees: float) -> Codes:
    """Return the spatial block of each row, that of its location's south-westernmost row.

    So no block edge cuts a location in two; see :func:`block_ids`.
    """
    return block_ids(*location_points(samples), degrees)


def location_points(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of each row's location: of its south-westernmost row."""
    table, locations = samples.table, location_codes(samples)
    lon, lat = table["lon"].to_numpy(np.float64), table["lat"].to_numpy(np.float64)
    order = np.lexsort((lon, lat, locations))
    _, first = np.unique(locations[order], return_index=True)
    representative = order[first][locations]
    return lon[representative], lat[representative]


def _matched(
    samples: Samples, folds: int, rng: np.random.Generator, places: NDArray[np.float64]
) -> Codes:
    """Return kNNDM folds of the rows; whole locations at random where these are as good."""
    points = np.stack(location_points(samples), axis=1)
    distinct, back = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) < 2 * folds:
        raise InputError(
            f"{folds} knndm folds need at least {2 * folds} locations, found {len(distinct)}"
        )
    found = match_folds(distinct[:, 0], distinct[:, 1], places, folds).folds
    if found is None:
        return assign_groups(location_codes(samples), folds, rng, "profile", 0.0)
    return found[back]


def _random_rows(samples: Samples, folds: int, rng: np.random.Generator) -> Codes:
    """Deal rows to folds at random, in an order that only their content decides."""
    table, n = samples.table, len(samples)
    if n < folds:
        raise InputError(f"{folds} folds need at least as many rows, found {n}")
    columns = [table[name] for name in _IDENTITY]
    # Objects as ranks of their text: lexsort wants numbers.
    keys = [_numbers(column) for column in columns]
    order = np.lexsort(keys[::-1])
    assigned = np.empty(n, np.int64)
    assigned[order] = rng.permutation(n) % folds
    return assigned


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64)
    return ranks(column).astype(np.float64)


def assign_groups(
    groups: Codes, folds: int, rng: np.random.Generator, kind: str, block_deg: float
) -> Codes:
    """Return the fold of each row: whole groups at random, with about equal numbers of rows.

    Groups go one by one to the fold that holds fewest rows, large ones first (Graham 1969);
    their sizes are jittered for the order, so that seeds give different splits.
    """
    sizes = np.bincount(groups)
    if len(sizes) < folds:
        what = f"blocks of {block_deg:g}°" if kind == "block" else "locations"
        raise InputError(
            f"{folds} folds need at least {folds} {what}, found {len(sizes)}: "
            f"take fewer folds{' or smaller blocks' if kind == 'block' else ''}"
        )
    shuffled = rng.permutation(len(sizes))
    jittered = sizes[shuffled] * rng.uniform(0.5, 1.5, len(sizes))
    filled = np.zeros(folds, np.int64)
    fold_of_group = np.empty(len(sizes), np.int64)
    for group in shuffled[np.argsort(-jittered, kind="stable")]:
        fold = int(np.argmin(filled))
        fold_of_group[group] = fold
        filled[fold] += sizes[group]
    return fold_of_group[groups]


def split_table(splits: Sequence[Split], samples: Samples) -> pd.DataFrame:
    """Return all splits in one table, to be saved beside what was computed with them."""
    return pd.concat([split.table(samples) for split in splits], ignore_index=True)
