"""The rows that nets learn from: parts by spatial block, targets on one scale, layers by patch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assess.splits import Split, inner_split
from ..errors import InputError
from ..models.depth_rows import depth_rows
from ..models.protocol import Depth
from ..samples import Samples
from .patches import patches_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Parts of the training rows: what nets learn from, what stops them early, what calibrates them.
LEARN, STOP, CALIBRATE = 0, 1, 2
#: Depths enter a net in units of this many cm (methods: ``(top, bottom) / 200``).
DEPTH_UNIT_CM = 200.0
#: Blocks of the calibration part below which blocks are halved: with 20, a 90 % interval holds 90.5
#: to 95 % of what comes (1 / 21 more at most); with 10 it is as wide as their largest miss.
FEWEST_BLOCKS = 20
#: Layers of a place that share one run of the convolutions, at most.
MOST_LAYERS = 8


@dataclass(frozen=True)
class LearningRows:
    """Rows of one fit, each array ``(n,)`` but where said.

    Parameters
    ----------
    patch
        Position of the patch.
    depth
        Position of the mapped depth that a layer belongs to.
    extra
        Top and bottom, ``(n, 2)``, in :data:`DEPTH_UNIT_CM`.
    target
        On the scale that is learned, before it is standardised.
    weight
        Of rows.
    part
        :data:`LEARN`, :data:`STOP` or :data:`CALIBRATE`.
    block
        Spatial block that was the unit of the parts.
    """

    patch: Ints
    depth: Ints
    extra: Floats
    target: Floats
    weight: Floats
    part: Ints
    block: Ints

    def __len__(self) -> int:
        return len(self.patch)

    @property
    def digest(self) -> str:
        """SHA-256 of all of them."""
        found = hashlib.sha256()
        for field in fields(self):
            found.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write them as one ``.npz``."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> LearningRows:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as held:
            return cls(**{field.name: held[field.name] for field in fields(cls)})


def learning_rows(
    samples: Samples,
    depths: Sequence[Depth],
    *,
    log1p: bool,
    parts: int,
    part_deg: float,
    seed: int,
) -> LearningRows:
    """Return the rows of samples in parts of whole spatial blocks.

    Parameters
    ----------
    samples
        The training rows, with patches.
    depths
        Intervals that are mapped, cm.
    log1p
        Whether the scale that is learned is log(1 + y).
    parts, part_deg, seed
        The rows are cut into so many parts; the first stops trainings, the second calibrates.

    Raises
    ------
    InputError
        There are too few locations, or a target cannot be on that scale.
    """
    split = inner_split(
        samples, folds=parts, seed=seed, block_deg=part_deg, least=parts * FEWEST_BLOCKS
    )
    rows = rows_of(samples, depths, split, log1p=log1p)
    part = np.where(rows.part == 0, STOP, np.where(rows.part == 1, CALIBRATE, LEARN))
    return replace(rows, part=part.astype(np.int64))


def rows_of(
    samples: Samples, depths: Sequence[Depth], split: Split, *, log1p: bool
) -> LearningRows:
    """Return the rows of samples; their parts are the folds of a split by blocks.

    Raises
    ------
    InputError
        A target cannot be on the scale that is learned.
    """
    y = samples.y
    if log1p and not (y > -1).all():
        raise InputError(
            f'transform = "log1p" needs targets above -1, found {y.min():g}; set transform = "none"'
        )
    weight = samples.weight
    return LearningRows(
        patch=patches_of(samples),
        depth=depth_rows(samples.top, samples.bottom, depths),
        extra=depth_numbers(samples.top, samples.bottom),
        target=np.log1p(y) if log1p else y,
        weight=weight / weight.mean(),
        part=split.folds.astype(np.int64),
        block=split.blocks,
    )


def depth_numbers(top: Floats, bottom: Floats) -> Floats:
    """Return what a net sees of depths, ``(n, 2)``.

    >>> depth_numbers(np.array([5.0]), np.array([15.0]))
    array([[0.025, 0.075]])
    """
    return np.stack([top, bottom], axis=1) / DEPTH_UNIT_CM


def by_patch(patch: Ints, most: int = MOST_LAYERS) -> Ints:
    """Return groups of rows that share a patch, ``(groups, most)``, -1 where a group has fewer.

    >>> by_patch(np.array([7, 3, 7, 7]), most=2)
    array([[ 1, -1],
           [ 0,  2],
           [ 3, -1]])
    """
    order = np.argsort(patch, kind="stable")
    _, start, size = np.unique(patch[order], return_index=True, return_counts=True)
    place = np.arange(len(patch)) - np.repeat(start, size)
    first = np.cumsum(-(-size // most)) - -(-size // most)
    groups = np.full((int((-(-size // most)).sum()), most), -1, np.int64)
    groups[np.repeat(first, size) + place // most, place % most] = order
    return groups


def by_depth(patch: Ints, depth: Ints, depths: int) -> Ints:
    """Return groups of rows of one patch with a row for each depth, ``(groups, depths)``.

    -1 where a group has no row of a depth; a patch with several layers of one has several groups.

    >>> by_depth(np.array([7, 3, 7, 7]), np.array([0, 1, 0, 1]), 2)
    array([[-1,  1],
           [ 0,  3],
           [ 2, -1]])
    """
    order = np.lexsort((np.arange(len(patch)), depth, patch))
    key = patch[order] * depths + depth[order]
    _, start, size = np.unique(key, return_index=True, return_counts=True)
    nth = np.arange(len(patch)) - np.repeat(start, size)
    pairs = np.stack([patch[order], nth], axis=1)
    names, group = np.unique(pairs, axis=0, return_inverse=True)
    groups = np.full((len(names), depths), -1, np.int64)
    groups[group.reshape(-1), depth[order]] = order
    return groups
