"""Boosted trees of one quantity: grown by scikit-learn, packed, walked, and kept in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest import ForestArrays
from edaphos.kernels.forest_nodes import ForestNodes
from edaphos.kernels.forest_walk import tree_sums

from .forest_arrays import load_arrays, pack_boosted, save_arrays

Floats = NDArray[np.float64]
Link = Literal["identity", "log"]


@dataclass(frozen=True)
class BoostedTrees:
    """Trees that add up to a prediction, or to its logarithm.

    Parameters
    ----------
    forest
        The trees; leaf means are what a leaf adds.
    base
        What they begin with.
    link
        ``identity``, or ``log``: the prediction is the exponential of the sum.
    """

    forest: ForestArrays
    base: float
    link: Link

    @classmethod
    def grow(
        cls,
        rows: NDArray[np.float32],
        y: Floats,
        weight: Floats,
        link: Link,
        settings: Mapping[str, Any],
        threads: int,
    ) -> tuple[Self, Floats]:
        """Grow trees by histogram gradient boosting (Ke et al. 2017, *NeurIPS* 30).

        Parameters
        ----------
        rows
            Features, float32, ``(n, features)``; NaN is missing.
        y, weight
            Target and row weights, ``(n,)``; with the log link targets are not negative, and the
            loss is the Poisson deviance, whose minimum is the mean.
        settings
            Of ``HistGradientBoostingRegressor``.
        threads
            That build histograms.

        Returns
        -------
        trees, gain
            And by how much splits on each feature lowered the loss, as shares, ``(features,)``.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        model = HistGradientBoostingRegressor(
            loss="squared_error" if link == "identity" else "poisson",
            early_stopping=False,
            **settings,
        )
        with threadpool_limits(threads):
            model.fit(rows, y, sample_weight=None if np.ptp(weight) == 0 else weight)
        forest, base = pack_boosted(model, link)
        gain = np.zeros(rows.shape[1])
        for (tree,) in model._predictors:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gain, inner["feature_idx"], inner["gain"])
        return cls(forest, base, link), gain / (gain.sum() or 1.0)

    def predict(self, columns: NDArray[np.float32], nodes: ForestNodes | None = None) -> Floats:
        """Return the prediction of each row, ``(n,)``.

        Parameters
        ----------
        columns
            Features, C-contiguous float32, ``(features, n)``.
        nodes
            Of the trees, where some features are known.
        """
        # a copy, as it may be mapped from a file: that would be another type to compile for
        values = np.array(self.forest.leaf_mean[None])
        total = self.base + tree_sums(nodes or self.forest.nodes, values, columns)[0, 0]
        return np.asarray(total if self.link == "identity" else np.exp(total))

    @property
    def nbytes(self) -> int:
        """Bytes of the trees."""
        return self.forest.nbytes

    def save(self, folder: Path) -> None:
        """Write the trees as NumPy arrays, and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(self.forest, folder)
        (folder / "sum.json").write_text(json.dumps({"base": self.base, "link": self.link}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        forest = load_arrays(folder)
        told = json.loads((folder / "sum.json").read_text())
        return cls(forest, told["base"], told["link"])
