"""One model of the world, fine-tuned to a region: GSoilCPM (Zhang L. et al. 2025).

A net with a branch for each group of covariates, each with its own window. Without a start it is
pre-trained on the samples that it is given; with one it is fine-tuned to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..branches.branch_fit import BranchFit
from ..branches.fitted import row_numbers
from ..branches.fitting import pretrain
from ..branches.group_set import GroupSet
from ..branches.groups import Group, windows_of
from ..branches.kept_places import KEPT
from ..branches.kept_rows import KEPT_ROWS, KeptRows
from ..branches.model_file import (
    FORESTS,
    depths_of,
    load_model,
    net_name,
    read_card,
    save_model,
)
from ..branches.regions_out import place_codes
from ..branches.settings import GsoilcpmSettings, settings_from
from ..branches.start_settings import settings_of_start
from ..branches.strided import map_strided
from ..branches.tuning import finetune
from ..branches.window_ground import LEARNED, check_ground, learned_metres
from ..conv.learning_rows import Floats
from ..conv.patches import patches_of
from ..conv.predictive import Said
from ..conv.source import BUDGET
from ..conv.weights import NetCard, grid_seen
from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..need_torch import need_torch
from ..progress import QUIET
from ..samples import Samples
from ..status import Status
from .columns import GLOBALSOILMAP_DEPTHS, mean_and_quantiles
from .conv_settings import pairs_of
from .depth_rows import depth_rows
from .forest import ForestModel
from .gsoilcpm_forests import Forests
from .net_parts import calibrated_words, depth_alone, named_outputs
from .protocol import Depth, Emits, ModelSpec, Reads, TileInputs

if TYPE_CHECKING:
    from distributed import Client

    from edaphos.kernels.branch_map import BranchMapper

#: Share of a region's places, at most, that may have taught the world where a forest of both is
#: to stand beside the nets.
MOST_SHARED = 0.05
#: Cell sizes that differ by this share are of one grid.
SAME_SIZE = 1e-6


@dataclass
class GsoilcpmModel:
    """Nets with a branch for each group of covariates, of the world or of a region.

    Parameters
    ----------
    settings
        As :class:`GsoilcpmSettings`, or plain nested data for it.
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
        Where :meth:`fit` shows how far it is.
    """

    settings: GsoilcpmSettings | Mapping[str, Any]
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    depths: tuple[Depth, ...] = GLOBALSOILMAP_DEPTHS
    seed: int = 0

    kind: ClassVar[str] = "gsoilcpm"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def __post_init__(self) -> None:
        self.settings = self.told = settings_of_start(settings_from(self.settings))
        self.quantiles = tuple(sorted(self.quantiles))
        self.depths = tuple((float(top), float(bottom)) for top, bottom in self.depths)
        self.pairs = pairs_of(self.quantiles)
        self.client: Client | None = None
        self.reporter = QUIET
        self._fit: BranchFit | None = None
        self._forests: Forests | None = None
        self._target = ("soc", "g kg-1")
        self._mappers: dict[tuple[int, ...], BranchMapper] = {}

    # -- declarations ---------------------------------------------------------------------------

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups that it reads, those that are missing left out."""
        return tuple(g for g in self.told.groups if g.name not in self.told.lacking)

    @property
    def windows(self) -> dict[int, tuple[str, ...]]:
        """The variables that are cut around samples at each window."""
        return windows_of(self.groups)

    @property
    def unlabelled(self) -> int:
        """Places without samples that it learns covariates from first."""
        return self.told.unlabelled.places

    @property
    def patch_size(self) -> int:
        """Cells along a side of the largest square that it learns from."""
        return max(group.window for group in self.told.groups)

    @property
    def stride(self) -> int:
        """Cells from one cell of a window to the next."""
        return self.told.stride or 1

    @property
    def covariates(self) -> tuple[str, ...]:
        """All cube variables that it reads."""
        return tuple(name for group in self.groups for name in group.covariates)

    @property
    def reads(self) -> Reads:
        """The covariates, and half the largest square around each tile."""
        return Reads(self.covariates, halo=self.patch_size // 2 * self.stride)

    @property
    def emits(self) -> Emits:
        """Mean and quantiles for each depth."""
        outputs = mean_and_quantiles(self._target, self.quantiles, calibrated_words)
        return Emits(outputs, self.depths)

    @property
    def depth_only(self) -> ModelSpec:
        """What stands beside it in an assessment: a forest that sees depth alone."""
        return depth_alone(self.quantiles, self.depths, self.told.transform, self.seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth saying of a fit."""
        from .gsoilcpm_words import notes

        return notes(self._fit, self._forests)

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata say."""
        from .gsoilcpm_words import describe

        return describe(self.told, self._fit, self._forests)

    def check_cube(self, cube: Cube, grid: Grid) -> None:
        """Refuse a cube whose variables are not those that the nets learned.

        And for a map by nets that see more than a cell, a grid of other cells.
        """
        if self._fit is None and self.told.start is None:
            return
        start = None if self.told.start is None else Path(self.told.start)
        fitted = self._fit or load_model(Path(str(start)))[0]
        known = {name: seen for name, seen in fitted.variables.items() if name in self.covariates}
        card = NetCard((), {}, *self._target, {}, known, **grid_seen(grid))
        card.check(cube, grid)
        if start is not None and self._fit is None and self.told.stride is None:
            check_ground(self.groups, learned_metres(read_card(start)), grid)
        if self._fit is not None and self.patch_size > 1:
            replace(card, variables={}, crs=fitted.crs, cell=fitted.cell).check(cube, grid)

    # -- learning -------------------------------------------------------------------------------

    @property
    def fitted(self) -> BranchFit:
        """What was fitted."""
        if self._fit is None:
            raise InputError("the nets are not fitted yet; call fit() or load()")
        return self._fit

    def fit(self, samples: Samples) -> Self:
        """Pre-train on these samples, or fine-tune to them; nothing else is learned from."""
        need_torch()
        self._target = samples.target
        self._mappers = {}
        told = self.told
        common = {"seed": self.seed, "client": self.client, "reporter": self.reporter}
        if told.start is None:
            self._fit = pretrain(samples, told, self.depths, self.quantiles, self.pairs, **common)  # type: ignore[arg-type]
            return self
        start, card = load_model(Path(told.start))
        if tuple(card["target"]) != samples.target:
            raise InputError(
                f"{told.start}: the model of the world learned {' in '.join(card['target'])}, the "
                f"region's samples are {' in '.join(samples.target)}"
            )
        files = {m: Path(told.start) / net_name(m) for m in range(len(start.nets.nets))}
        kept = Path(told.start) / KEPT if told.fine_tuning.adversarial else None
        fit = finetune(samples, told, start, files, kept, self.depths, self.pairs, **common)  # type: ignore[arg-type]
        self._fit = replace(fit, summary={**fit.summary, LEARNED: learned_metres(card)})
        self._forests = self._beside(samples, Path(told.start)) if told.forests else None
        return self

    def _beside(self, samples: Samples, start: Path) -> Forests:
        """Fit the forests beside the nets."""
        held = self.fitted.held_out
        assert held is not None  # it was just fitted to a region
        kept = None
        shared = self.fitted.summary["places that taught the world"]
        # rows of test folds would be among those of the world, where it learned many of the places
        if (start / KEPT_ROWS).is_file() and shared <= MOST_SHARED * len(place_codes(samples)):
            kept = KeptRows.load(start / KEPT_ROWS)
        nets = named_outputs(
            self._target[0],
            self.fitted.predictive,
            held.said,
            held.rows.depth,
            self.pairs,
            (*self.quantiles, 0.5),
        )
        return Forests.fit(
            samples,
            held,
            nets,
            kept,
            self.covariates,
            trees=self.told.forests,
            depths=self.depths,
            pairs=self.pairs,
            quantiles=self.quantiles,
            log1p=self.told.transform == "log1p",
            seed=self.seed,
        )

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows: their squares as channels, a batch.

        Monthly variables and classes have several channels; sixteen of each variable are counted.
        """
        cells = sum(16 * len(g.covariates) * g.window**2 for g in self.told.groups)
        batch = 12 * self.told.training.batch * (cells + 64 * self.told.width)
        places = max(rows, self.told.unlabelled.places)  # one after the other
        forest = 0
        if self.told.start is not None and self.told.forests:
            beside = ForestModel(self.covariates, trees=self.told.forests)
            forest = beside.fit_bytes(rows + self.told.kept_rows)
        return max(min(BUDGET, 4 * places * cells) + batch + places * 400, forest)

    # -- prediction -----------------------------------------------------------------------------

    @property
    def forests(self) -> Forests | None:
        """The forests beside the nets of a region, if there are any."""
        return self._forests

    def predict_rows(self, samples: Samples) -> dict[str, Floats]:
        """Return each output for each sample row at its own depth interval, shape ``(n,)``."""
        nets = self.of_nets(samples)
        return nets if self._forests is None else self._forests.rows(samples, nets)

    def of_nets(self, samples: Samples) -> dict[str, Floats]:
        """Return what the nets alone say of rows, as :meth:`predict_rows` has it."""
        need_torch()
        place = patches_of(samples)
        assert samples.patches is not None  # or the line above raises
        fitted, told = self.fitted, self.told
        year = samples.table["year"].to_numpy(np.float64)
        numbers = row_numbers(
            samples.top, samples.bottom, year, plain=told.faithful, sees_year=told.sees_year
        )
        said = fitted.nets.of_rows(GroupSet.open(samples.patches), place, numbers)
        depth = depth_rows(samples.top, samples.bottom, self.depths)
        return self._named(fitted.nets.together(said), depth)

    def _named(self, said: Said, depth: Any) -> dict[str, Floats]:
        return named_outputs(
            self._target[0], self.fitted.predictive, said, depth, self.pairs, self.quantiles
        )

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(depth, year, y, x)`` float32; cells not wanted hold anything.

        ``status`` tells where a class never occurred in training, and where nets were kept within
        what they learned from.
        """
        shape = inputs.out_shape(len(self.depths))
        out = {o.name: np.full(shape, np.nan, np.float32) for o in self.emits.outputs}
        status = np.zeros(inputs.window.shape, np.uint8)
        rows, columns = (np.flatnonzero(inputs.wanted.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return {**out, "status": status}
        nets, halo = self.fitted.nets, 2 * inputs.halo
        y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        for k, year in enumerate(inputs.years):
            groups = nets.channels.of_tile(inputs, k, nets.absent, nets.plain)
            pieces = [g[:, y.start : y.stop + halo, x.start : x.stop + halo] for g in groups]
            if self.stride > 1:
                said = map_strided(nets, pieces, nets.layers(self.depths, (year,)), self.stride)
            else:
                said = nets.mapped(self._mapper(year), pieces)
            for d in range(len(self.depths)):
                together = nets.together(said[d])
                status[y, x][together.limited] = Status.LIMITED
                for name, values in self._named(together, d).items():
                    out[name][d, k, y, x] = values
            unknown = nets.channels.unknown_class(inputs, k, nets.absent)
            status[unknown] = Status.OUTSIDE_APPLICABILITY
        if self._forests is not None:
            out = self._forests.tile(inputs, out)
        return {**out, "status": status}

    def _mapper(self, year: int) -> BranchMapper:
        """Return what maps all depths in a year; nets that do not see it have one for all."""
        key = (year,) if self.told.sees_year else ()
        if key not in self._mappers:
            need_torch()
            self._mappers[key] = self.fitted.nets.mapper(self.depths, (year,))
        return self._mappers[key]

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        nets = self.fitted.nets
        outputs = len(self.emits.outputs) * len(self.depths) * years * cells * 4
        side = int(np.ceil(np.sqrt(cells))) + (self.patch_size - 1) * self.stride
        channels = 4 * sum(nets.channels.bands(nets.plain)) * side**2
        said = len(self.depths) * len(nets.nets) * (1 + len(nets.levels)) * cells
        more = 0 if self._forests is None else self._forests.memory_bytes(cells, years)
        return outputs + 2 * channels + 24 * said + self._mapper(2000).memory_bytes(cells) + more

    def resident_bytes(self) -> int:
        """Return the bytes of the weights, in nets and in what maps them."""
        more = 0 if self._forests is None else self._forests.resident_bytes()
        return 2 * self.fitted.nets.nbytes() + more

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights with what they mean, forests, and the rest as JSON, without pickle."""
        told = self.told
        save_model(folder, self.fitted, told, self.quantiles, self.seed, self._target)
        if self._forests is not None:
            self._forests.save(folder / FORESTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the model that it began with is no longer needed."""
        fitted, told = load_model(folder)
        settings = {**told["settings"], "start": None, "start_digest": "", "own": ()}
        model = cls(settings, tuple(told["quantiles"]), depths_of(told), told["seed"])
        model._target = tuple(told["target"])
        model._fit = fitted
        if (folder / FORESTS).is_dir():
            model._forests = Forests.load(folder / FORESTS)
        return model
