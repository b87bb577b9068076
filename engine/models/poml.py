"""A hybrid of process model and forest as a model of the engine: a map for every year.

After Zhang L. et al. (2024), *POML*: the process carries each sampled stock through the years, and
what it says of the years between trains the forest beside the samples. Three maps come side by
side: the forest alone (``stock_ml``), the process alone, begun everywhere from the forest's stock
of the first sampled year (``stock_po``), and the hybrid (``stock_poml``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest_walk import packet_order

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..hybrid.couplings import from_first
from ..hybrid.members import CHUNK_ROWS
from ..hybrid.site_years import Floats, SiteYears
from ..samples import Samples, Target
from ..site_sampling import SiteSpan
from ..status import Status
from .poml_arms import Arms, fit_arms, load_arms, save_arms
from .poml_cube import check_cube
from .poml_notes import notes_on_fit
from .poml_settings import PomlSettings, check
from .poml_sites import Places, of_cells, of_samples, site_years
from .protocol import Emits, Output, Reads, TileInputs
from .rothc_cells import latitudes
from .rothc_settings import from_plain
from .soil_domain import in_classes

#: Cells run at once; their climate over all years is held at a time.
CHUNK_CELLS = 8192
#: Stocks above it, kg/m², are no prediction of a mineral soil's layer.
MOST_STOCK = 131.0
#: What each mapped quantity is, for people.
WORDS: Mapping[str, str] = {
    "ml": "forest alone",
    "po": "process alone, from the forest's stock",
    "poml": "hybrid of process and forest",
}
_SINCE = "hybrid, since the first year mapped"
#: Interval of the hybrid's stock, and its change since the first year mapped.
INTERVAL = (
    Output("stock_poml_q05", "kg m-2", "Q0.05", "stock", WORDS["poml"]),
    Output("stock_poml_q95", "kg m-2", "Q0.95", "stock", WORDS["poml"]),
    Output("change_poml_mean", "kg m-2", "mean", "float", _SINCE),
    Output("change_poml_q05", "kg m-2", "Q0.05", "float", _SINCE),
    Output("change_poml_q95", "kg m-2", "Q0.95", "float", _SINCE),
    Output("change_poml_p", "1", "p", "float", f"{_SINCE}: two-sided p of no change"),
)
#: The process from a held-out site's own first sample: no peer of the others.
OWN_START = "stock_po_own_mean"
#: What each arm is called in comparisons.
ARMS: Mapping[str, str] = {
    OWN_START: "process, own start (PO)",
    "stock_po_mean": "process, from the forest's stock (PO)",
    "stock_ml_mean": "forest alone (ML)",
    "stock_poml_mean": "hybrid (POML)",
}


@dataclass
class PomlModel:
    """Process model and forest, joined, over a map and its years.

    Parameters
    ----------
    settings
        As :class:`PomlSettings`, or plain nested data for it.
    seed
        Of the forests.
    threads
        Used while the forests grow.
    """

    settings: PomlSettings | Mapping[str, Any] = field(default_factory=PomlSettings)
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str] = "poml"

    def __post_init__(self) -> None:
        if not isinstance(self.settings, PomlSettings):
            self.settings = from_plain(PomlSettings, self.settings)
        self.told: PomlSettings = self.settings
        check(self.told)
        self._arms: Arms | None = None

    # -- declarations ---------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """The best of what is mapped, learned from carbon content and density of layers."""
        return (f"stock_{self.told.emit[-1]}", "soc_g_kg", "kg m-2")

    @property
    def beside(self) -> dict[str, str]:
        """What cross-validation compares."""
        mapped = {f"stock_{name}_mean" for name in self.told.emit}
        return {name: label for name, label in ARMS.items() if name in {OWN_START, *mapped}}

    @property
    def site_span(self) -> SiteSpan:
        """That samples are sites in all years, and which."""
        years = self.told.span
        return SiteSpan(years[0], years[-1], self.told.depth_cm, self.told.renamed)

    @property
    def learns_from(self) -> tuple[str, ...]:
        """Covariates, climate and drivers."""
        return self.told.variables

    @property
    def reads(self) -> Reads:
        """What the map needs of them, in all years of the span."""
        return Reads(self.told.mapped_variables, years=self.told.span, judges_missing=True)

    @property
    def emits(self) -> Emits:
        """The stock of each arm; of the hybrid also its interval, and the change it tells."""
        outputs = [
            Output(f"stock_{name}_mean", "kg m-2", "mean", "stock", WORDS[name])
            for name in self.told.emit
        ]
        if self.told.has_interval:
            outputs += INTERVAL
        return Emits(tuple(outputs), ((0.0, self.told.depth_cm),))

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata say."""
        told = self.told
        process = {"rothc": "RothC-26.3", "icbm": "ICBM"}.get(told.process.kind, told.process.kind)
        return {
            "summary": f"Soil organic carbon stock of 0-{told.depth_cm:g} cm in each year, by a "
            f"forest, by {process}, and by both joined",
            "method": f"{process} and a random forest of {told.learner.trees} trees; coupling "
            f"{told.coupling}, w_p {self._weight()}, sample weights by {told.learner.weight_mode}",
            "references": "Zhang L. et al. 2024 (POML); Coleman & Jenkinson 1996 (RothC-26.3)",
            "support": " ".join(self._cautions()),
        }

    def _cautions(self) -> list[str]:
        """Return what a reader of the map must know, in sentences."""
        told = ["Stocks stand at the end of each year."]
        if set(self.told.emit) != {"ml"}:
            told.append(
                "Years between samplings rest on the process and its drivers; where those are "
                "wrong, so are they."
            )
        told += self.notes
        sure = None if self._arms is None else self._arms.sure
        if sure is not None:
            told.append(
                "The interval of a stock is that of a measurement at a point; changes since "
                f"{self.told.years[0]} and their p are those of the true stock of a cell."
            )
            told += sure.errors.notes()
        return told

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened while it was fitted that a reader must know, in sentences."""
        return () if self._arms is None else self._arms.notes

    def _weight(self) -> str:
        found = None if self._arms is None else self._arms.w_p
        if self.told.w_p != "tuned":
            return f"{self.told.w_p:g}"
        return "tuned" if found is None else f"{found:g} (tuned)"

    def check_cube(self, cube: Cube, grid: Grid) -> None:
        """Refuse variables that are not what the model takes them for."""
        check_cube(self.told, cube, grid)

    # -- learning -------------------------------------------------------------------------------

    @property
    def arms(self) -> Arms:
        """What was fitted."""
        if self._arms is None:
            raise InputError("the hybrid is not fitted yet; call fit() or load()")
        return self._arms

    def fit(self, samples: Samples) -> Self:
        """Calibrate the process and grow the forests on all sites of `samples`."""
        values, places, stock, _ = of_samples(self.told, samples)
        data, status = site_years(self.told, values, places, stock)
        sampled: NDArray[np.bool_] = np.asarray(data.sampled.any(axis=1))
        data = data.take(np.flatnonzero(status == 0))
        if not data.sampled.any():
            raise InputError(
                f"none of the {len(status):,} sites has climate, clay, driver and covariates in "
                "range; look at their units in the cube's TOML"
            )
        arms = fit_arms(self.told, data, self.seed, self.threads)
        notes = notes_on_fit(self.told, sampled, status, data, arms.calibrated)
        self._arms = replace(arms, notes=notes)
        return self

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.float64]]:
        """Return each output for each sample row, shape ``(n,)``.

        Beside what is mapped :data:`OWN_START`: the process from the site's own first sample, from
        the year after it on.
        """
        values, places, stock, rows = of_samples(self.told, samples)
        data, status = site_years(self.told, values, places, stock)
        fine = np.flatnonzero(status == 0)
        data = data.take(fine)
        out: dict[str, NDArray[np.float64]] = {}

        def place(name: str, found: Floats) -> None:
            out[name] = np.full(len(samples), np.nan)
            out[name][rows[fine]] = found

        blind = data.without_stock()
        for name, found in self._predicted(blind, np.arange(len(data.years))).items():
            place(name, found)
        own = from_first(self.arms.calibrated, data)
        own[np.arange(len(own)), data.first] = np.nan  # what it was given is no prediction
        place(OWN_START, own)
        return out

    # -- prediction -----------------------------------------------------------------------------

    def _predicted(self, data: SiteYears, years: NDArray[np.intp]) -> dict[str, Floats]:
        """Return each output at positions `years` of the span, ``(S, years)``."""
        found = {f"stock_{name}_mean": stock for name, stock in self._stocks(data, years).items()}
        sure = self.arms.sure
        if sure is not None:
            told = sure.predict(data, found["stock_poml_mean"], years)
            found |= {_mapped_as(name): layer for name, layer in told.items()}
        return found

    def _stocks(self, data: SiteYears, years: NDArray[np.intp]) -> dict[str, Floats]:
        """Return the stock of each arm at positions `years` of the span, ``(S, years)`` kg/m²."""
        arms, told = self.arms, self.told
        found: dict[str, Floats] = {}
        alone = arms.forest(data, years, arms.start if "po" in told.emit else None)
        if "ml" in told.emit:
            found["ml"] = alone[:, : len(years)]
        if "po" in told.emit:
            found["po"] = arms.process_from(data, alone[:, -1])[:, years]
        if "poml" in told.emit:
            found["poml"] = arms.hybrid(data, years)
        return found

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(1, year, y, x)`` float32, and ``status`` as uint8 ``(y, x)``."""
        out: dict[str, NDArray[Any]] = {
            o.name: np.full(inputs.out_shape(1), np.nan, np.float32) for o in self.emits.outputs
        }
        out["status"] = np.zeros(inputs.window.shape, np.uint8)
        status = out["status"].reshape(-1)
        years = np.array(inputs.years) - self.told.span[0]
        told = self.told.domain
        latitude, cells = latitudes(inputs.window).reshape(-1), packet_order(inputs.wanted)
        for first in range(0, len(cells), CHUNK_CELLS):
            chunk = cells[first : first + CHUNK_CELLS]
            here = latitude[chunk]
            places = Places(np.zeros(len(chunk)), here, here)
            values = of_cells(inputs.values, chunk)
            data, code = site_years(self.told, values, places)
            status[chunk] = code
            fine = np.flatnonzero(code == 0)
            if fine.size:
                found = self._predicted(data.take(fine), years)
                code = self._judged(found, years)
                paddy = in_classes(told.paddy, {n: values[n][fine] for n in told.paddy}, len(fine))
                status[chunk[fine]] = np.where(paddy & (code == 0), Status.PADDY, code)
                for name, layer in found.items():
                    array = out[name]
                    array.reshape(array.shape[1], -1)[:, chunk[fine]] = layer.T
        return out

    def _judged(self, found: Mapping[str, Floats], years: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return why cells have no stock after all; 0 where they have."""
        status = np.zeros(len(next(iter(found.values()))), np.uint8)
        for name in self.told.emit:
            process = name == "po"
            begun = years >= (self.arms.position(self.told.span) if process else 0)
            stock = found[f"stock_{name}_mean"][:, begun]
            lost = np.isnan(stock).any(axis=1)
            wild = ((stock < 0) | (stock > MOST_STOCK)).any(axis=1)
            status[lost & (status == 0)] = (
                Status.NO_EQUILIBRIUM if process else Status.INVALID_INPUT
            )
            status[wild & (status == 0)] = Status.INVALID_STOCK
            organic = (10 * stock > self.told.domain.organic_above).any(axis=1)
            status[organic & (status == 0)] = Status.ORGANIC_OUTSIDE
        return status

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        span, chunk = len(self.told.span), min(cells, CHUNK_CELLS)
        outputs = len(self.emits.outputs) * years * cells * 4
        # site values twice, climate with evapotranspiration and its scratch, pools of a run
        values = 2 * 4 * self._values(span)
        running = 12 * span * 4 * 8 if self.told.climate.transient else 12 * 4 * 8
        features = len(self.told.static) + len(self.told.yearly) + 3
        rows = span * (4 * features + 8 * 4)
        # predictions by parts of members, a chunk of theirs at once, and variances and layers
        told = self.told.uncertainty.build() if self.told.has_interval else None
        parts = 3 * 8 * CHUNK_ROWS * told.members.members * told.members.parts if told else 0
        layers = 10 * 8 * years if told else 0
        each = values + running + rows + span * 4 * 8 + layers
        return outputs + chunk * each + parts + 16 * cells

    def _values(self, span: int) -> int:
        """Return the numbers that a site's values are, all years together."""
        yearly = set(self.told.changing)
        # a static covariate may turn out monthly
        return sum(span if name in yearly else 12 for name in self.told.mapped_variables)

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting to `rows` rows of sites and years."""
        sites, span = rows // max(len(self.told.span), 1), len(self.told.span)
        told = self.told.learner
        nodes = 2 * rows // told.min_samples_leaf
        return rows * 400 + told.trees * (99 * nodes + 8 * rows) + sites * span * 12 * 4 * 8

    def resident_bytes(self) -> int:
        """Return the bytes of the trees, which every worker maps once."""
        return self.arms.nbytes()

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write settings as JSON, and what was fitted beside them, without pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        save_arms(self.arms, folder)
        described = {
            "schema": 1,
            "kind": self.kind,
            "seed": self.seed,
            "settings": asdict(self.told),
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved hybrid here")
        described: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(described["settings"], seed=described["seed"])
        model._arms = load_arms(model.told, folder)
        return model


def _mapped_as(layer: str) -> str:
    """Return the map's name of a layer of the uncertainty.

    >>> _mapped_as("q05"), _mapped_as("change_p")
    ('stock_poml_q05', 'change_poml_p')
    """
    quantity, _, statistic = layer.rpartition("_")
    return f"{quantity or 'stock'}_poml_{statistic}"
