"""Random forest of the carbon stock of soil layers of any thickness (Wang et al. 2025, Sci. Bull.).

It learns a layer's stock, or its stock for each centimetre, from covariates and the layer's two
depths, and maps the stock of each layer and of 0-30, 0-100 and 0-200 cm from the same trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..profiles.layer_stocks import STOCK_TARGET
from ..samples import Samples, Target
from ..status import Status
from .forest import ForestModel
from .forest_tuning import Tuned, tune_forest
from .protocol import Depth, Emits, Output, Reads, TileInputs

#: Depths of the sums over layers, cm, that are mapped where the map's layers fill them.
SUMMED: tuple[float, ...] = (30.0, 100.0, 200.0)
#: From kg/m² over cm to kg/m³.
PER_METRE = 100.0
#: A layer thinner than this has no density to learn, cm.
THINNEST_CM = 0.1


@dataclass
class StockForest:
    """Random forest of layer stocks.

    Parameters
    ----------
    covariates, trees, min_samples_leaf, max_features, transform, quantiles, depths, seed, threads
        As of :class:`~edaphos.engine.models.forest.ForestModel`; the defaults are 500 trees, a
        third of the features at each split, and 3 rows in a leaf.
    learns
        ``stock`` of the layer, as in the paper, or its ``density`` (stock for each centimetre),
        which thickness does not decide.
    tune
        Choose rows in a leaf and features at a split by cross-validation over locations within
        the rows that are learned from (:mod:`edaphos.engine.models.forest_tuning`).
    biome
        Cube variables of classes and the classes in which cells are mapped; all of them if empty.
    """

    covariates: tuple[str, ...]
    learns: Literal["stock", "density"] = "stock"
    trees: int = 500
    min_samples_leaf: int = 3
    max_features: float | Literal["sqrt"] = 1 / 3
    transform: Literal["log1p", "none"] = "none"
    tune: bool = False
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = ((0, 30), (30, 100), (100, 200))
    seed: int = 0
    threads: int = 1
    biome: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    kind: ClassVar[str] = "stock_forest"
    target: ClassVar[Target] = STOCK_TARGET

    def __post_init__(self) -> None:
        self.biome = {name: tuple(codes) for name, codes in self.biome.items()}
        self._forest = ForestModel(
            covariates=self.covariates,
            trees=self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            transform=self.transform,
            quantiles=self.quantiles,
            depths=self.depths,
            seed=self.seed,
            threads=self.threads,
        )
        self.covariates, self.quantiles = self._forest.covariates, self._forest.quantiles
        self.depths = self._forest.depths
        self._tuned: Tuned | None = None

    # -- declarations ---------------------------------------------------------------------------

    @property
    def learns_from(self) -> tuple[str, ...]:
        """The covariates."""
        return self.covariates

    @property
    def reads(self) -> Reads:
        """The covariates, and the classes that say where the biome is."""
        return Reads((*self.covariates, *(v for v in self.biome if v not in self.covariates)))

    @property
    def emits(self) -> Emits:
        """Mean and quantiles of each layer's stock, and sums of the means."""
        layers = tuple(
            replace(one, name=_named(one.name), units=STOCK_TARGET[2], encoding="stock")
            for one in self._forest.emits.outputs
        )
        sums = tuple(
            Output(
                f"stock0to{bottom:g}_sum",
                STOCK_TARGET[2],
                "sum",
                "stock",
                f"carbon stock of 0-{bottom:g} cm: sum of the layers' means",
                by_depth=False,
            )
            for bottom in self.summed
        )
        return Emits((*layers, *sums), self.depths)

    @property
    def summed(self) -> dict[float, int]:
        """Depths of the sums that layers fill without a gap, and how many layers each takes."""
        found, reached = {}, 0.0
        for i, (top, bottom) in enumerate(self.depths, start=1):
            if top != reached:
                break
            reached = bottom
            if bottom in SUMMED and i > 1:
                found[bottom] = i
        return found

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata say of it."""
        what = "the stock of a layer" if self.learns == "stock" else "its stock for each centimetre"
        told = [
            f"A random forest learned {what} from covariates and the layer's two depths (Wang et "
            "al. 2025). Sums over depth are of the means; they have no interval, since the errors "
            "of layers go together."
        ]
        if self.biome:
            told.append(f"Cells outside the biome ({self._biome_words()}) are left out.")
        if self._tuned is not None:
            told.append(self._tuned.to_text())
        return {"method": " ".join(told)}

    def _biome_words(self) -> str:
        return "; ".join(f"{v} {', '.join(map(str, codes))}" for v, codes in self.biome.items())

    # -- learning -------------------------------------------------------------------------------

    def fit(self, samples: Samples) -> Self:
        """Grow the trees on the layers of `samples`, whose target is their stock in kg/m²."""
        own = self._scaled(samples)
        if self.tune:
            self._tuned = tune_forest(self._forest, own, self.seed)
            self._forest = replace(self._forest, **self._tuned.settings)
        self._forest.fit(own)
        return self

    def _scaled(self, samples: Samples) -> Samples:
        """Return samples whose target is what the trees learn."""
        if self.learns == "stock":
            return samples
        thickness = samples.bottom - samples.top
        if len(thickness) and thickness.min() < THINNEST_CM:
            raise InputError(
                f"a layer of {thickness.min():g} cm has no density to learn; leave layers thinner "
                f"than {THINNEST_CM:g} cm out of the profiles"
            )
        table = samples.table.assign(y=samples.y * PER_METRE / thickness)
        return replace(samples, table=table, target=("stock", "kg m-3"))

    def importance(self) -> dict[str, float]:
        """Return the importance of each feature, as the forest has it."""
        return self._forest.importance()

    # -- prediction -----------------------------------------------------------------------------

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.float64]]:
        """Return the stock of each layer and its quantiles, kg/m², shape ``(n,)``."""
        found = self._forest.predict_rows(samples)
        found.pop("stock_logmean", None)
        if self.learns == "stock":
            return found
        metres = (samples.bottom - samples.top) / PER_METRE
        return {name: values * metres for name, values in found.items()}

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(depth, year, y, x)`` float32; NaN outside ``inputs.wanted``."""
        inside = self._inside(inputs)
        found: dict[str, NDArray[Any]] = {
            _named(name): values
            for name, values in self._forest.predict(
                replace(inputs, wanted=inputs.wanted & inside)
            ).items()
        }
        if self.learns == "density":
            metres = np.array([(b - t) / PER_METRE for t, b in self.depths], np.float32)
            found = {name: v * metres[:, None, None, None] for name, v in found.items()}
        found |= self.sums(found["stock_mean"])
        if self.biome:
            outside = np.where(inside, 0, Status.OUTSIDE_BIOME).astype(np.uint8)
            found["status"] = outside
        return found

    def sums(self, layers: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the sums over layers ``(depth, year, y, x)`` that are mapped, by name."""
        return {
            f"stock0to{bottom:g}_sum": layers[:count].sum(axis=0, keepdims=True)
            for bottom, count in self.summed.items()
        }

    def _inside(self, inputs: TileInputs) -> NDArray[np.bool_]:
        inside = np.ones(inputs.window.shape, bool)
        for variable, codes in self.biome.items():
            inside &= np.isin(inputs.values[variable], codes)
        return inside

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        sums = 4 * len(self.summed) * years * cells
        twice = 4 * len(self._forest.emits.outputs) * len(self.depths) * years * cells
        return self._forest.memory_bytes(cells, years) + sums + twice + 3 * cells

    def resident_bytes(self) -> int:
        """Return the bytes of the trees, which every worker has once."""
        return self._forest.resident_bytes()

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows."""
        return self._forest.fit_bytes(rows)

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write settings as JSON and the forest in a folder of its own."""
        self._forest.save(folder / "forest")
        tuned = None if self._tuned is None else asdict(self._tuned)
        told = {"schema": 1, "kind": self.kind, "settings": asdict(self), "tuned": tuned}
        (folder / "model.json").write_text(json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved forest of stocks here")
        told: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(**told["settings"])
        model._forest = ForestModel.load(folder / "forest")
        model._tuned = None if told["tuned"] is None else Tuned(**told["tuned"])
        return model


def _named(name: str) -> str:
    """Return the map's name of an output of the forest, which is not fitted yet or is."""
    return f"stock_{name.partition('_')[2]}"
