"""Depth consistency: any model's layers, made to integrate to the stocks of 0-30 and 0-100 cm.

A forest that has depth as a predictor says one thing of 0-5, 5-15 and 15-30 cm, and another of
0-30 cm; maps that others published say a third. Here the layers of a segment (0-30, then 30-100 cm)
are multiplied by one factor for each cell, so that they add up to what is given; the shape within
the segment stays. Quantiles are multiplied by the same factor: the width of an interval stays the
same share of its mean, and is not narrowed by what is known of the sum. Layers below the last
segment stay.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.depth_consistent import factors, segments

from ..errors import InputError
from ..samples import Samples
from ..status import Status
from .protocol import Depth, Reads, TileInputs, learns_from
from .wrapped import WrappedModel

FILE = "consistent.json"
#: Kinds that can say something of any depth interval.
ANY_DEPTH = ("forest", "boosting")


@dataclass(frozen=True)
class ConsistentSpec:
    """What layers are to integrate to.

    Parameters
    ----------
    bottoms
        Lower ends of 0 to there, cm, ascending: 30 and 100.
    variables
        Cube variables of the stocks of 0 to each bottom, as published; none: what the model itself
        says of these intervals (0-30, and 30-100 cm).
    factor
        From their units to kg/m².
    """

    bottoms: tuple[float, ...] = (30.0, 100.0)
    variables: tuple[str, ...] = field(default=())
    factor: float = 1.0

    def __post_init__(self) -> None:
        if list(self.bottoms) != sorted({*self.bottoms}) or not self.bottoms:
            raise InputError(f"depth: bottoms must ascend, found {self.bottoms}")
        if self.variables and len(self.variables) != len(self.bottoms):
            raise InputError(
                f"depth: {len(self.variables)} variables for {len(self.bottoms)} intervals"
            )


class ConsistentModel(WrappedModel):
    """Any model with layers, and what they are to integrate to.

    Everything but what is told here is the model's own.

    Parameters
    ----------
    model, spec
        The model, and what its layers are to integrate to.

    Raises
    ------
    InputError
        The model's layers do not make up the intervals, it holds no stocks while stocks are given,
        or it cannot be asked for an interval of its own.
    """

    def __init__(self, model: Any, spec: ConsistentSpec) -> None:
        super().__init__(model)
        self.spec = spec
        self._whole: Any = None
        try:
            self._parts = segments(model.emits.depths, spec.bottoms)
        except ValueError as error:
            told = ", ".join(f"{a:g}-{b:g}" for a, b in model.emits.depths)
            raise InputError(
                f'depth = "consistent": {error} among the map\'s {told} cm; give map.depths that '
                f"end at {' and '.join(f'{b:g}' for b in spec.bottoms)} cm"
            ) from None
        if not spec.variables and model.kind not in ANY_DEPTH:
            raise InputError(
                f'depth = "consistent": a {model.kind} model says nothing of 0-30 cm beside the '
                "sum of its layers; name the cube variables of published stocks"
            )

    @property
    def reads(self) -> Reads:
        """What the model reads, and the given stocks."""
        reads: Reads = self.model.reads
        more = [name for name in self.spec.variables if name not in reads.variables]
        return Reads((*reads.variables, *more), reads.halo, reads.years, reads.judges_missing)

    @property
    def learns_from(self) -> tuple[str, ...]:
        """What the model learns from: not the given stocks."""
        return learns_from(self.model)

    def describe(self) -> dict[str, str]:
        """Return what the model says of its map, and what was done to its layers."""
        whole = " and ".join(f"0-{b:g} cm" for b in self.spec.bottoms)
        source = ", ".join(self.spec.variables) or "as the model itself predicts them"
        return self.describe_with(
            f"Layers are scaled by one factor for each segment so that they integrate to {whole} "
            f"({source}); quantiles by the same factor. Scores are of layers before that."
        )

    def fit(self, samples: Samples) -> Self:
        """Fit the model."""
        self.fit_model(samples)
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, NDArray[np.floating[Any]]]:
        """Return the model's outputs for each row, a single layer that integrates to nothing."""
        found: Mapping[str, NDArray[np.floating[Any]]] = self.model.predict_rows(samples)
        return found

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return the model's outputs with their layers scaled.

        Where given stocks contradict each other (more in 0-30 than in 0-100 cm), or are missing, a
        cell has no value, and the status ``INVALID_STOCK``.
        """
        found = dict(self.model.predict(inputs))
        mean = self._mean(found)
        summed = self._summed(mean)
        weights = [1.0 if summed else b - a for a, b in self.emits.depths]
        layers = found[mean].astype(np.float64)
        flat = layers.reshape(len(layers), -1)
        wanted = self._given(inputs) if self.spec.variables else self._own(inputs, mean, summed)
        if self.spec.variables and not summed:
            raise InputError(
                f'depth = "consistent": {", ".join(self.spec.variables)} are stocks, and the map '
                f"holds {mean}, which has no sum without bulk density: map a stock"
            )
        scale = factors(flat, weights, self._parts, wanted).reshape(layers.shape)
        for output in self.emits.outputs:
            if output.by_depth and output.name.split("_")[0] == mean.split("_")[0]:
                found[output.name] = (found[output.name] * scale).astype(np.float32)
        sums = getattr(self.model, "sums", None)  # of layers, which are others now
        if sums is not None:
            found |= sums(found[mean])
        lost = inputs.wanted & np.isfinite(layers).all(axis=(0, 1))
        lost &= ~np.isfinite(scale).all(axis=(0, 1))
        said = found.get("status", np.zeros(inputs.window.shape, np.uint8))
        code = np.uint8(Status.INVALID_STOCK)
        found["status"] = np.where(lost & (said == 0), code, said).astype(np.uint8)
        return found

    def _mean(self, found: Mapping[str, Any]) -> str:
        means = [o.name for o in self.emits.outputs if o.by_depth and o.name.endswith("_mean")]
        return next(name for name in means if name in found)

    def _summed(self, mean: str) -> bool:
        units = next(o.units for o in self.emits.outputs if o.name == mean)
        return units.startswith("kg m-2")

    def _given(self, inputs: TileInputs) -> NDArray[np.float64]:
        """Return the stock of each segment by the given variables, ``(segments, n)`` kg/m²."""
        halo = slice(inputs.halo, -inputs.halo) if inputs.halo else slice(None)
        years = len(inputs.years)
        whole = [
            np.broadcast_to(
                inputs.values[name][..., halo, halo].astype(np.float64) * self.spec.factor,
                (years, *inputs.window.shape),
            ).reshape(-1)
            for name in self.spec.variables
        ]
        return np.stack([whole[0], *(np.diff(np.stack(whole), axis=0))])

    def _own(self, inputs: TileInputs, mean: str, summed: bool) -> NDArray[np.float64]:
        """Return what the model says of each segment, ``(segments, n)``."""
        ends = (0.0, *self.spec.bottoms)
        whole: list[Depth] = list(pairwise(ends))
        if self._whole is None:  # trees are cut to these depths once, not for each tile
            self._whole = at_depths(self.model, whole)
        said = self._whole.predict(inputs)[mean].astype(np.float64)
        thick = np.array([1.0 if summed else b - a for a, b in whole])
        return np.asarray(said.reshape(len(whole), -1) * thick[:, None])

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        own = getattr(self.model, "memory_bytes", None)
        layers = len(self.emits.depths)
        predicting = own(cells, years) if own else 4 * self.emits.layers * cells * years
        return int(predicting * (1 if self.spec.variables else 2) + 24 * layers * cells * years)

    def save(self, folder: Path) -> None:
        """Write the model, and beside it what its layers are to integrate to."""
        self.model.save(folder)
        (folder / FILE).write_text(json.dumps(asdict(self.spec)) + "\n")


def at_depths(model: Any, depths: Sequence[Depth]) -> Any:
    """Return a fitted model that says of other depths what it knows, by the same trees."""
    other = copy.copy(model)
    other.depths = tuple(depths)
    if hasattr(other, "_nodes"):
        other._nodes = {}
    return other


def with_consistency(model: Any, folder: Path) -> Any:
    """Return a loaded model, with what its layers are to integrate to where its folder says so."""
    if not (folder / FILE).exists():
        return model
    told = json.loads((folder / FILE).read_text())
    spec = ConsistentSpec(tuple(told["bottoms"]), tuple(told["variables"]), told["factor"])
    return ConsistentModel(model, spec)
