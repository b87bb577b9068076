"""What the engine knows of a model: what it reads, what it emits, and four methods.

A model of your own needs no more than this::

    class Constant:
        kind = "constant"
        reads = Reads()
        emits = Emits((Output("soc_mean", "g kg-1", "mean"),), ((0, 30),))
        def fit(self, samples): self.value = float(samples.y.mean()); return self
        def predict(self, inputs): return {"soc_mean": np.full(inputs.out_shape(1), self.value)}
        def save(self, folder): (folder / "value.json").write_text(json.dumps(self.value))
        @classmethod
        def load(cls, folder): ...

    register(Constant)

It may offer more, all of it optional:

``needs_samples: bool``
    False for a model that learns nothing: its recipe has no ``[profiles]``, ``fit`` is not called.
``target: tuple[str, str, str]``
    What it learns: quantity, profile column, units; ``("soc", "soc_g_kg", "g kg-1")`` by default.
``predict_rows(samples)``
    What cross-validation needs (:class:`RowModel`).
``beside: Mapping[str, str]``
    Further outputs of ``predict_rows`` that the assessment compares, with what each is called.
``site_span: SiteSpan``
    That its samples are sites with a row for every year, sampled or not
    (``engine/site_sampling.py``); ``y`` is NaN where not.
``learns_from: tuple[str, ...]``
    Cube variables that its samples are joined with; all it reads by default.
``profile_depths: tuple[Depth, ...]``
    Depths that a recipe's ``profiles.harmonise`` turns layers into, if not those that are mapped.
``patch_size: int``
    Cells along a side of the square around each sample that it learns from, odd: its samples then
    come with patches of the variables it learns from, of that size or, where a model beside it
    wants them so, larger (``engine/conv/patches.py``).
``windows: Mapping[int, tuple[str, ...]]``
    Variables by the side of the square that is cut for them, of a model that learns from squares of
    several sizes: its samples then come with a set (``engine/branches/group_set.py``).
``client``
    A Dask client, set before ``fit``, of a model that trains on the cluster.
``depth_only: ModelSpec``
    What stands beside it in an assessment as a model that sees depth alone; by default the same
    model with its setting ``covariates`` empty, if it has one.
``packages: tuple[str, ...]``
    Further packages whose version can change the bytes of its map, beside those of every run.
``initial_stock: tuple[str, float]``
    The cube variable of the stock a map begins with, and its factor to kg/m²: the report then says
    what the total is with and without the cells left out.
``check_cube(cube, grid)``
    Refuse, before anything runs, a cube that does not hold what the model takes it for.
``describe() -> Mapping[str, str]``
    What its map's metadata say: ``summary``, ``method``, ``references``, ``support``, and for
    scenario runs ``scenario``, a note that every product and the report carry.
``memory_bytes(cells, years)``, ``resident_bytes()``, ``fit_bytes(rows)``
    What planning adds up (``engine/plan.py``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean
from ..grid import Window
from ..samples import SOC_TARGET, Samples, Target

if TYPE_CHECKING:
    from ..applicability import ApplicabilitySpec
    from .consistent import ConsistentSpec

Depth = tuple[float, float]

#: What a model with an area of applicability gives beside its own outputs; above 1 is outside.
DISSIMILARITY = "dissimilarity"


@dataclass(frozen=True)
class Reads:
    """What a model asks of the cube for each tile.

    Parameters
    ----------
    variables
        Names of cube variables; a monthly one arrives with its twelve months.
    halo
        Cells needed beyond each side of the tile.
    years
        Years wanted of yearly variables; those of the map by default.
    judges_missing
        Whether the model takes soil cells that lack a variable, and says itself (by ``"status"``)
        why they have no value; by default the engine leaves them out.
    """

    variables: tuple[str, ...] = ()
    halo: int = 0
    years: tuple[int, ...] | None = None
    judges_missing: bool = False

    def years_for(self, mapped: tuple[int, ...]) -> tuple[int, ...]:
        """Return the years in which yearly variables are read for a map of these years."""
        return mapped if self.years is None else self.years


@dataclass(frozen=True)
class Output:
    """One variable of the map.

    Parameters
    ----------
    name
        ``<quantity>_<statistic>``: ``soc_mean``, ``soc_q05``, ``stock_mean``.
    units
        UDUNITS string: ``g kg-1``, ``kg m-2``.
    statistic
        ``mean``, ``Q0.05``, …: as products are named.
    encoding
        How values are stored: ``content`` (uint16 x 0.01 g/kg), ``stock`` (uint16 x 0.002 kg/m²)
        or ``float`` (float32).
    long_name
        For people.
    by_depth
        Whether each depth has its own values; if not, the model returns one depth, and the map's
        array has none.
    """

    name: str
    units: str
    statistic: str
    encoding: Literal["content", "stock", "float"] = "content"
    long_name: str = ""
    by_depth: bool = True


@dataclass(frozen=True)
class Emits:
    """The variables a model writes, and the depth intervals (cm, positive down) they are for."""

    outputs: tuple[Output, ...]
    depths: tuple[Depth, ...]

    def layers_of(self, output: Output) -> int:
        """Layers of an output in each year."""
        return len(self.depths) if output.by_depth else 1

    @property
    def layers(self) -> int:
        """Layers of all outputs in each year."""
        return sum(self.layers_of(output) for output in self.outputs)


@dataclass(frozen=True)
class TileInputs:
    """What a model gets for one tile.

    Parameters
    ----------
    window
        The cells to predict, without halo.
    values
        Cube variables as float32, missing as NaN: static ``(y, x)``, monthly ``(12, y, x)``,
        yearly ``(year, y, x)``; y and x include the halo.
    wanted
        Cells to predict, ``(y, x)`` without halo; the model may leave the others anything.
    years
        The years of the map.
    halo
        Cells that `values` extend beyond `window` on each side.
    """

    window: Window
    values: Mapping[str, NDArray[np.float32]]
    wanted: NDArray[np.bool_]
    years: tuple[int, ...]
    halo: int = 0

    def out_shape(self, depths: int) -> tuple[int, int, int, int]:
        """Shape of an output array: depth, year, y, x."""
        return (depths, len(self.years), *self.window.shape)


@runtime_checkable
class Model(Protocol):
    """Anything that learns from samples and predicts tiles."""

    kind: str

    @property
    def reads(self) -> Reads:
        """What it needs of the cube."""

    @property
    def emits(self) -> Emits:
        """What it writes."""

    def fit(self, samples: Samples) -> Self:
        """Learn from samples; return self."""

    def predict(self, inputs: TileInputs) -> Mapping[str, NDArray[np.floating[Any]]]:
        """Return each output as ``(depth, year, y, x)``, NaN where it cannot tell.

        One that is not by depth has a single one.

        Beside them it may return ``"status"``, uint8 ``(y, x)``: 0 leaves a cell as it is, any
        other code of :class:`~edaphos.engine.status.Status` says why a wanted cell has no value
        (the engine then blanks its outputs), or flags one that has (codes in ``MAPPED``). The
        cells of each code are counted into the run's manifest.
        """

    def save(self, folder: Path) -> None:
        """Write the model as files without pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""


