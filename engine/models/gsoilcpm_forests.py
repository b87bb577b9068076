"""Forests beside the nets of a region: what is mapped is the weighted mean of all.

Nets and forests err differently, and none of them is the best in every region. A forest of the
region's own rows, and one of these and of rows that are kept with the model of the world, are
fitted to the same parts as the nets (:mod:`~edaphos.engine.branches.cross_fit`); what each says of
rows that taught it nothing weighs it (``kernels/stack_weights.py``) and calibrates the intervals of
their mean (``engine/conformal.py``). The mean of the target is the weighted mean of means, as of a
mixture; quantiles are averaged on the scale that is learned (Vincent averaging: Ratcliff 1979,
*Psychol. Bull.* 86, 446-461).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.stack_weights import mean_weights

from ..branches.branch_fit import HeldOut
from ..branches.kept_rows import KeptRows
from ..branches.model_file import JOINED
from ..conformal import Bounds, Conformal, blocks_needed, learn_margins
from ..conv.learning_rows import Floats, Ints
from ..conv.predictive import Pair
from ..samples import Samples, feature_names
from .columns import quantile_name
from .forest import ForestModel
from .protocol import Depth, TileInputs

NETS, REGION, BOTH = "nets", "region", "region and world"
#: How many times more a row of the region weighs than one of the world.
REGION_WEIGHT = 5.0
#: Trees of the forests that are weighed: a third of those that map, and these at least.
SHARE_OF_TREES, FEWEST_TREES = 1 / 3, 20
Outputs = Mapping[str, Floats]


@dataclass(frozen=True)
class Forests:
    """Forests, and how they and the nets are joined.

    Parameters
    ----------
    forests
        By name.
    weights
        Of the nets and the forests, by name; they add up to 1.
    conformal
        By which the bounds of each pair move; empty where there are too few blocks to tell, and
        bounds are then the outermost of all.
    pairs, quantiles, log1p, target
        Levels of bounds, all levels, whether quantiles are averaged as log(1 + y), and the name of
        what is mapped.
    """

    forests: Mapping[str, ForestModel]
    weights: Mapping[str, float]
    conformal: tuple[Conformal, ...]
    pairs: tuple[Pair, ...]
    quantiles: tuple[float, ...]
    log1p: bool
    target: str

    @classmethod
    def fit(
        cls,
        samples: Samples,
        held: HeldOut,
        nets: Outputs,
        kept: KeptRows | None,
        variables: Sequence[str],
        *,
        trees: int,
        depths: tuple[Depth, ...],
        pairs: tuple[Pair, ...],
        quantiles: tuple[float, ...],
        log1p: bool,
        seed: int,
    ) -> Forests:
        """Fit forests to a region's samples, and weigh them and the nets.

        Parameters
        ----------
        samples, held
            The region's training rows, and what nets say of them that did not learn from them.
        nets
            The outputs of that by name, ``(n,)``.
        kept
            Rows of the world, if its model holds any.
        variables
            Cube variables that forests read.
        trees, depths, pairs, quantiles, log1p, seed
            As the models' own.
        """
        target = samples.target[0]
        settings: dict[str, Any] = {
            "max_features": 1 / 3,
            "quantiles": tuple(sorted({0.5, *quantiles})),
            "depths": depths,
            "seed": seed,
            "transform": "log1p" if log1p else "none",
        }
        grown = _Growing(samples, kept, tuple(variables), settings)
        names = (REGION, BOTH) if grown.common else (REGION,)
        fewer = min(trees, max(FEWEST_TREES, round(trees * SHARE_OF_TREES)))
        said = {NETS: nets, **{name: grown.held_out(name, held.part, fewer) for name in names}}
        middle = quantile_name(target, 0.5)
        scale = np.log1p if log1p else np.asarray
        columns = np.stack([scale(one[middle]) for one in said.values()], axis=1)
        found = mean_weights(columns, held.rows.target, held.rows.weight)
        joined = cls(
            {name: grown.grow(name, np.ones(len(samples), bool), trees) for name in names},
            dict(zip(said, found.tolist(), strict=True)),
            (),
            pairs,
            quantiles,
            log1p,
            target,
        )
        return joined._calibrated(samples, said, held.rows.block)

    def _calibrated(self, samples: Samples, said: Mapping[str, Outputs], block: Ints) -> Forests:
        """Return the same with intervals that hold their share of rows that taught nothing."""
        if not self.pairs:
            return self
        widest = max(high - low for low, high in self.pairs)
        if len(np.unique(block)) < blocks_needed(widest):
            return self
        name = self.target
        bounds = [
            Bounds(quantile_name(name, low), quantile_name(name, high), round(high - low, 9))
            for low, high in self.pairs
        ]
        averaged = {name: self._average(name, said) for b in bounds for name in (b.low, b.high)}
        conformal = learn_margins(
            samples,
            averaged,
            bounds,
            block,
            offset=1.0 if self.log1p else None,
            block_deg=float("nan"),
        )
        return replace(self, conformal=conformal)

    # -- prediction -----------------------------------------------------------------------------

    def rows(self, samples: Samples, nets: Outputs) -> dict[str, Floats]:
        """Return each output for rows, joined with those of the nets, ``(n,)``."""
        return self.join(self.apart(samples, nets), samples.top, samples.bottom)

    def apart(self, samples: Samples, nets: Outputs) -> dict[str, Outputs]:
        """Return what nets and each forest say of rows, by name."""
        return {NETS: nets, **{n: f.predict_rows(samples) for n, f in self.forests.items()}}

    def tile(self, inputs: TileInputs, nets: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return each output for a tile, joined with those of the nets, float32."""
        said = {NETS: nets, **{n: f.predict(inputs) for n, f in self.forests.items()}}
        found: dict[str, NDArray[Any]] = {}
        for d, (top, bottom) in enumerate(next(iter(self.forests.values())).depths):
            one = {n: {k: v[d] for k, v in outputs.items()} for n, outputs in said.items()}
            for name, values in self.join(one, top, bottom).items():
                found.setdefault(name, np.empty_like(nets[name]))[d] = values
        return found

    def join(self, said: Mapping[str, Outputs], top: Any, bottom: Any) -> dict[str, Floats]:
        """Return mean and quantiles of all together, of layers from `top` to `bottom` cm."""
        mean = f"{self.target}_mean"
        found = {mean: self._mean(mean, said)}
        for level in self.quantiles:
            name = quantile_name(self.target, level)
            found[name] = self._average(name, said)
        inner = (found[quantile_name(self.target, 0.5)],) * 2 if 0.5 in self.quantiles else None
        order = sorted(range(len(self.pairs)), key=lambda k: -self.pairs[k][0])
        for k in order:  # from the median outwards: each interval holds what is within
            low, high = (quantile_name(self.target, level) for level in self.pairs[k])
            if self.conformal:
                lower, upper = self.conformal[k].apply(found[low], found[high], top, bottom)
            else:
                lower = np.minimum.reduce([one[low] for one in said.values()])
                upper = np.maximum.reduce([one[high] for one in said.values()])
            if inner is not None:
                lower, upper = np.minimum(lower, inner[0]), np.maximum(upper, inner[1])
            found[low], found[high] = inner = (lower, upper)
        return found

    def _mean(self, name: str, said: Mapping[str, Outputs]) -> Floats:
        means = [w * np.asarray(said[n][name], np.float64) for n, w in self.weights.items()]
        return np.asarray(sum(means))

    def _average(self, name: str, said: Mapping[str, Outputs]) -> Floats:
        """Return the weighted mean of one quantile, on the scale that is learned."""
        if not self.log1p:
            return self._mean(name, said)
        total = sum(
            w * np.log1p(np.asarray(said[n][name], np.float64)) for n, w in self.weights.items()
        )
        return np.asarray(np.expm1(total))

    # -- what planning and metadata ask ---------------------------------------------------------

    def memory_bytes(self, cells: int, years: int) -> int:
        """Return the peak bytes of predicting a tile, beside its inputs and the nets."""
        own = [forest.memory_bytes(cells, years) for forest in self.forests.values()]
        return sum(own) + 3 * max(own)  # every forest's outputs, and those joined in float64

    def resident_bytes(self) -> int:
        """Return the bytes of the trees."""
        return sum(forest.resident_bytes() for forest in self.forests.values())

    def words(self) -> str:
        """Return the weights for people."""
        return ", ".join(
            f"{100 * weight:.0f} % {_WORDS[name]}" for name, weight in self.weights.items()
        )

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the forests and how they are joined."""
        folder.mkdir(parents=True, exist_ok=True)
        for k, forest in enumerate(self.forests.values()):
            forest.save(folder / str(k))
        told = {
            "forests": list(self.forests),
            "weights": dict(self.weights),
            "conformal": [one.to_json() for one in self.conformal],
            "pairs": self.pairs,
            "quantiles": self.quantiles,
            "log1p": self.log1p,
            "target": self.target,
        }
        (folder / JOINED).write_text(json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Forests:
        """Read what :meth:`save` wrote."""
        told = json.loads((folder / JOINED).read_text())
        return cls(
            {name: ForestModel.load(folder / str(k)) for k, name in enumerate(told["forests"])},
            told["weights"],
            tuple(Conformal.from_json(one) for one in told["conformal"]),
            tuple((low, high) for low, high in told["pairs"]),
            tuple(told["quantiles"]),
            told["log1p"],
            told["target"],
        )


_WORDS = {
    NETS: "nets",
    REGION: "a forest of the region's profiles",
    BOTH: "a forest of these and of profiles of the world",
}


@dataclass(frozen=True)
class _Growing:
    """What forests of a region are grown from."""

    samples: Samples
    kept: KeptRows | None
    variables: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def common(self) -> tuple[str, ...]:
        """The variables that the rows of the world have, too."""
        if self.kept is None:
            return ()
        known, here = self.kept.columns, set(self.samples.features)
        return tuple(
            name for name in self.variables if all(c in known for c in _columns(name, here))
        )

    def grow(self, name: str, rows: NDArray[np.bool_], trees: int) -> ForestModel:
        """Grow a forest by name from some rows of the region."""
        mine = self.samples.take(rows)
        told = {**self.settings, "trees": trees}
        if name == REGION:
            leaf = int(np.clip(len(mine) // 10, 1, 5))  # small regions have few rows in all
            return ForestModel(self.variables, min_samples_leaf=leaf, **told).fit(mine)
        assert self.kept is not None  # or there is no such forest
        here = set(self.samples.features)
        columns = [column for variable in self.common for column in _columns(variable, here)]
        both = self.kept.beside(mine, columns, REGION_WEIGHT, but=self.samples)
        return ForestModel(self.common, **told).fit(both)

    def held_out(self, name: str, part: Ints, trees: int) -> dict[str, Floats]:
        """Return the outputs of rows by forests that did not see their part."""
        found: dict[str, Floats] = {}
        for out in np.unique(part):
            at = part == out
            said = self.grow(name, ~at, trees).predict_rows(self.samples.take(at))
            for output, values in said.items():
                found.setdefault(output, np.full(len(part), np.nan))[at] = values
        return found


def _columns(variable: str, features: set[str]) -> tuple[str, ...]:
    """Return the feature columns of a variable."""
    return (variable,) if variable in features else feature_names(variable, "monthly")
