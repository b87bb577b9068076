"""Where a mapped change is distinguishable from none, with false discoveries under control.

A map of a million cells without any change has fifty thousand with p below 0.05. So the threshold
is set over all cells together (:mod:`edaphos.kernels.discovery`): of the cells marked as changed, a
share `q` at most is expected to be marked by chance.

The default is Benjamini-Hochberg with q = 0.1. Errors of neighbouring cells go together, which
makes this procedure strict rather than loose; Wilks (2016, *Bull. Am. Meteorol. Soc.* 97,
2263-2273) finds it to keep about half of `q` on fields with strong spatial correlation, and
recommends 0.1. Benjamini-Yekutieli holds under any dependence at all, and finds far less: on a map
of 10⁸ cells it asks for p-values 19 times smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from edaphos.kernels.discovery import Method, p_bins, p_edges, threshold

from ..grid import Grid
from ..progress import QUIET, Reporter
from .cog import ClassLayer
from .layers import Block, Layer, blocks, layers, map_grid, read_block

Ints = NDArray[np.int64]

#: Codes of the layer of classes, and of cells where nothing was tested.
LOSS, NONE, GAIN, NODATA = 0, 1, 2, 255
CLASSES = {LOSS: "significant loss", NONE: "no significant change", GAIN: "significant gain"}
COLOURS = {LOSS: (166, 97, 26), NONE: (236, 236, 230), GAIN: (1, 133, 113)}
#: What the variables of a mapped change end with.
P, MEAN = "_p", "_mean"
READ_BLOCK = 1024


@dataclass(frozen=True)
class Discovery:
    """What is significant in one layer of changes.

    Parameters
    ----------
    variable
        Of the change in the map, without its statistic: ``change_poml``.
    depth, year, since
        The layer, and the year that changes are counted from.
    q, method
        Share of false discoveries that is accepted, and the procedure.
    tests
        Cells tested.
    threshold
        Largest p that is significant; -1 where none is.
    area_km2, gain_km2, loss_km2
        Tested, with a significant gain, and with a significant loss.
    layer
        The layer of p-values.
    """

    variable: str
    depth: str
    year: int
    since: int
    q: float
    method: Method
    tests: int
    threshold: float
    area_km2: float
    gain_km2: float
    loss_km2: float
    layer: Layer = field(repr=False)

    @property
    def gain_share(self) -> float:
        """Share of the area with a significant gain."""
        return self.gain_km2 / self.area_km2 if self.area_km2 else 0.0

    @property
    def loss_share(self) -> float:
        """Share of the area with a significant loss."""
        return self.loss_km2 / self.area_km2 if self.area_km2 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``, with the shares of the area."""
        told = {name: value for name, value in vars(self).items() if name != "layer"}
        return {**told, "gain_share": self.gain_share, "loss_share": self.loss_share}

    def to_text(self) -> str:
        """Return the shares in a sentence."""
        if self.threshold < 0:
            return (
                f"{self.variable}, {self.since} to {self.year}: in no cell is the change "
                f"distinguishable from none (false discovery rate {self.q:g})."
            )
        return (
            f"{self.variable}, {self.since} to {self.year}: a significant gain on "
            f"{100 * self.gain_share:.1f} % of the area, a significant loss on "
            f"{100 * self.loss_share:.1f} % (false discovery rate {self.q:g}, p up to "
            f"{self.threshold:.2g})."
        )


def layers_of_p(ds: xr.Dataset) -> list[Layer]:
    """Return the layers of p-values of changes, those of the first year left out."""
    return [
        layer
        for layer in layers(ds)
        if layer.variable.endswith(P)
        and layer.variable.removesuffix(P) + MEAN in ds
        and layer.year_index > 0
    ]


def find_discoveries(
    ds: xr.Dataset,
    *,
    q: float = 0.1,
    method: Method = "bh",
    block: int = READ_BLOCK,
    reporter: Reporter = QUIET,
) -> list[Discovery]:
    """Set the threshold of each layer of p-values, and measure what passes it.

    Each layer is a family of tests of its own: a reader looks at one map at a time.

    Parameters
    ----------
    ds
        A finished map with variables ``change_<arm>_p`` and ``change_<arm>_mean``.
    q, method
        Of the control: ``bh`` or ``by``.
    block
        Cells along a side of what is read at once; does not change the result.
    """
    wanted, grid = layers_of_p(ds), map_grid(ds)
    parts = list(blocks(grid.shape, block))
    found = []
    with reporter.task("significant changes", len(wanted) * len(parts)) as progress:
        for layer in wanted:
            counted = _Counted.empty()
            for where in parts:
                mean = read_block(ds, _change(layer), where)
                counted.add(read_block(ds, layer, where), mean, _areas(grid, where))
                progress.advance()
            found.append(_discovery(ds, layer, counted, _area_unit(grid), q, method))
    return found


