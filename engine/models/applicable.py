"""A model with an area of applicability: it maps, beside its own outputs, where they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest_walk import packet_order

from ..applicability import APPLICABILITY, FILE, ApplicabilitySpec, Area, learn_area
from ..errors import InputError
from ..samples import Samples
from ..status import Status
from .columns import CHUNK_CELLS, tile_chunks
from .protocol import DISSIMILARITY, Emits, Output, TileInputs, learns_from
from .wrapped import WrappedModel


class ApplicableModel(WrappedModel):
    """Any model of rows, and where it is applicable.

    Everything but what is told here is the model's own: what it reads, its target, its notes.

    Parameters
    ----------
    model
        The model.
    spec
        How the area is learned.
    area
        Of a fitted model.
    """

    def __init__(self, model: Any, spec: ApplicabilitySpec, area: Area | None = None) -> None:
        super().__init__(model)
        self.spec = spec
        self._area = area

    @property
    def emits(self) -> Emits:
        """What the model emits, and the dissimilarity of each cell."""
        emits: Emits = self.model.emits
        return Emits((*emits.outputs, _OUTPUT), emits.depths)

    @property
    def area(self) -> Area:
        """The area of applicability."""
        if self._area is None:
            raise InputError("the area of applicability is not learned yet; call fit() or load()")
        return self._area

    def describe(self) -> dict[str, str]:
        """Return what the model says of its map, and what dissimilarity means."""
        return self.describe_with(APPLICABILITY)

    def fit(self, samples: Samples) -> Self:
        """Fit the model, then learn from the same rows where it holds."""
        self.fit_model(samples)
        told = getattr(self.model, "importance", None)
        importance = told() if told is not None and self.spec.importance == "model" else None
        self._area = learn_area(samples, learns_from(self.model), importance, self.spec)
        return self

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.floating[Any]]]:
        """Return the model's outputs for each row, and its ``dissimilarity``, ``(n,)``."""
        if not hasattr(self.model, "predict_rows"):
            raise InputError(
                f'model "{self.kind}" has no predict_rows(samples), which cross-validation needs; '
                "add it, or set assess.enabled = false"
            )
        return {**self.model.predict_rows(samples), DISSIMILARITY: self.area.of_rows(samples)}

    def predict(self, inputs: TileInputs) -> Mapping[str, NDArray[Any]]:
        """Return the model's outputs, and its ``dissimilarity`` as ``(1, year, y, x)``.

        A cell outside in any year is told so by its status, unless the model has another word for
        it than that it was kept within the range learned from, which is the milder one.
        """
        found = dict(self.model.predict(inputs))
        found[DISSIMILARITY] = unlike = self.unlike(inputs)
        said = found.get("status")
        status = np.zeros(inputs.window.shape, np.uint8) if said is None else said.copy()
        outside = (unlike[0] > 1).any(axis=0)
        status[outside & np.isin(status, (0, Status.LIMITED))] = Status.OUTSIDE_APPLICABILITY
        found["status"] = status
        return found

    def unlike(self, inputs: TileInputs) -> NDArray[np.float32]:
        """Return the dissimilarity of a tile's cells, ``(1, year, y, x)``, NaN where not wanted.

        It is found once for all years where no covariate has values of its own in each.
        """
        area = self.area
        out = np.full(inputs.out_shape(1), np.nan, np.float32)
        cells = packet_order(inputs.wanted)
        yearly = any(inputs.values[v].ndim == 3 for v, month in area.features if month is None)
        for year in range(len(inputs.years)):
            if year and not yearly:
                out[:, year] = out[:, 0]
                continue
            for chunk, values in tile_chunks(inputs, area.features, year, cells):
                out[0, year].reshape(-1)[chunk] = area.dissimilarity(values)
        return out

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        own = getattr(self.model, "memory_bytes", None)
        layers = len(self.model.emits.outputs) * len(self.model.emits.depths)
        predicting = own(cells, years) if own else 4 * layers * years * cells + 16 * cells
        features = 3 * len(self.area.features) + 3  # as they are, as amounts and codes
        return int(predicting + 4 * years * cells + 8 * cells + 4 * features * CHUNK_CELLS)

    def resident_bytes(self) -> int:
        """Return the bytes of the model and of the places, which every worker has once."""
        return int(getattr(self.model, "resident_bytes", lambda: 0)()) + self.area.nbytes

    def save(self, folder: Path) -> None:
        """Write the model, and its area beside it."""
        self.model.save(folder)
        self.area.save(folder)


def with_area(model: Any, folder: Path) -> Any:
    """Return a loaded model, with its area of applicability where its folder has one."""
    if not (folder / FILE).exists():
        return model
    return ApplicableModel(model, ApplicabilitySpec(), Area.load(folder))


_OUTPUT = Output(
    DISSIMILARITY,
    "1",
    "index",
    "float",
    "distance to the nearest training place over the threshold, outside above 1",
    by_depth=False,
)
