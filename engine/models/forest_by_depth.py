"""A random forest for each depth interval: what one forest with depth as a predictor is beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..samples import Samples
from .depth_rows import depth_rows
from .forest import ForestModel
from .protocol import Emits, Reads, TileInputs


@dataclass
class ForestByDepth(ForestModel):
    """A :class:`ForestModel` for each depth interval, each from the layers of its interval alone.

    The parameters are those of :class:`ForestModel`. A layer belongs to the interval that holds
    its midpoint, or to the nearest one.
    """

    kind: ClassVar[str] = "forest_by_depth"

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        self._one = ForestModel(**plain)
        self._forests: tuple[ForestModel, ...] = ()

    @property
    def reads(self) -> Reads:
        """The covariates, without halo."""
        return self._one.reads

    @property
    def emits(self) -> Emits:
        """Mean and quantiles for each depth."""
        return replace((self._forests or (self._one,))[0].emits, depths=self.depths)

    @property
    def forests(self) -> tuple[ForestModel, ...]:
        """The fitted forests, from the top down."""
        if not self._forests:
            raise InputError("the forests are not fitted yet; call fit() or load()")
        return self._forests

    def fit(self, samples: Samples) -> Self:
        """Grow a forest for each depth from its rows.

        Raises
        ------
        InputError
            A depth has too few rows.
        """
        of_depth = depth_rows(samples.top, samples.bottom, self.depths)
        fitted = []
        for d, (top, bottom) in enumerate(self.depths):
            rows = of_depth == d
            if rows.sum() < 2 * self.min_samples_leaf:
                raise InputError(
                    f"a forest for each depth needs at least {2 * self.min_samples_leaf} samples "
                    f"in each, and {top:g}-{bottom:g} cm has {rows.sum()}: leave that depth out of "
                    "map.depths, or take one forest with depth as a predictor"
                )
            one = replace(self._one, depths=((top, bottom),), seed=self.seed + d)
            fitted.append(one.fit(samples.take(rows)))
        self._forests = tuple(fitted)
        return self

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.float64]]:
        """Return each output for each sample row by the forest of its depth, shape ``(n,)``."""
        of_depth = depth_rows(samples.top, samples.bottom, self.depths)
        out: dict[str, NDArray[np.float64]] = {}
        for d, forest in enumerate(self.forests):
            rows = np.flatnonzero(of_depth == d)
            if rows.size:
                for name, values in forest.predict_rows(samples.take(rows)).items():
                    out.setdefault(name, np.full(len(samples), np.nan))[rows] = values
        return out

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[np.float32]]:
        """Return each output as ``(depth, year, y, x)`` float32, NaN outside ``inputs.wanted``."""
        layers = [forest.predict(inputs) for forest in self.forests]
        return {name: np.concatenate([one[name] for one in layers]) for name in layers[0]}

    def importance(self) -> dict[str, float]:
        """Return the mean over depths of :meth:`ForestModel.importance`."""
        of_depth = [forest.importance() for forest in self.forests]
        names = {name: None for one in of_depth for name in one}
        return {name: sum(one.get(name, 0.0) for one in of_depth) / len(of_depth) for name in names}

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        # the layers of each depth, and once more as they are put together
        return 2 * self._one.memory_bytes(cells, years)

    def resident_bytes(self) -> int:
        """Return the bytes of all trees, which every worker maps once."""
        return sum(forest.resident_bytes() for forest in self.forests)

    def save(self, folder: Path) -> None:
        """Write settings as JSON, and each forest in a folder of its own."""
        for d, forest in enumerate(self.forests):
            forest.save(folder / f"depth_{d}")
        described = {"schema": 1, "kind": self.kind, "settings": asdict(self)}
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there are no saved forests here")
        described: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(**described["settings"])
        model._forests = tuple(
            ForestModel.load(folder / f"depth_{d}") for d in range(len(model.depths))
        )
        return model