def class_layers(ds: xr.Dataset, found: Sequence[Discovery]) -> list[ClassLayer]:
    """Return layers that say of each cell whether it gained, lost, or neither for sure."""
    return [
        ClassLayer(
            layer=_class_layer(one),
            classes=CLASSES,
            colours=COLOURS,
            nodata=NODATA,
            tags={
                "since": str(one.since),
                "false_discovery_rate": f"{one.q:g}",
                "procedure": {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}[one.method],
                "largest_significant_p": f"{one.threshold:.6g}",
            },
            read=_Reader(ds, one),
        )
        for one in found
    ]


@dataclass(frozen=True)
class _Reader:
    """Reads the classes of a block from p-values and changes."""

    ds: xr.Dataset
    found: Discovery

    def __call__(self, where: Block) -> NDArray[np.uint8]:
        layer = self.found.layer
        p, mean = (read_block(self.ds, one, where) for one in (layer, _change(layer)))
        return classify(p, mean, self.found.threshold)


def classify(
    p: NDArray[np.floating[Any]], mean: NDArray[np.floating[Any]], threshold: float
) -> NDArray[np.uint8]:
    """Return the class of each cell from its p-value, its change, and the threshold."""
    sure = p <= threshold
    code = np.where(sure & (mean > 0), GAIN, np.where(sure & (mean < 0), LOSS, NONE))
    return np.where(np.isnan(p), NODATA, code).astype(np.uint8)


@dataclass
class _Counted:
    """Cells by bin of p, and the areas of gains and losses by bin, in integers."""

    cells: Ints
    area: int
    gain: Ints
    loss: Ints

    @classmethod
    def empty(cls) -> _Counted:
        bins = len(p_edges())
        return cls(np.zeros(bins, np.int64), 0, np.zeros(bins, np.int64), np.zeros(bins, np.int64))

    def add(
        self, p: NDArray[np.float32], mean: NDArray[np.float32], areas: NDArray[np.float64]
    ) -> None:
        """Count a block; `areas` are whole numbers."""
        known = ~np.isnan(p)
        at, change, area = p_bins(p[known]), mean[known], areas[known]
        size = len(self.cells)
        self.cells += np.bincount(at, minlength=size)
        self.area += int(area.sum())
        # sums of whole numbers below 2**53: exact in any order
        for total, side in ((self.gain, change > 0), (self.loss, change < 0)):
            total += np.bincount(at[side], area[side], minlength=size).astype(np.int64)


def _discovery(
    ds: xr.Dataset, layer: Layer, counted: _Counted, unit: float, q: float, method: Method
) -> Discovery:
    largest = threshold(counted.cells, q, method)
    passed = p_edges() <= largest
    to_km2 = unit * 1e-6
    return Discovery(
        variable=layer.variable.removesuffix(P),
        depth=layer.depth_label,
        year=layer.year,
        since=int(ds["year"].values[0]),
        q=q,
        method=method,
        tests=int(counted.cells.sum()),
        threshold=largest,
        area_km2=counted.area * to_km2,
        gain_km2=int(counted.gain[passed].sum()) * to_km2,
        loss_km2=int(counted.loss[passed].sum()) * to_km2,
        layer=layer,
    )


def _change(layer: Layer) -> Layer:
    """Return the change that a layer of p-values is of."""
    return replace(layer, variable=layer.variable.removesuffix(P) + MEAN, statistic="mean")


def _class_layer(one: Discovery) -> Layer:
    return replace(
        one.layer,
        variable=f"{one.variable}_significant",
        quantity=one.variable,
        statistic="significant",
        units="1",
        long_name=f"significant change since {one.since}, {one.variable.partition('_')[2]}",
        name=f"{one.variable}_{one.depth}_significant_{one.year}",
    )


def _area_unit(grid: Grid) -> float:
    """Return the unit of area weights in m²: some millionth of a cell, whatever the block."""
    x, y = grid.resolution
    side = 111_320.0 if grid.is_geographic else 1.0
    return float(x * y * side**2 / 2**20)


def _areas(grid: Grid, where: Block) -> NDArray[np.float64]:
    """Return the areas of a block's cells as whole numbers of the unit, ``(y, x)``."""
    rows, cols = where
    shape = (rows.stop - rows.start, cols.stop - cols.start)
    areas = grid.cell_areas(grid.window(rows.start, cols.start, *shape))
    return np.broadcast_to(np.rint(areas / _area_unit(grid)), shape)