@runtime_checkable
class RowModel(Protocol):
    """A model that can also predict single rows of samples, as cross-validation needs."""

    def fit(self, samples: Samples) -> Self:
        """Learn from samples; return self."""

    def predict_rows(self, samples: Samples) -> Mapping[str, NDArray[np.floating[Any]]]:
        """Return each output for each sample row at its own depth, shape ``(n,)``."""


def needs_samples(model: Any) -> bool:
    """Whether a model learns from soil profiles: its own ``needs_samples``, by default yes."""
    return bool(getattr(model, "needs_samples", True))


def target_of(model: Any) -> Target:
    """Return what a model learns: its own ``target``, by default organic carbon."""
    quantity, column, units = getattr(model, "target", SOC_TARGET)
    return quantity, column, units


def learns_from(model: Any) -> tuple[str, ...]:
    """Return the cube variables that samples are joined with: ``learns_from``, or all it reads."""
    return tuple(getattr(model, "learns_from", model.reads.variables))


def patch_size_of(model: Any) -> int:
    """Return cells along a side of the patches that a model learns from; by default 0, for none."""
    return int(getattr(model, "patch_size", 0))


def packages_of(model: Any) -> tuple[str, ...]:
    """Return the packages beside those of every run whose version a model's map depends on."""
    return tuple(getattr(model, "packages", ()))


#: What a model may say of its map with ``describe()``.
DESCRIPTIONS = ("summary", "method", "references", "support", "scenario")


def description_of(model: Any) -> dict[str, str]:
    """Return what a model says of its map: some of :data:`DESCRIPTIONS`, by default nothing."""
    told = {str(k): str(v) for k, v in getattr(model, "describe", dict)().items()}
    for name in told:
        if name not in DESCRIPTIONS:
            raise InputError(
                f'model "{model.kind}" describes its "{name}": {did_you_mean(name, DESCRIPTIONS)}'
            )
    return told


_REGISTRY: dict[str, type[Any]] = {}
_BUILT_IN = {
    "beta": "edaphos.engine.models.beta:BetaModel",
    "boosting": "edaphos.engine.models.boosting:BoostingModel",
    "conv": "edaphos.engine.models.conv:ConvModel",
    "forest": "edaphos.engine.models.forest:ForestModel",
    "forest_by_depth": "edaphos.engine.models.forest_by_depth:ForestByDepth",
    "gsoilcpm": "edaphos.engine.models.gsoilcpm:GsoilcpmModel",
    "poml": "edaphos.engine.models.poml:PomlModel",
    "rothc": "edaphos.engine.models.rothc:RothCModel",
    "stock_forest": "edaphos.engine.models.stock_forest:StockForest",
}


def register(model: type[Any]) -> type[Any]:
    """Make a model class known by its ``kind`` (usable as a class decorator)."""
    _REGISTRY[model.kind] = model
    return model


def model_class(kind: str) -> type[Any]:
    """Return the model class for a kind: built in, registered, or ``package.module:Class``."""
    if kind in _REGISTRY:
        return _REGISTRY[kind]
    target = _BUILT_IN.get(kind, kind)
    if ":" not in target:
        known = sorted({*_REGISTRY, *_BUILT_IN})
        raise InputError(f'unknown model kind "{kind}": {did_you_mean(kind, known)}')
    module, _, name = target.partition(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f'model kind "{kind}" cannot be imported: {error}') from error
    return found


@dataclass(frozen=True)
class ModelSpec:
    """A model's kind and its settings, as a recipe names them, and whether it maps where it holds.

    Parameters
    ----------
    kind, settings
        Of the model.
    applicability
        How its area of applicability is learned; None: it has none.
    consistent
        What its layers are to integrate to; None: they stay as predicted.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    applicability: ApplicabilitySpec | None = None
    consistent: ConsistentSpec | None = None

    def build(self) -> Any:
        """Return an untrained model."""
        model = model_class(self.kind)(**self.settings)
        if self.consistent is not None:
            from .consistent import ConsistentModel  # which is made of models itself

            model = ConsistentModel(model, self.consistent)
        if self.applicability is None:
            return model
        from .applicable import ApplicableModel  # which is made of models itself

        return ApplicableModel(model, self.applicability)
