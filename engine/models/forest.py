"""Random forest on covariates and depth, with the mean and quantiles of its prediction.

Trees are grown by scikit-learn; the prediction is walked by ``kernels/forest.py``. Depth enters
as two features, the top and bottom of the layer, so that one forest serves every depth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest import ForestArrays, log_centre, predict, predict_columns
from edaphos.kernels.forest_nodes import ForestNodes
from edaphos.kernels.forest_quantiles import FOUND_BYTES
from edaphos.kernels.forest_walk import WALK_BYTES, packet_order

from ..conformal import CONFORMAL, Bounds, Conformal, calibrate
from ..covariate_choice import CHOSEN, JUDGE, ChoiceSpec, CovariateChoice, choose_covariates
from ..errors import InputError
from ..samples import Samples
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
from .forest_arrays import load_arrays, pack, save_arrays
from .protocol import Depth, Emits, ModelSpec, Reads, TileInputs


@dataclass
class ForestModel:
    """Random forest of soil organic carbon.

    Parameters
    ----------
    covariates
        Cube variables it uses; none at all makes the depth-only baseline.
    trees, min_samples_leaf, max_features
        As in scikit-learn. ``max_features`` below 1.0 keeps the trees diverse, without which
        90 % intervals cover too little (0.83-0.86 instead of 0.90 in a test on lognormal data).
    transform
        Scale on which trees are grown: ``log1p`` or ``none``. Predictions are always on the
        original scale, ``mean`` being the arithmetic mean.
    quantiles
        Levels to map beside the mean.
    depths
        Intervals to map, cm.
    seed
        Of the bootstrap and the feature draws.
    threads
        Used while fitting; the trees do not depend on it.
    choose
        ``all`` covariates, or those of ``filter``: of correlated ones and of weak ones some go
        (:func:`~edaphos.engine.covariate_choice.choose_covariates`), by the rows it is fitted to.
    intervals
        Pairs of quantiles as the ``forest`` has them, or moved so that they hold their share in
        spatial blocks not learned from: ``conformal`` (:mod:`edaphos.engine.conformal`).
    """

    covariates: tuple[str, ...]
    trees: int = 200
    min_samples_leaf: int = 5
    max_features: float | Literal["sqrt"] = "sqrt"
    transform: Literal["log1p", "none"] = "log1p"
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = GLOBALSOILMAP_DEPTHS
    seed: int = 0
    threads: int = 1
    choose: Literal["all", "filter"] = "all"
    intervals: Literal["forest", "conformal"] = "forest"

    kind: ClassVar[str] = "forest"

    def __post_init__(self) -> None:
        self.covariates = tuple(self.covariates)
        self.quantiles = tuple(self.quantiles)
        self.depths = tuple((float(top), float(bottom)) for top, bottom in self.depths)
        self._features: tuple[Feature, ...] = ()
        self._target = ("soc", "g kg-1")
        self._forest: ForestArrays | None = None
        self._nodes: dict[Depth, ForestNodes] = {}
        self._choice: CovariateChoice | None = None
        self._importance: dict[str, float] | None = None
        self._conformal: tuple[Conformal, ...] = ()
        if self.intervals == "conformal" and not self._pairs:
            raise InputError(
                "conformal intervals are of pairs of quantiles such as 0.05 and 0.95, found "
                f"{', '.join(f'{q:g}' for q in self.quantiles) or 'none'}"
            )

    # -- declarations ---------------------------------------------------------------------------

    @property
    def reads(self) -> Reads:
        """The covariates, or those of them that were chosen, without halo."""
        if self._choice is None:
            return Reads(self.covariates)
        kept = {variable for variable, _ in self._features}
        return Reads(tuple(name for name in self.covariates if name in kept))

    @property
    def emits(self) -> Emits:
        """Mean and quantiles for each depth."""
        outputs = mean_and_quantiles(self._target, self.quantiles, self._quantile_words)
        return Emits(outputs, self.depths)

    @property
    def features(self) -> tuple[str, ...]:
        """Feature columns in the order of the trees, the two depths last."""
        return (*(column_name(*f) for f in self._features), *DEPTH_FEATURES)

    @property
    def choice(self) -> CovariateChoice | None:
        """Which covariates were chosen, and why the others were not; None where all are used."""
        return self._choice

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata are to say of the options that are used."""
        told = []
        if self.choose == "filter":
            told.append(CHOSEN)
        if self.intervals == "conformal":
            told.append(CONFORMAL)
        return {"method": " ".join(told)} if told else {}

    @property
    def _pairs(self) -> tuple[tuple[float, float], ...]:
        """Quantiles that bound a central interval, the lower one first."""
        return tuple(
            (low, high)
            for low in self.quantiles
            for high in self.quantiles
            if low < 0.5 and abs(low + high - 1) < 1e-9
        )

    def _quantile_words(self, q: float) -> str:
        for low, high in self._pairs if self.intervals == "conformal" else ():
            if q in (low, high):
                side = "lower" if q == low else "upper"
                return f"{side} bound of the conformal {100 * (high - low):g} % interval"
        return f"{100 * q:g} % quantile"

    # -- learning -------------------------------------------------------------------------------

    def fit(self, samples: Samples) -> Self:
        """Grow the trees on all rows of `samples`, drawing rows in proportion to their weight."""
        from sklearn.ensemble import RandomForestRegressor

        if len(samples) < 2 * self.min_samples_leaf:
            raise InputError(
                f"a forest with leaves of {self.min_samples_leaf} rows needs at least "
                f"{2 * self.min_samples_leaf} samples, found {len(samples)}"
            )
        self._target = samples.target
        self._features = tuple(
            f for name in self.covariates for f in resolve_feature(name, samples)
        )
        if self.choose == "filter" and self._features:
            self._choice = self._chosen(samples)
            kept = set(self._choice.kept)
            self._features = tuple(f for f in self._features if column_name(*f) in kept)
        if self.intervals == "conformal":
            self._conformal = self._calibrated(samples)
        rows = self._rows(samples)
        grown_on = np.log1p(samples.y) if self.transform == "log1p" else samples.y
        weight = samples.weight
        forest = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            n_jobs=self.threads,
            random_state=self.seed,
        ).fit(rows, grown_on, sample_weight=None if np.ptp(weight) == 0 else weight)
        self._forest, self._nodes = pack(forest, rows, samples.y), {}
        shares = forest.feature_importances_.tolist()
        self._importance = dict(zip(self.features, shares, strict=True))
        return self

    def _chosen(self, samples: Samples) -> CovariateChoice:
        """Choose covariates by a smaller forest of the same settings."""
        smaller = {
            "trees": min(self.trees, JUDGE.settings["trees"]),
            "min_samples_leaf": self.min_samples_leaf,
            "max_features": self.max_features,
            "transform": self.transform,
            "quantiles": (),
            "seed": self.seed,
            "threads": self.threads,
        }
        return choose_covariates(
            samples,
            tuple(column_name(*f) for f in self._features),
            ChoiceSpec(seed=self.seed),
            scale=self.transform,
            judge=ModelSpec(ForestModel.kind, smaller),
        )

    def _calibrated(self, samples: Samples) -> tuple[Conformal, ...]:
        """Learn the margins of each interval with forests of the same settings.

        They see the covariates once more each, and choose for themselves.
        """
        name = samples.target[0]
        return calibrate(
            ModelSpec(ForestModel.kind, {**asdict(self), "intervals": "forest"}),
            samples,
            [
                Bounds(quantile_name(name, low), quantile_name(name, high), round(high - low, 9))
                for low, high in self._pairs
            ],
            offset=1.0 if self.transform == "log1p" else None,
            seed=self.seed,
        )

    def _rows(self, samples: Samples) -> NDArray[np.float32]:
        return sample_rows(self._features, samples)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of what splits on it lowered the variance, adding up to 1.

        Breiman's (2001) importance by impurity, of the training rows: it costs nothing, and
        flatters features of many values; ``engine/importance.py`` measures it on rows left out.
        """
        if self._importance is None:
            raise InputError("this forest was saved without its importance; fit the model again")
        return dict(self._importance)

    # -- prediction -----------------------------------------------------------------------------

    @property
    def forest(self) -> ForestArrays:
        """The packed trees."""
        if self._forest is None:
            raise InputError("the forest is not fitted yet; call fit() or load()")
        return self._forest

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.float64]]:
        """Return each output for each sample row at its own depth interval, shape ``(n,)``.

        Beside what is mapped: ``<target>_logmean``, the centre of the prediction on the log scale.
        """
        rows = self._rows(samples)
        found = predict(self.forest, rows, np.array(self.quantiles))
        named = self._named(*found, samples.top, samples.bottom)
        return {**named, f"{self._target[0]}_logmean": log_centre(self.forest, rows)}

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[np.float32]]:
        """Return each output as ``(depth, year, y, x)`` float32, NaN outside ``inputs.wanted``."""
        shape = inputs.out_shape(len(self.depths))
        out = {o.name: np.full(shape, np.nan, np.float32) for o in self.emits.outputs}
        cells = packet_order(inputs.wanted)
        quantiles = np.array(self.quantiles)
        for year in range(len(inputs.years)):
            for chunk, values in tile_chunks(inputs, self._features, year, cells):
                for d, depth in enumerate(self.depths):
                    nodes = self._nodes_at(depth)
                    found = predict_columns(self.forest, values, quantiles, nodes=nodes)
                    named = self._named(found.mean, found.quantiles, *depth)
                    for name, layer in named.items():
                        out[name][d, year].reshape(-1)[chunk] = layer
        return out

    def _nodes_at(self, depth: Depth) -> ForestNodes:
        """Return the nodes that ask for covariates, for layers of one depth."""
        if depth not in self._nodes:
            first = len(self._features)  # of the columns of depth, which are the last
            known = {first: depth[0], first + 1: depth[1]}
            self._nodes[depth] = self.forest.nodes_where(known)
        return self._nodes[depth]

    def _named(
        self,
        mean: NDArray[np.float64],
        quantiles: NDArray[np.float64],
        top: NDArray[np.float64] | float,
        bottom: NDArray[np.float64] | float,
    ) -> dict[str, NDArray[np.float64]]:
        """Name what was predicted for layers from `top` to `bottom`, moving bounds of intervals."""
        name = self._target[0]
        found = {f"{name}_mean": mean}
        found |= {quantile_name(name, q): quantiles[:, i] for i, q in enumerate(self.quantiles)}
        # from the median outwards: each interval has a margin of its own, and holds what is within
        inner = (found[quantile_name(name, 0.5)],) * 2 if 0.5 in self.quantiles else None
        moves = zip(self._pairs, self._conformal, strict=False)
        for (low, high), conformal in sorted(moves, key=lambda move: -move[0][0]):
            lower, upper = quantile_name(name, low), quantile_name(name, high)
            moved = conformal.apply(found[lower], found[upper], top, bottom)
            if inner is not None:
                moved = np.minimum(moved[0], inner[0]), np.maximum(moved[1], inner[1])
            found[lower], found[upper] = inner = (moved[0], moved[1])
        return found

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        outputs = len(self.emits.outputs) * len(self.depths) * years * cells * 4
        chunk = min(cells, CHUNK_CELLS)
        rows = chunk * (4 * len(self.features) + 8 * (1 + len(self.quantiles)))
        walking = WALK_BYTES + (FOUND_BYTES if self.quantiles else 0)
        return outputs + rows + walking + 16 * cells

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows.

        The rows themselves a few times over, the trees as scikit-learn holds them (80 bytes a
        node) and packed (19 bytes a node, and each tree's drawn rows).
        """
        nodes = 2 * rows // self.min_samples_leaf
        return rows * (16 * len(self.features) + 200) + self.trees * (99 * nodes + 8 * rows)

    def resident_bytes(self) -> int:
        """Return the bytes of the trees and those of each depth, which every worker has once."""
        return self.forest.nbytes + 8 * len(self.forest.feature) * len(self.depths)

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write settings as JSON and the trees as NumPy arrays."""
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(self.forest, folder)
        described = {
            "schema": 1,
            "kind": self.kind,
            "settings": asdict(self),
            "features": self._features,
            "target": self._target,
            "choice": None if self._choice is None else self._choice.to_json(),
            "conformal": [one.to_json() for one in self._conformal],
            "importance": self._importance,
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved forest here")
        described: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(**described["settings"])
        model._features = tuple((name, month) for name, month in described["features"])
        model._target = tuple(described["target"])
        if described.get("choice"):
            model._choice = CovariateChoice.from_json(described["choice"])
        model._conformal = tuple(Conformal.from_json(c) for c in described.get("conformal", ()))
        model._importance = described.get("importance")
        model._forest = load_arrays(folder)
        return model
