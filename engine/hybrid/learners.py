"""What learns from rows of covariates: the protocol, and a forest with two meanings of weight.

The meaning of a row's weight in a bootstrapped forest changed in scikit-learn 1.9 (pull request
31529): before, every row was as likely to be drawn and weights entered impurity and leaf means;
since, weights are probabilities of being drawn and the trees see counts. Both are here, by name,
so that a result says which it used and does not change with the library.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest import ForestArrays, predict

from ..errors import InputError
from ..models.forest_arrays import load_arrays, pack, save_arrays
from .site_years import Floats

Rows = NDArray[np.float32]
WeightMode = Literal["draw", "impurity"]


@runtime_checkable
class Learner(Protocol):
    """A regression of stocks on covariates. scikit-learn's regressors are such learners."""

    def fit(self, rows: Rows, y: Floats, weight: Floats, /) -> Self:
        """Learn ``y``, ``(n,)``, from rows ``(n, features)`` with weights ``(n,)``."""

    def predict(self, rows: Rows, /) -> Floats:
        """Return what was learned for each row, ``(n,)``."""


@dataclass
class ForestLearner:
    """A random forest (Breiman 2001) grown by scikit-learn and walked by ``kernels/forest.py``.

    Parameters
    ----------
    trees, min_samples_leaf, max_features
        As in scikit-learn.
    weight_mode
        ``draw``: rows are drawn in proportion to their weight, leaves average what was drawn.
        ``impurity``: rows are drawn alike; weights enter impurity and leaf means. Quantiles count
        drawn rows alike in both, so under ``impurity`` they do not see weights.
    seed
        Of the bootstrap and the feature draws.
    threads
        Used while fitting with ``draw``; the trees do not depend on it.
    """

    trees: int = 200
    min_samples_leaf: int = 1
    max_features: float | Literal["sqrt"] = "sqrt"
    weight_mode: WeightMode = "draw"
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str] = "forest"

    def __post_init__(self) -> None:
        if self.weight_mode not in ("draw", "impurity"):
            raise InputError(
                f'weight_mode of a forest is "draw" or "impurity", found "{self.weight_mode}"'
            )
        self._arrays: ForestArrays | None = None
        self.features = 0  # columns it was fitted to

    def fit(self, rows: Rows, y: Floats, weight: Floats, /) -> Self:
        """Grow the trees; equal weights are no weights."""
        if len(rows) < 2 * self.min_samples_leaf:
            raise InputError(
                f"a forest with leaves of {self.min_samples_leaf} rows needs at least "
                f"{2 * self.min_samples_leaf} rows of sites and years, found {len(rows)}"
            )
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise InputError("weights of rows must be finite, not negative, and not all zero")
        rows = np.ascontiguousarray(rows, np.float32)
        self.features = rows.shape[1]
        equal = bool(np.ptp(weight) == 0)
        if equal or self.weight_mode == "draw":
            self._arrays = self._grow_drawn(rows, y, None if equal else weight)
        else:
            self._arrays = self._grow_weighted(rows, y, weight)
        return self

    def _grow_drawn(self, rows: Rows, y: Floats, weight: Floats | None) -> ForestArrays:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            n_jobs=self.threads,
            random_state=self.seed,
        )
        return pack(forest.fit(rows, y, sample_weight=weight), rows, y)

    def _grow_weighted(self, rows: Rows, y: Floats, weight: Floats) -> ForestArrays:
        """Grow trees as scikit-learn did before 1.9: its seeds, its draws, weights times counts."""
        from sklearn.tree import DecisionTreeRegressor

        grown = _Grown([], [])
        stream = np.random.RandomState(self.seed)  # scikit-learn's own stream, for its trees
        for _ in range(self.trees):
            seed = stream.randint(np.iinfo(np.int32).max)
            drawn = np.random.RandomState(seed).randint(0, len(y), len(y))
            counts = np.bincount(drawn, minlength=len(y))
            tree = DecisionTreeRegressor(
                min_samples_leaf=self.min_samples_leaf,
                max_features=self.max_features,
                random_state=seed,
            )
            grown.estimators_.append(tree.fit(rows, y, sample_weight=counts * weight))
            grown.estimators_samples_.append(drawn[weight[drawn] > 0])
        return pack(grown, rows, y, weight)

    @property
    def arrays(self) -> ForestArrays:
        """The packed trees."""
        if self._arrays is None:
            raise InputError("the forest is not fitted yet; call fit() or load()")
        return self._arrays

    def predict(self, rows: Rows, /) -> Floats:
        """Return the mean over trees for each row, ``(n,)``."""
        return self.quantiles(rows, ())[0]

    def quantiles(self, rows: Rows, levels: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Return the mean ``(n,)`` and quantiles ``(n, levels)`` of each row."""
        rows = np.ascontiguousarray(rows, np.float32)
        if self.features and rows.shape[1] != self.features:
            raise InputError(
                f"the forest learned from {self.features} covariates, these rows have "
                f"{rows.shape[1]}: give it those it was fitted with"
            )
        return predict(self.arrays, rows, np.array(levels, np.float64))

    # -- files ----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the settings, and the version of scikit-learn in use."""
        import sklearn

        return {
            "kind": self.kind,
            "settings": asdict(self),
            "features": self.features,
            "scikit_learn": sklearn.__version__,
        }

    @classmethod
    def from_json(cls, described: dict[str, Any]) -> Self:
        """Return an unfitted learner with the settings of :meth:`to_json`."""
        return cls(**described["settings"])

    def save(self, folder: Path) -> None:
        """Write settings as ``learner.json`` and the trees as NumPy arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(self.arrays, folder)
        (folder / "learner.json").write_text(json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "learner.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved forest here")
        described = json.loads(path.read_text())
        learner = cls.from_json(described)
        learner.features = described["features"]
        learner._arrays = load_arrays(folder)
        return learner


@dataclass
class _Grown:
    """What :func:`pack` needs of a forest."""

    estimators_: list[Any]
    estimators_samples_: list[NDArray[np.int64]]
