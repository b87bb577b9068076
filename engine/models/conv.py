"""Convolutional nets over depth: what lies around a place, transferred from depth to depth.

The net of Han et al. 2025 and the schemes that it is to be compared with. A net sees a square of
cells around the one that it predicts; a map is made of all squares at once
(:mod:`edaphos.kernels.dense`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..conv.channels import Channels
from ..conv.fitted import FittedNets
from ..conv.fitting import Fit, fit_nets
from ..conv.learning_rows import Floats
from ..conv.patches import PatchStore, patches_of
from ..conv.predictive import Predictive, Said
from ..conv.source import BUDGET
from ..conv.weights import NetCard, load_net, save_net
from ..covariate_choice import CovariateChoice
from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..need_torch import need_torch
from ..progress import QUIET
from ..samples import Samples
from ..status import Status
from ..training_curve import save_curves
from .columns import GLOBALSOILMAP_DEPTHS, mean_and_quantiles
from .conv_settings import ConvSettings, pairs_of
from .depth_rows import depth_rows
from .net_parts import calibrated_words, depth_alone, named_outputs
from .protocol import Depth, Emits, ModelSpec, Reads, TileInputs
from .rothc_settings import from_plain

if TYPE_CHECKING:
    from distributed import Client

    from edaphos.kernels.dense import DenseMapper

#: Bytes of what nets say of a strip of a tile, at most.
STRIP_BYTES = 64 << 20


@dataclass
class ConvModel:
    """Patch CNNs of soil organic carbon by depth.

    Parameters
    ----------
    settings
        As :class:`ConvSettings`, or plain nested data for it.
    quantiles
        Levels to map beside the mean: 0.5, and pairs about it.
    depths
        Intervals to map, cm.
    seed
        Of everything random.

    Attributes
    ----------
    client
        Of the cluster that :meth:`fit` trains on; here without one.
    reporter
        Where it shows how trainings go.
    """

    settings: ConvSettings | Mapping[str, Any]
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = GLOBALSOILMAP_DEPTHS
    seed: int = 0

    kind: ClassVar[str] = "conv"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, ConvSettings):
            self.settings = from_plain(ConvSettings, self.settings)
        self.told: ConvSettings = self.settings
        self.quantiles = tuple(sorted(self.quantiles))
        self.depths = tuple((float(top), float(bottom)) for top, bottom in self.depths)
        self.pairs = pairs_of(self.quantiles)
        self.client: Client | None = None
        self.reporter = QUIET
        self._fit: Fit | None = None
        self._target = ("soc", "g kg-1")
        self._mapper: DenseMapper | None = None

    # -- declarations ---------------------------------------------------------------------------

    @property
    def patch_size(self) -> int:
        """Cells along a side of the squares that it learns from."""
        return self.told.shape.patch

    @property
    def needs_gpu(self) -> bool:
        """Whether tiles ask for a GPU."""
        return self.told.map_device == "cuda"

    @property
    def learns_from(self) -> tuple[str, ...]:
        """All covariates, among which it may choose."""
        return self.told.covariates

    @property
    def reads(self) -> Reads:
        """The covariates that it uses, and half a patch around each tile."""
        names = self.told.covariates
        if self._fit is not None:
            names = tuple(dict.fromkeys(name for name, _ in self._fit.nets.channels.planes))
        return Reads(names, halo=self.told.shape.halo)

    @property
    def emits(self) -> Emits:
        """Mean and quantiles for each depth."""
        outputs = mean_and_quantiles(self._target, self.quantiles, calibrated_words)
        return Emits(outputs, self.depths)

    @property
    def depth_only(self) -> ModelSpec:
        """What stands beside it in an assessment: a forest that sees depth alone."""
        return depth_alone(self.quantiles, self.depths, self.told.transform, self.seed)

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata say."""
        from .conv_words import describe

        return describe(self.told, self._fit)

    def check_cube(self, cube: Cube, grid: Grid) -> None:
        """Refuse a cube on which the nets would not see what they learned."""
        if self._fit is not None:
            self._fit.card.check(cube, grid)

    # -- learning -------------------------------------------------------------------------------

    @property
    def fitted(self) -> Fit:
        """What was fitted."""
        if self._fit is None:
            raise InputError("the nets are not fitted yet; call fit() or load()")
        return self._fit

    def fit(self, samples: Samples) -> Self:
        """Choose covariates, train the nets and calibrate them, on these samples alone."""
        need_torch()
        self._target = samples.target
        self._mapper = None
        self._fit = fit_nets(
            samples,
            self.told,
            self.depths,
            self.quantiles,
            self.pairs,
            seed=self.seed,
            client=self.client,
            reporter=self.reporter,
        )
        return self

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows: their patches as channels, a batch.

        Monthly variables and classes have several channels; sixteen of each variable are counted.
        """
        shape = self.told.shape
        patch = 4 * shape.patch**2
        channels = min(BUDGET, rows * patch * 16 * len(self.told.covariates))
        batch = 3 * self.told.training.batch * patch * (sum(shape.channels) + 16)
        return channels + batch + rows * 400

    # -- prediction -----------------------------------------------------------------------------

    def predict_rows(self, samples: Samples) -> dict[str, Floats]:
        """Return each output for each sample row at its own depth interval, shape ``(n,)``.

        Beside what is mapped: ``<target>_logmean``, the mean on the scale that is learned, back in
        units of the target, and ``limited``, 1 where a net said more or less than it learned from.
        """
        need_torch()
        if samples.patches is None:
            patches_of(samples)  # raises, saying what is missing
            raise AssertionError("unreachable")
        fitted = self.fitted
        depth = depth_rows(samples.top, samples.bottom, self.depths)
        said = fitted.nets.of_rows(
            PatchStore.open(samples.patches),
            patches_of(samples),
            depth,
            samples.top,
            samples.bottom,
        )
        together = fitted.nets.together(said, self._levels, depth)
        return {
            **self._named(together, depth),
            f"{self._target[0]}_logmean": fitted.predictive.centre(together),
            "limited": together.limited.astype(float),
        }

    def _named(self, said: Said, depth: Any) -> dict[str, Floats]:
        return named_outputs(
            self._target[0], self.fitted.predictive, said, depth, self.pairs, self.quantiles
        )

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(depth, year, y, x)`` float32; cells not wanted hold anything.

        Only the rows and columns that hold wanted cells are mapped, in strips of rows. ``status``
        tells where a class never occurred in training, and where nets were kept within what they
        learned from.
        """
        shape = inputs.out_shape(len(self.depths))
        out = {o.name: np.full(shape, np.nan, np.float32) for o in self.emits.outputs}
        status = np.zeros(inputs.window.shape, np.uint8)
        rows, columns = (np.flatnonzero(inputs.wanted.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return {**out, "status": status}
        halo, strip = 2 * self.told.shape.halo, self._strip(columns[-1] + 1 - columns[0])
        x = slice(columns[0], columns[-1] + 1)
        nets = self.fitted.nets
        for year in range(len(inputs.years)):
            planes = nets.channels.of_tile(inputs, year)
            for first in range(rows[0], rows[-1] + 1, strip):
                y = slice(first, min(first + strip, rows[-1] + 1))
                piece = planes[:, y.start : y.stop + halo, x.start : x.stop + halo]
                said = nets.mapped(self.mapper, piece)
                for d in range(len(self.depths)):
                    together = nets.together(said[d], self._levels, d)
                    status[y, x][together.limited] = Status.LIMITED
                    for name, values in self._named(together, d).items():
                        out[name][d, year, y, x] = values
            status[nets.channels.unknown_class(inputs, year)] = Status.OUTSIDE_APPLICABILITY
        return {**out, "status": status}

    @property
    def mapper(self) -> DenseMapper:
        """What maps all nets at once; made at the first call."""
        if self._mapper is None:
            need_torch()
            told = self.told
            self._mapper = self.fitted.nets.mapper(told.map_precision, told.map_device)
        return self._mapper

    def _strip(self, columns: int) -> int:
        """Return the rows that are mapped at once."""
        return max(1, STRIP_BYTES // (self._bytes_each * columns))

    @property
    def _bytes_each(self) -> int:
        """Bytes of what nets say of a cell, as float32 and float64, and of what is made of it."""
        said = self.fitted.nets.runs * len(self.depths) * (1 + len(self._levels))
        return 12 * said + 8 * 4 * (2 + len(self.quantiles))

    @property
    def _levels(self) -> tuple[float, ...]:
        """Quantiles that nets give beside the mean."""
        return self.quantiles if self.told.interval == "quantile" else ()

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        outputs = len(self.emits.outputs) * len(self.depths) * years * cells * 4
        side = int(np.ceil(np.sqrt(cells))) + 2 * self.told.shape.halo
        channels = 4 * len(self.fitted.nets.channels) * side**2
        strip = min(cells, STRIP_BYTES // self._bytes_each)
        return outputs + 2 * channels + STRIP_BYTES + self.mapper.memory_bytes(strip)

    def resident_bytes(self) -> int:
        """Return the bytes of the weights, in nets and in what maps them."""
        return self.fitted.nets.nbytes()

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights with what they mean, and the rest as JSON, without pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        fitted = self.fitted
        for m, nets in enumerate(fitted.nets.members):
            for place, net in enumerate(nets):
                save_net(folder / _file(m, place), net, fitted.card)
        save_curves(folder, fitted.trainings)
        described = {
            "schema": 1,
            "kind": self.kind,
            "settings": asdict(self.told),
            "quantiles": self.quantiles,
            "depths": self.depths,
            "seed": self.seed,
            "target": self._target,
            "nets": [len(nets) for nets in fitted.nets.members],
            "centre": fitted.nets.centre.tolist(),
            "spread": fitted.nets.spread.tolist(),
            "low": fitted.nets.low.tolist(),
            "high": fitted.nets.high.tolist(),
            "predictive": fitted.predictive.to_json(),
            "rows": fitted.rows,
            "limited": fitted.limited,
            "as_it_began": fitted.as_it_began,
            "rounding": fitted.rounding,
            "choice": None if fitted.choice is None else fitted.choice.to_json(),
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there are no saved nets here")
        told: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(told["settings"], tuple(told["quantiles"]), told["depths"], told["seed"])
        model._target = tuple(told["target"])
        held = [
            [load_net(folder / _file(m, place)) for place in range(count)]
            for m, count in enumerate(told["nets"])
        ]
        card: NetCard = held[0][0][1]
        choice = told["choice"]
        model._fit = Fit(
            nets=FittedNets(
                members=tuple(tuple(net for net, _ in nets) for nets in held),
                channels=Channels.from_json(card.channels),
                depths=model.depths,
                centre=np.array(told["centre"]),
                spread=np.array(told["spread"]),
                low=np.array(told["low"]),
                high=np.array(told["high"]),
                passes=model.told.draws,
                seed=model.seed,
            ),
            predictive=Predictive.from_json(told["predictive"]),
            card=card,
            rows=told["rows"],
            limited=told["limited"],
            as_it_began=tuple(told["as_it_began"]),
            rounding=told["rounding"],
            choice=None if choice is None else CovariateChoice.from_json(choice),
        )
        return model


def _file(member: int, place: int) -> str:
    return f"net_{member}_{place}.safetensors"
