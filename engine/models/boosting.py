"""Gradient-boosted trees on covariates and depth: the mean, and intervals from rows left out.

Three sums of trees, all of scikit-learn's histogram boosting and walked by ``kernels/forest.py``:
the mean on the original scale (log link, Poisson deviance, so that nothing is transformed back),
the centre on the scale log(1 + value), and the spread around it there, which is learned from
residuals of rows left out by spatial block. A quantile is the centre plus the spread times that
quantile of standardised residuals, by depth, each block weighing alike (locally weighted conformal
prediction: Lei et al. 2018, *JASA* 113, section 5.2; as cross-conformal prediction its guarantee
is approximate).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.conformal import block_weights, weighted_quantile
from edaphos.kernels.forest_nodes import ForestNodes
from edaphos.kernels.forest_walk import WALK_BYTES, packet_order

from ..assess.splits import Split
from ..assess.strata import DEPTH_LABELS, depth_groups
from ..conformal import FEWEST_BLOCKS, calibration_split
from ..errors import InputError
from ..samples import Samples
from .boosting_parts import BoostedTrees, Floats, Link
from .columns import (
    CHUNK_CELLS,
    DEPTH_FEATURES,
    GLOBALSOILMAP_DEPTHS,
    Feature,
    column_name,
    mean_and_quantiles,
    quantile_name,
    resolve_feature,
    sample_rows,
    tile_chunks,
)
from .protocol import Depth, Emits, Reads, TileInputs

FOLDS = 5
#: What the metadata of its maps say.
METHOD = (
    "Intervals are the spread of residuals in spatial blocks left out of training, by depth, each "
    "block weighing alike (locally weighted conformal prediction, Lei et al. 2018). Where soils "
    "differ from all that were sampled they may hold less."
)


@dataclass
class BoostingModel:
    """Boosted trees of soil organic carbon, or of another quantity that is not negative.

    Parameters
    ----------
    covariates
        Cube variables it uses; none at all makes the depth-only baseline.
    trees
        That are added up, of each of the three sums.
    learning_rate
        Share of each tree that is added.
    max_leaf_nodes, min_samples_leaf, max_features
        As in scikit-learn's ``HistGradientBoostingRegressor``.
    quantiles
        Levels to map beside the mean; without any only the mean's trees are grown for maps.
    depths
        Intervals to map, cm.
    seed
        Of feature draws, and of the folds that residuals come from.
    threads
        Used while fitting.
    """

    covariates: tuple[str, ...]
    trees: int = 300
    learning_rate: float = 0.05
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    max_features: float = 0.5
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = GLOBALSOILMAP_DEPTHS
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str] = "boosting"

    def __post_init__(self) -> None:
        self.covariates = tuple(self.covariates)
        self.quantiles = tuple(self.quantiles)
        self.depths = tuple((float(top), float(bottom)) for top, bottom in self.depths)
        self._features: tuple[Feature, ...] = ()
        self._target = ("soc", "g kg-1")
        self._parts: dict[str, BoostedTrees] = {}
        self._nodes: dict[tuple[str, Depth], ForestNodes] = {}
        self._gain: dict[str, float] = {}
        #: Quantiles of standardised residuals, (depth groups, levels).
        self._residuals: Floats = np.empty((len(DEPTH_LABELS), 0))

    # -- declarations ---------------------------------------------------------------------------

    @property
    def reads(self) -> Reads:
        """The covariates, without halo."""
        return Reads(self.covariates)

    @property
    def emits(self) -> Emits:
        """Mean and quantiles for each depth."""
        return Emits(mean_and_quantiles(self._target, self.quantiles), self.depths)

    @property
    def features(self) -> tuple[str, ...]:
        """Feature columns in the order of the trees, the two depths last."""
        return (*(column_name(*f) for f in self._features), *DEPTH_FEATURES)

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata are to say."""
        return {"method": METHOD} if self.quantiles else {}

    def importance(self) -> dict[str, float]:
        """Return each feature's share of what splits on it lowered the loss of the mean.

        Of the training rows: it costs nothing, and flatters features of many values;
        ``engine/importance.py`` measures it on rows left out.
        """
        self._fitted()
        return dict(self._gain)

    # -- learning -------------------------------------------------------------------------------

    def fit(self, samples: Samples) -> Self:
        """Grow the trees on all rows of `samples`, and learn residuals by leaving blocks out.

        Raises
        ------
        InputError
            For negative targets, fewer rows than two leaves, or too few places for the levels.
        """
        if len(samples) < 2 * self.min_samples_leaf:
            raise InputError(
                f"boosted trees with leaves of {self.min_samples_leaf} rows need at least "
                f"{2 * self.min_samples_leaf} samples, found {len(samples)}"
            )
        if samples.y.min() < 0 or samples.y.max() <= 0:
            raise InputError(
                "boosted trees with a log link learn what is not negative, found "
                f"{samples.target[0]} from {samples.y.min():g} to {samples.y.max():g}; take a "
                "forest"
            )
        self._target, self._nodes = samples.target, {}
        self._features = tuple(
            f for name in self.covariates for f in resolve_feature(name, samples)
        )
        rows = sample_rows(self._features, samples)
        everyone = np.ones(len(samples), bool)
        self._parts = {}
        self._parts["mean"], gain = self._grown(rows, samples.y, samples.weight, everyone, "log")
        self._gain = dict(zip(self.features, gain.tolist(), strict=True))
        z = np.log1p(samples.y)
        self._parts["centre"], _ = self._grown(rows, z, samples.weight, everyone, "identity")
        if self.quantiles:
            self._learn_residuals(samples, rows, z)
        return self

    def _grown(
        self,
        rows: NDArray[np.float32],
        y: Floats,
        weight: Floats,
        taught: NDArray[np.bool_],
        link: Link,
    ) -> tuple[BoostedTrees, Floats]:
        settings = {
            "max_iter": self.trees,
            "learning_rate": self.learning_rate,
            "max_leaf_nodes": self.max_leaf_nodes,
            "min_samples_leaf": self.min_samples_leaf,
            "max_features": self.max_features,
            "random_state": self.seed,
        }
        return BoostedTrees.grow(
            rows[taught], y[taught], weight[taught], link, settings, self.threads
        )

    def _learn_residuals(self, samples: Samples, rows: NDArray[np.float32], z: Floats) -> None:
        """Learn the spread and the quantiles of residuals of rows left out, by depth."""
        levels = np.array(self.quantiles)
        widest = float(2 * np.abs(levels - 0.5).max())
        split = calibration_split(samples, max(widest, 0.5), folds=FOLDS, seed=self.seed)
        weight = samples.weight
        residual = z - self._out_of_fold(split, rows, z, weight, "identity")
        size = np.abs(residual)
        everyone = np.ones(len(samples), bool)
        self._parts["spread"], _ = self._grown(rows, size, weight, everyone, "log")
        standard = residual / self._out_of_fold(split, rows, size, weight, "log")
        depth = depth_groups(samples.top, samples.bottom)
        pooled = _levels_of(standard, split.blocks, weight, levels)
        self._residuals = np.tile(pooled, (len(DEPTH_LABELS), 1))
        outermost = float(np.maximum(levels, 1 - levels).max())
        fewest = max(FEWEST_BLOCKS, math.ceil(outermost / (1 - outermost) - 1e-9))
        for group in range(len(DEPTH_LABELS)):
            mine = depth == group
            if len(np.unique(split.blocks[mine])) >= fewest:
                self._residuals[group] = _levels_of(
                    standard[mine], split.blocks[mine], weight[mine], levels
                )

    def _out_of_fold(
        self, split: Split, rows: NDArray[np.float32], y: Floats, weight: Floats, link: Link
    ) -> Floats:
        """Return predictions of each row by trees that saw no row of its fold, ``(n,)``."""
        found = np.empty(len(y))
        for fold in range(len(split)):
            out = split.held_out(fold)
            trees, _ = self._grown(rows, y, weight, ~out, link)
            found[out] = trees.predict(np.ascontiguousarray(rows[out].T))
        return found

    # -- prediction -----------------------------------------------------------------------------

    def predict_rows(self, samples: Samples) -> dict[str, Floats]:
        """Return each output for each sample row at its own depth interval, shape ``(n,)``.

        Beside what is mapped: ``<target>_logmean``, the centre of the prediction on the log scale.
        """
        self._fitted()
        columns = np.ascontiguousarray(sample_rows(self._features, samples).T)
        said = {name: trees.predict(columns) for name, trees in self._parts.items()}
        groups = depth_groups(samples.top, samples.bottom)
        return {
            **self._named(said, groups),
            f"{self._target[0]}_logmean": np.maximum(np.expm1(said["centre"]), 0.0),
        }

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[np.float32]]:
        """Return each output as ``(depth, year, y, x)`` float32, NaN outside ``inputs.wanted``."""
        self._fitted()
        shape = inputs.out_shape(len(self.depths))
        out = {o.name: np.full(shape, np.nan, np.float32) for o in self.emits.outputs}
        cells = packet_order(inputs.wanted)
        wanted = [n for n in self._parts if self.quantiles or n == "mean"]
        for year in range(len(inputs.years)):
            for chunk, values in tile_chunks(inputs, self._features, year, cells):
                for d, depth in enumerate(self.depths):
                    said = {
                        n: self._parts[n].predict(values, self._nodes_at(n, depth)) for n in wanted
                    }
                    group = depth_groups(*(np.array([edge]) for edge in depth))
                    for name, layer in self._named(said, group).items():
                        out[name][d, year].reshape(-1)[chunk] = layer
        return out

    def _nodes_at(self, part: str, depth: Depth) -> ForestNodes:
        """Return the nodes that ask for covariates, for layers of one depth."""
        if (part, depth) not in self._nodes:
            first = len(self._features)  # of the columns of depth, which are the last
            known = {first: depth[0], first + 1: depth[1]}
            self._nodes[part, depth] = self._parts[part].forest.nodes_where(known)
        return self._nodes[part, depth]

    def _named(self, said: Mapping[str, Floats], groups: NDArray[np.int64]) -> dict[str, Floats]:
        """Name mean and quantiles of rows in groups of depth, one group for each row or for all."""
        name = self._target[0]
        found = {f"{name}_mean": said["mean"]}
        for i, q in enumerate(self.quantiles):
            logs = said["centre"] + said["spread"] * self._residuals[groups, i]
            found[quantile_name(name, q)] = np.maximum(np.expm1(logs), 0.0)
        return found

    def _fitted(self) -> None:
        if not self._parts:
            raise InputError("the boosted trees are not fitted yet; call fit() or load()")

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        outputs = len(self.emits.outputs) * len(self.depths) * years * cells * 4
        chunk = min(cells, CHUNK_CELLS)
        rows = chunk * (4 * len(self.features) + 8 * (4 + len(self.quantiles)))
        return outputs + rows + WALK_BYTES + 16 * cells

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows: rows, their bins, and small trees."""
        return rows * (16 * len(self.features) + 300) + 6 * self._tree_bytes

    def resident_bytes(self) -> int:
        """Return the bytes of the trees and those of each depth, which every worker has once."""
        return sum(p.nbytes * (1 + len(self.depths)) for p in self._parts.values())

    @property
    def _tree_bytes(self) -> int:
        return 3 * self.trees * 2 * self.max_leaf_nodes * 99

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write settings and residuals as JSON, and the trees of each sum in a folder."""
        self._fitted()
        folder.mkdir(parents=True, exist_ok=True)
        for name, trees in self._parts.items():
            trees.save(folder / name)
        described = {
            "schema": 1,
            "kind": self.kind,
            "settings": asdict(self),
            "features": self._features,
            "target": self._target,
            "parts": list(self._parts),
            "gain": self._gain,
            "residuals": self._residuals.tolist(),
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there are no saved trees here")
        told: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(**told["settings"])
        model._features = tuple((name, month) for name, month in told["features"])
        model._target = tuple(told["target"])
        model._gain = told["gain"]
        model._residuals = np.array(told["residuals"]).reshape(len(DEPTH_LABELS), -1)
        model._parts = {name: BoostedTrees.load(folder / name) for name in told["parts"]}
        return model


def _levels_of(
    standard: Floats, blocks: NDArray[np.int64], weight: Floats, levels: Floats
) -> Floats:
    """Return quantiles of residuals, each moved outward for one block not seen yet."""
    own = block_weights(blocks, weight)
    total = len(np.unique(blocks)) + 1.0
    upper = weighted_quantile(standard, own, levels, total=total)
    lower = -weighted_quantile(-standard, own, 1 - levels, total=total)
    return np.where(levels < 0.5, lower, upper)
