"""The beta model: carbon of any layer from a topsoil stock and one number for each profile.

Wang H. et al. (ESSD): beta is fitted to each profile, learned by one forest for each ecosystem, and
spreads the stock of a topsoil over depth, ``X(a, b) = X20 (beta^a - beta^b) / (1 - beta^20)``
(``kernels/beta.py``). The paper's forests see 11 properties; what is at hand are soil carbon, bulk
density and clay of the topsoil, and climate: the *reduced* forest. A map needs these properties in
every cell, and has them from forests of the same profiles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.beta import layer_stock
from edaphos.kernels.beta_cells import layer_stocks

from ..errors import InputError
from ..profiles.layer_stocks import STOCK_TARGET
from ..samples import Samples, Target
from ..status import Status
from .beta_forests import LEVELS, BetaForests, ecosystem_of, grow_forests, own_soil
from .beta_profiles import WholeProfiles, falling, whole_profiles
from .beta_settings import CONSTANT, FIT_DEPTHS, SOIL, BetaSettings
from .columns import quantile_name
from .protocol import Depth, Emits, Output, Reads, TileInputs

Floats = NDArray[np.float64]

#: Cells of a tile that are turned into stocks at once.
CHUNK_CELLS = 65_536


@dataclass
class BetaModel:
    """Stocks of layers from a topsoil stock and beta.

    Parameters
    ----------
    settings
        What it learns from: a :class:`~edaphos.engine.models.beta_settings.BetaSettings`, or its
        ``asdict``.
    quantiles
        Levels of the stock to map beside its mean.
    depths
        Intervals to map, cm; any.
    seed
        Of all forests.
    threads
        Used while fitting.
    """

    settings: BetaSettings
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = FIT_DEPTHS
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str] = "beta"
    target: ClassVar[Target] = STOCK_TARGET
    profile_depths: ClassVar[tuple[Depth, ...]] = FIT_DEPTHS
    beside: ClassVar[Mapping[str, str]] = {
        "stock_mapped": "own 0-20 cm stock, beta as mapped",
        "stock_station": "own 0-20 cm stock, beta from own soil",
        "stock_constant": f"own 0-20 cm stock, beta {CONSTANT}",
    }

    def __post_init__(self) -> None:
        if isinstance(self.settings, Mapping):
            self.settings = BetaSettings.of(self.settings)
        self.quantiles = tuple(self.quantiles)
        self.depths = tuple((float(top), float(bottom)) for top, bottom in self.depths)
        self.notes: tuple[str, ...] = ()
        self._grown: BetaForests | None = None

    # -- declarations ---------------------------------------------------------------------------

    @property
    def reads(self) -> Reads:
        """Covariates, the ecosystem, and the topsoil stock if it is given."""
        return Reads(self.settings.variables)

    @property
    def emits(self) -> Emits:
        """Mean and quantiles of the stock of each layer, and of beta."""
        units, above = STOCK_TARGET[2], "of the carbon 1 - beta^d lies above d cm"
        outputs = [Output("stock_mean", units, "mean", "stock", "mean of the prediction")]
        for q in self.quantiles:
            name, words = quantile_name("stock", q), f"{100 * q:g} % quantile"
            outputs.append(Output(name, units, f"Q{q:g}", "stock", words))
        for statistic, name in (("mean", "mean"), ("Q0.05", "q05"), ("Q0.95", "q95")):
            words = f"{statistic}; {above}"
            outputs.append(Output(f"beta_{name}", "1", statistic, "float", words, by_depth=False))
        return Emits(tuple(outputs), self.depths)

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata are to say."""
        s = self.settings
        seen = ", ".join([*(SOIL[name][0] for name in s.soil), *s.beta_covariates])
        top = s.topsoil.variable or "a forest of the profiles"
        classes = "; ".join(
            f"{name} {', '.join(map(str, codes))}" for name, codes in s.ecosystems.classes.items()
        )
        return {
            "summary": "Soil organic carbon stock of layers, from a topsoil stock and its beta",
            "method": (
                f"Beta model. Beta by one forest for each ecosystem, reduced to {seen} (the "
                f"paper's see 11 properties), fitted to {s.form} shares of 0-100 cm; stock of "
                f"0-{s.topsoil.bottom_cm:g} cm from {top}; ecosystems by {s.ecosystems.variable}: "
                f"{classes}. Stocks are upper bounds where profiles tell no coarse fragments. "
                + (
                    "Intervals take the given topsoil stock as exact: its own error is not in them."
                    if s.topsoil.variable
                    else "Intervals take topsoil stock and beta as independent."
                )
            ),
            "references": "Wang H. et al., ESSD (manuscript)",
        }

    @property
    def grown(self) -> BetaForests:
        """The forests."""
        if self._grown is None:
            raise InputError("the beta model is not fitted yet; call fit() or load()")
        return self._grown

    # -- learning -------------------------------------------------------------------------------

    def fit(self, samples: Samples) -> Self:
        """Fit beta to each profile, and grow the forests.

        Raises
        ------
        InputError
            Rows are not of layers of 20 cm, or too few profiles are usable.
        """
        profiles = whole_profiles(samples)
        if not profiles.complete.any():
            raise InputError(
                "no profile has a stock in every layer of 0-20 to 80-100 cm, which beta is fitted "
                'to: set profiles.harmonise = "spline", and see that carbon and bulk density are '
                "among the columns"
            )
        self._grown = grow_forests(samples, profiles, self.settings, self.seed, self.threads)
        self.notes = (self._said(samples, profiles),)
        return self

    def _said(self, samples: Samples, profiles: WholeProfiles) -> str:
        s = self.settings
        beta, flags = profiles.beta(s.form)
        use = falling(beta, flags)
        ecosystem = ecosystem_of(samples.take(profiles.first), s)
        by_name = ", ".join(
            f"{name} {int((use & (ecosystem == i)).sum()):,} (mean "
            f"{beta[use & (ecosystem == i)].mean():.4f})"
            for i, name in enumerate(s.ecosystems.names)
        )
        whole = int(profiles.complete.sum())
        return (
            f"beta: {whole:,} of {len(profiles.first):,} profiles hold stocks down to 100 cm; "
            f"{whole - int(use.sum()):,} of them, whose carbon does not fall with depth or falls "
            f"at once, teach no beta; {by_name}; {int((use & (ecosystem < 0)).sum()):,} in no "
            "ecosystem"
        )

    # -- prediction -----------------------------------------------------------------------------

    def predict_rows(self, samples: Samples) -> dict[str, Floats]:
        """Return each output for each row at its own depth, ``(n,)``, and the arms :attr:`beside`.

        The arms begin with the stock of the profile's own 0-20 cm, and are NaN there.
        """
        profiles = whole_profiles(samples)
        places = samples.take(profiles.first)
        soil = self.grown.mapped_soil(places)
        top, mapped = self.grown.top_at(places), self.grown.beta_at(places, soil)
        station = self.grown.beta_at(places, own_soil(places, soil))
        found = {name: np.full(len(samples), np.nan) for name in self._row_outputs}
        own = profiles.stock[:, 0][profiles.of_row]
        found["stock_constant"] = _below(own, np.full(len(own), CONSTANT), samples)
        found["stock_mapped"] = _below(own, mapped.mean[profiles.of_row], samples)
        found["stock_station"] = _below(own, station.mean[profiles.of_row], samples)
        usable = np.isfinite(mapped.mean) & np.isfinite(top.mean)
        intervals = np.stack([samples.top, samples.bottom], axis=1)
        for upper, lower in np.unique(intervals, axis=0):
            rows = np.flatnonzero((intervals == (upper, lower)).all(axis=1))
            rows = rows[usable[profiles.of_row[rows]]]
            p = profiles.of_row[rows]
            mean, quantiles = layer_stocks(
                top.mean[p],
                top.values[p],
                mapped.values[p],
                self.settings.topsoil.bottom_cm,
                [(float(upper), float(lower))],
                self.quantiles,
            )
            found["stock_mean"][rows] = mean[0]
            for q, values in zip(self.quantiles, quantiles, strict=True):
                found[quantile_name("stock", q)][rows] = values[0]
        return found

    @property
    def _row_outputs(self) -> tuple[str, ...]:
        return ("stock_mean", *(quantile_name("stock", q) for q in self.quantiles), *self.beside)

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(depth, year, y, x)`` float32, NaN outside ``inputs.wanted``.

        Cells outside all ecosystems get the status ``NO_ECOSYSTEM``.
        """
        top, beta = self.grown.on_tile(inputs)
        shape = inputs.out_shape(len(self.depths))
        names = [quantile_name("stock", q) for q in self.quantiles]
        out = {name: np.full(shape, np.nan, np.float32) for name in ("stock_mean", *names)}
        flat = {name: layers.reshape(len(self.depths), -1) for name, layers in out.items()}
        cells = np.flatnonzero(np.isfinite(top.mean) & np.isfinite(beta.mean))
        bottom = self.settings.topsoil.bottom_cm
        for first in range(0, len(cells), CHUNK_CELLS):
            c = cells[first : first + CHUNK_CELLS]
            mean, quantiles = layer_stocks(
                top.mean[c], top.values[c], beta.values[c], bottom, self.depths, self.quantiles
            )
            flat["stock_mean"][:, c] = mean
            for name, values in zip(names, quantiles, strict=True):
                flat[name][:, c] = values
        one = inputs.out_shape(1)
        out["beta_mean"] = beta.mean.astype(np.float32).reshape(one)
        out["beta_q05"] = beta.values[:, 0].astype(np.float32).reshape(one)
        out["beta_q95"] = beta.values[:, -1].astype(np.float32).reshape(one)
        s = self.settings.ecosystems
        outside = inputs.wanted & (s.codes(inputs.values[s.variable]) < 0)
        status = np.where(outside, np.uint8(Status.NO_ECOSYSTEM), np.uint8(0))
        return {**out, "status": status}

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        layers = (1 + len(self.quantiles)) * len(self.depths) + 3
        spreads = 4 * (1 + len(LEVELS))  # of topsoil and beta, and the forest's own arrays
        forest = next(forest for _, forest in self.grown.named())
        own = forest.memory_bytes(cells, years)
        return own + 4 * cells * years * (layers + spreads + len(self.settings.soil))

    def resident_bytes(self) -> int:
        """Return the bytes of all trees, which every worker maps once."""
        return sum(forest.resident_bytes() for _, forest in self.grown.named())

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write settings as JSON, and each forest in a folder of its own."""
        for name, forest in self.grown.named():
            forest.save(folder / name)
        described = {
            "schema": 1,
            "kind": self.kind,
            "settings": {
                "settings": asdict(self.settings),
                "quantiles": self.quantiles,
                "depths": self.depths,
                "seed": self.seed,
                "threads": self.threads,
            },
            "notes": self.notes,
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved beta model here")
        described: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(**described["settings"])
        model.notes = tuple(described["notes"])
        model._grown = BetaForests.load(folder, model.settings)
        return model


def _below(own: Floats, beta: Floats, samples: Samples) -> Floats:
    """Return the stock of each row's layer from its profile's own topsoil, NaN within that."""
    bottom = FIT_DEPTHS[0][1]
    deeper = np.isfinite(own) & np.isfinite(beta) & (samples.top >= bottom)
    out = np.full(len(samples), np.nan)
    out[deeper] = layer_stock(
        own[deeper], bottom, beta[deeper], samples.top[deeper], samples.bottom[deeper]
    )
    return out
