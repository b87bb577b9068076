"""What a net sees: standardised bands, one-hot classes, and channels that tell what is missing.

Learned from training patches, applied to patches and to map tiles by one function, cell by cell in
float32: a patch cut out of a tile's channels is, bit for bit, the channels of the patch.

Missing values become 0 after standardising, and a mask channel tells how many bands are there; that
holds on the map too where a band has gaps that it never had in training. A class code that no
training patch has is 0 in all channels of its variable; :meth:`Channels.unknown_class` says where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.channels import one_hot, share, standardise

from ..cube.layout import Kind
from ..errors import InputError
from ..models.protocol import TileInputs
from .patch_statistics import Seen, raw_patches, seen_in
from .patches import PatchStore
from .planes import Plane, plane_name, tile_plane

Scaling = Literal["z-score", "min-max"]
Mask = Literal["any", "each", "none"]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Band:
    """What training patches tell of one plane.

    Parameters
    ----------
    plane, kind, directional
        What it is.
    gaps
        Whether it had missing cells.
    centre, factor
        An amount becomes ``(value - centre) * factor`` in float32. The factor of a band that was
        constant, or missing everywhere, is 0: it taught nothing, and its channel is 0 on the map.
    codes
        The codes of a class, ascending; each is a channel.
    low, high
        Extremes that an amount is kept within; None for no bounds.
    """

    plane: Plane
    kind: Kind
    directional: bool
    gaps: bool
    centre: float = 0.0
    factor: float = 0.0
    codes: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def channels(self) -> int:
        """Number of channels it gives."""
        return len(self.codes) if self.kind == "class" else 1


@dataclass(frozen=True)
class Channels:
    """The channels of a net and how they are made of raw planes.

    Parameters
    ----------
    bands
        The planes that are used, in order.
    scaling
        ``z-score`` (mean 0, standard deviation 1 over the training patches) or ``min-max`` (0 to 1;
        0 is then both the smallest value and a missing one, which the mask tells apart).
    mask
        ``any``: one channel with the share of bands present at each cell. ``each``: one for each
        band with gaps in training (1 present, 0 missing), and one with the share of the others.
        ``none``: no such channel; missing values stay NaN, and so does whatever a net makes of
        them.
    """

    bands: tuple[Band, ...]
    scaling: Scaling = "z-score"
    mask: Mask = "any"

    # -- learning -------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        store: PatchStore,
        patches: NDArray[np.int64],
        *,
        scaling: Scaling = "z-score",
        mask: Mask = "any",
        planes: Sequence[Plane] | None = None,
        size: int | None = None,
        bounded: bool = False,
    ) -> Channels:
        """Learn from training patches, and only from them.

        Parameters
        ----------
        store
            All patches.
        patches
            Positions of those of the training samples; each counts once, however often it is named.
        planes
            Those to use, by default all.
        size
            Cells along a side that are used, in the middle; all by default.
        bounded
            Amounts beyond the extremes of training count as these, so that a net is not asked for
            what lies far from all that it learned.

        Raises
        ------
        InputError
            No patches; a plane that the store lacks; `mask` is ``none`` and training has gaps.
        """
        positions = _positions(store, planes or store.planes)
        seen = seen_in(store, np.unique(patches), positions, size or store.size)
        bands = tuple(
            _band(store, position, what, scaling, bounded)
            for position, what in zip(positions, seen, strict=True)
        )
        gaps = [plane_name(band.plane) for band in bands if band.gaps]
        if mask == "none" and gaps:
            raise InputError(
                f"training patches have missing values of {', '.join(gaps)}: a net without a mask "
                'channel cannot tell them from values; set mask = "any", or leave these out'
            )
        return cls(bands, scaling, mask)

    # -- what they are --------------------------------------------------------------------------

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The raw planes, in order."""
        return tuple(band.plane for band in self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each channel: ``slope``, ``rain_01``, ``cover=3``, ``present``."""
        found: list[str] = []
        for band in self.bands:
            name = plane_name(band.plane)
            found += [f"{name}={c}" for c in band.codes] if band.kind == "class" else [name]
        for group in self._groups:
            own = self.mask == "each" and self.bands[group[0]].gaps
            found.append(f"present:{plane_name(self.planes[group[0]])}" if own else "present")
        return tuple(found)

    def __len__(self) -> int:
        return sum(band.channels for band in self.bands) + len(self._groups)

    @property
    def symmetric(self) -> bool:
        """Whether a patch may be mirrored and turned: no band depends on the compass."""
        return not any(band.directional for band in self.bands)

    @property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        """The bands that each mask channel counts."""
        every = range(len(self.bands))
        if self.mask == "none":
            return ()
        if self.mask == "any":
            return (tuple(every),)
        rest = tuple(k for k in every if not self.bands[k].gaps)
        return (*((k,) for k in every if self.bands[k].gaps), *((rest,) if rest else ()))

    # -- applying -------------------------------------------------------------------------------

    def assemble(self, planes: Floats) -> Floats:
        """Return channels of raw planes, ``(n, planes, y, x)`` to ``(n, channels, y, x)``."""
        if planes.ndim != 4 or planes.shape[1] != len(self.bands):
            raise ValueError(f"expected (n, {len(self.bands)}, y, x), found {planes.shape}")
        n, _, *cells = planes.shape
        flat = np.ascontiguousarray(planes).reshape(n, len(self.bands), -1)
        return self._assemble(lambda band: flat[:, band], n).reshape(n, len(self), *cells)

    def of_tile(self, inputs: TileInputs, year: int = 0) -> Floats:
        """Return the channels of a tile with its halo, ``(channels, y, x)``.

        `year` is the position along the year axis of yearly values. The same as :meth:`assemble`
        of :func:`~edaphos.engine.conv.planes.planes_of_tile`, without stacking the planes first.
        """
        views = [tile_plane(inputs, plane, year) for plane in self.planes]
        cells = views[0].shape
        flat = [np.ascontiguousarray(view).reshape(1, -1) for view in views]
        return self._assemble(flat.__getitem__, 1).reshape(len(self), *cells)

    def of_patches(
        self, store: PatchStore, patches: NDArray[np.int64], size: int | None = None
    ) -> Floats:
        """Return the channels of stored patches, ``(n, channels, size, size)``."""
        return self.assemble(
            raw_patches(store, patches, _positions(store, self.planes), size or store.size)
        )

    def _assemble(self, plane: Callable[[int], Floats], n: int) -> Floats:
        """Return ``(n, channels, cells)``; `plane` gives raw values of a band, ``(n, cells)``."""
        cells = plane(0).shape[1]
        out = np.empty((n, len(self), cells), np.float32)
        present = np.zeros((n, cells), np.uint16)
        first = np.cumsum([0, *(band.channels for band in self.bands)])
        fill = np.float32(np.nan if self.mask == "none" else 0.0)
        groups = self._groups or (tuple(range(len(self.bands))),)
        for k, group in enumerate(groups):
            for b in group:
                band, values = self.bands[b], plane(b)
                if band.kind == "class":
                    codes = np.array(band.codes, np.float32)
                    one_hot(values, codes, fill, out[:, first[b] : first[b + 1]], present)
                else:
                    centre, factor = np.float32(band.centre), np.float32(band.factor)
                    low, high = (
                        np.float32(free if bound is None else bound)
                        for bound, free in ((band.low, -np.inf), (band.high, np.inf))
                    )
                    standardise(values, centre, factor, low, high, fill, out[:, first[b]], present)
            if self._groups:
                share(present, len(group), out[:, first[-1] + k])
        return out

    def unknown_class(self, inputs: TileInputs, year: int = 0) -> NDArray[np.bool_]:
        """Return which cells of a tile are of a class that no training patch has, ``(y, x)``."""
        halo, (height, width) = inputs.halo, inputs.window.shape
        found = np.zeros((height, width), bool)
        for band in self.bands:
            if band.kind == "class":
                values = tile_plane(inputs, band.plane, year)
                values = values[halo : halo + height, halo : halo + width]
                known = np.isin(values, np.array(band.codes, np.float32))
                found |= ~known & ~np.isnan(values)
        return found

    # -- as files -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads: plain numbers and texts."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Channels:
        """Return the channels that :meth:`to_json` told of."""
        bands = tuple(
            Band(**{**raw, "plane": tuple(raw["plane"]), "codes": tuple(raw["codes"])})
            for raw in told["bands"]
        )
        return cls(bands, told["scaling"], told["mask"])


def _positions(store: PatchStore, planes: Sequence[Plane]) -> NDArray[np.int64]:
    """Return where a store has these planes."""
    lacking = [plane_name(plane) for plane in planes if plane not in store.planes]
    if lacking:
        raise InputError(
            f"{store.folder}: the patches have no {', '.join(lacking)}: they were cut for other "
            "variables; delete the folder and run again"
        )
    return np.array([store.planes.index(plane) for plane in planes], np.int64)


def _band(store: PatchStore, position: int, seen: Seen, scaling: Scaling, bounded: bool) -> Band:
    """Return what is learned of one plane."""
    kind, directional = store.kinds[position], store.directional[position]
    plane, gaps = store.planes[position], seen.missing > 0
    if kind == "class":
        return Band(plane, kind, directional, gaps, codes=seen.codes)
    if not seen.low < seen.high:
        centre = np.float32(seen.low if seen.count else 0.0)
        return Band(plane, kind, directional, gaps, float(centre), 0.0)
    centre = np.float32(seen.mean if scaling == "z-score" else seen.low)
    factor = np.float32(1.0 / (seen.deviation if scaling == "z-score" else seen.high - seen.low))
    bounds = (seen.low, seen.high) if bounded else (None, None)
    return Band(plane, kind, directional, gaps, float(centre), float(factor), (), *bounds)
