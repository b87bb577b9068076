"""RothC as a model of the engine: a stock map, carried through the years under scenarios.

The initial stock comes from the cube, and so do climate, cover, and clay (or a forest on profiles
gives it). What holds the stock at the start is found exactly (``kernels/equilibrium.py``), so the
map of the start year **is** the initial map: a closure, no validation. What follows are scenarios,
not forecasts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc import POOLS

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..samples import Samples, Target, feature_names
from ..status import Status
from .columns import quantile_name
from .forest import ForestModel
from .protocol import Emits, Output, Reads, TileInputs
from .rothc_cells import Gathered, gather
from .rothc_cover import legend_of
from .rothc_cube import check_cube
from .rothc_phases import T_HA, Outcome, disturbances, disturbed, outcomes, productivity
from .rothc_settings import RothCSettings, from_plain

#: Cells run at once: enough for vector code, few enough for the second cache.
CHUNK_CELLS = 4096
#: Bounds of the interval that an ensemble gives.
INTERVAL = (0.05, 0.95)


@dataclass
class RothCModel:
    """RothC-26.3 over a map.

    Parameters
    ----------
    settings
        As :class:`RothCSettings`, or plain nested data for it.
    seed
        Of the ensemble and of the clay forest.
    threads
        Used while the clay forest grows.
    """

    settings: RothCSettings | Mapping[str, Any] = field(default_factory=RothCSettings)
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str] = "rothc"
    target: ClassVar[Target] = ("clay", "clay_pct", "%")

    def __post_init__(self) -> None:
        if not isinstance(self.settings, RothCSettings):
            self.settings = from_plain(RothCSettings, self.settings)
        self.told: RothCSettings = self.settings
        _check(self.told)
        clay = self.told.clay
        self._forest: ForestModel | None = None
        self._gaps: tuple[str, ...] = ()
        if not clay.variable:
            self._forest = ForestModel(
                clay.covariates,
                trees=clay.trees,
                min_samples_leaf=clay.min_samples_leaf,
                max_features=clay.max_features,
                transform="none",
                quantiles=INTERVAL,
                depths=((0.0, self.told.depth_cm),),
                seed=self.seed,
                threads=self.threads,
            )

    # -- declarations ---------------------------------------------------------------------------

    @property
    def clay_forest(self) -> ForestModel | None:
        """The forest that clay comes from, None where the cube gives it."""
        return self._forest

    @property
    def needs_samples(self) -> bool:
        """Only for a clay forest."""
        return self._forest is not None

    @property
    def learns_from(self) -> tuple[str, ...]:
        """What profiles are joined with: the covariates of the clay forest."""
        return self.told.clay.covariates if self._forest else ()

    @property
    def reads(self) -> Reads:
        """Climate, cover, stock, driver, and clay or what it is learned from."""
        told = self.told
        names = [told.temperature, told.rain, *told.evaporation.variables, told.cover.variable]
        names += [told.stock.variable, *told.domain.variables]
        names += [told.clay.variable] if told.clay.variable else list(told.clay.covariates)
        names += [told.driver.variable] if told.driver.kind == "variable" else []
        years = (told.stock.start, *told.run_years)
        return Reads(tuple(dict.fromkeys(names)), years=years, judges_missing=True)

    @property
    def initial_stock(self) -> tuple[str, float]:
        """The cube variable of the initial stock, and its factor to kg/m²."""
        return self.told.stock.variable, self.told.stock.factor / T_HA

    @property
    def emits(self) -> Emits:
        """Stock of each scenario, with its interval, and what else is asked for."""
        outputs: list[Output] = []
        for name, factor in self.told.scenarios.items():
            words = f"{name}, input x {factor:g}"
            outputs.append(_output(f"stock_{name}", "mean", "kg m-2", words))
            if self.told.ensemble.members:
                outputs += [_output(f"stock_{name}", f"Q{q:g}", "kg m-2", words) for q in INTERVAL]
            if "pools" in self.told.emit:
                outputs += [
                    _output(f"{pool.lower()}_{name}", "mean", "kg m-2", words)
                    for pool in (*POOLS, "IOM")
                ]
            outputs += [
                _output(f"{flux}_{name}", "mean", "kg m-2 yr-1", words)
                for flux in ("co2", "input")
                if flux in self.told.emit
            ]
        return Emits(tuple(outputs), ((0.0, self.told.depth_cm),))

    def describe(self) -> dict[str, str]:
        """Return what the map's metadata say."""
        told = self.told
        return {
            "summary": f"Soil organic carbon stock of 0-{told.depth_cm:g} cm under scenarios of "
            "carbon input, simulated by RothC-26.3 from an initial stock map",
            "method": "RothC-26.3; carbon input by exact inversion of the initial stock",
            "references": "Coleman & Jenkinson 1996 (RothC-26.3); FAO 2022 (GSOCseq phases)",
            "scenario": (
                f"Scenario runs, no hindcast and no forecast. The map of {told.stock.start} equals "
                "the initial stock map by construction; under the climate and input of the start "
                f"nothing changes. Scenarios begin after {told.last_warm_up}: "
                + ", ".join(f"{k} (input x {v:g})" for k, v in told.scenarios.items())
                + f". Climate: {_climate_words(told)}. Driver of the input: {_driver_words(told)}."
            ),
        }

    def check_cube(self, cube: Cube, grid: Grid) -> None:
        """Refuse variables in other units than the model takes, declared or by their values."""
        check_cube(self.told, cube, grid)

    # -- learning -------------------------------------------------------------------------------

    def fit(self, samples: Samples) -> Self:
        """Grow the clay forest.

        Covariates with gaps among the samples (seasonal ones, such as polar night: the engine
        leaves out samples with any other) may lack in the map, too; those cells are flagged.
        """
        if self._forest is not None:
            self._forest.fit(samples)
            gappy = {f for f in samples.features if samples.table[f].isna().any()}
            self._gaps = tuple(n for n in self.told.clay.covariates if gappy & _columns(n))
        return self

    def predict_rows(self, samples: Samples) -> dict[str, NDArray[np.float64]]:
        """Return the clay forest's outputs for each sample row, shape ``(n,)``."""
        if self._forest is None:
            raise InputError("clay is given by the cube here: there is nothing to validate")
        return self._forest.predict_rows(samples)

    # -- prediction -----------------------------------------------------------------------------

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[Any]]:
        """Return each output as ``(1, year, y, x)`` float32, and ``status`` as uint8 ``(y, x)``."""
        clay, spread, imputed = self._clay(inputs)
        out: dict[str, NDArray[Any]] = {
            o.name: np.full(inputs.out_shape(1), np.nan, np.float32) for o in self.emits.outputs
        }
        out["status"] = np.zeros(inputs.window.shape, np.uint8)
        cells = np.flatnonzero(inputs.wanted)
        scores = disturbances(self.told.ensemble, self.seed)
        for first in range(0, len(cells), CHUNK_CELLS):
            chunk = cells[first : first + CHUNK_CELLS]
            found = gather(self.told, inputs, chunk, clay, spread)
            out["status"].reshape(-1)[chunk] = found.status
            if found.at.size:
                self._run(found, scores, out)
        out["status"][imputed & (out["status"] == 0)] = Status.IMPUTED_INPUT
        return out

    def _clay(
        self, inputs: TileInputs
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return clay and its standard deviation, %, over the tile, and where gaps were bridged."""
        imputed = np.zeros(inputs.window.shape, bool)
        if self._forest is None:
            clay = inputs.values[self.told.clay.variable]
            return clay, clay * np.float32(self.told.ensemble.clay / 100), imputed
        known = inputs.wanted.copy()
        for name in self.told.clay.covariates:
            lacking = np.isnan(inputs.values[name]).reshape(-1, *known.shape).any(axis=0)
            if name in self._gaps:
                imputed |= lacking
            else:
                known &= ~lacking
        one = TileInputs(inputs.window, inputs.values, known, inputs.years[:1])
        made = self._forest.predict(one)
        low, high = (made[quantile_name("clay", q)][0, 0] for q in INTERVAL)
        spread = (high - low) / np.float32(2 * 1.6449)
        return made["clay_mean"][0, 0], spread, imputed & known

    def _run(
        self, found: Gathered, scores: NDArray[np.float64], out: dict[str, NDArray[Any]]
    ) -> None:
        """Run every member for the cells of a chunk and place what they give."""
        runs: dict[str, list[Outcome]] = {name: [] for name in self.told.scenarios}
        for member in scores:
            cells = disturbed(found.cells, self.told.ensemble, member)
            for name, outcome in outcomes(cells, self.told):
                runs[name].append(outcome)
        for name, members in runs.items():
            stocks = np.stack([m.stock for m in members]) / T_HA
            mean = stocks.mean(axis=0)
            _place(out, f"stock_{name}_mean", mean, found.at)
            lost = np.isnan(mean[0])  # no input holds the stock, or that of any of the members
            out["status"].reshape(-1)[found.at[lost]] = Status.NO_EQUILIBRIUM
            if self.told.ensemble.members:
                # the usual rule would make the interval of 8 members too narrow by a sixth
                levels = np.quantile(stocks, INTERVAL, axis=0, method="hazen")
                for q, level in zip(INTERVAL, levels, strict=True):
                    _place(out, quantile_name(f"stock_{name}", q), level, found.at)
            self._place_rest(out, name, members, found.at)
        self._flag(found, next(iter(runs.values())), out["status"].reshape(-1))

    def _flag(self, found: Gathered, members: list[Outcome], status: NDArray[np.uint8]) -> None:
        """Flag cells whose stock takes more carbon than plants there make."""
        most = self.told.domain.input_over_npp
        if most > 0:
            needed = np.mean([m.input[0] for m in members], axis=0)
            more = needed > most * productivity(found.cells, self.told)
            more &= status[found.at] == 0
            status[found.at[more]] = Status.INPUT_ABOVE_NPP

    def _place_rest(
        self,
        out: dict[str, NDArray[Any]],
        scenario: str,
        members: list[Outcome],
        at: NDArray[np.intp],
    ) -> None:
        """Place pools and fluxes, averaged over members, where they are asked for."""
        if "pools" in self.told.emit:
            pools = np.mean([m.pools for m in members], axis=0) / T_HA
            for i, pool in enumerate(POOLS):
                _place(out, f"{pool.lower()}_{scenario}_mean", pools[:, i], at)
            stock = np.mean([m.stock for m in members], axis=0) / T_HA
            _place(out, f"iom_{scenario}_mean", stock - pools.sum(axis=1), at)
        for flux in ("co2", "input"):
            if flux in self.told.emit:
                values = np.mean([getattr(m, flux) for m in members], axis=0) / T_HA
                _place(out, f"{flux}_{scenario}_mean", values, at)

    def memory_bytes(self, cells: int, years: int = 1) -> int:
        """Return the peak bytes of predicting a tile of `cells` cells, beside its inputs."""
        told, members = self.told, max(self.told.ensemble.members, 1)
        outputs = len(self.emits.outputs) * years * cells * 4
        forest = self._forest.memory_bytes(cells) if self._forest else 0
        chunk = min(cells, CHUNK_CELLS)
        kept = members * len(told.scenarios) * years * 7 * 8
        each_year = 16 if told.change.none else 24
        running = (len(told.run_years) * each_year + 12 * 60) * 8
        return outputs + forest + chunk * (kept + running) + 16 * cells

    def fit_bytes(self, rows: int) -> int:
        """Return the peak bytes of fitting the clay forest to `rows` rows."""
        return self._forest.fit_bytes(rows) if self._forest else 0

    def resident_bytes(self) -> int:
        """Return the bytes of the clay forest, which every worker maps once."""
        return self._forest.resident_bytes() if self._forest else 0

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the settings as JSON, and the clay forest beside them."""
        folder.mkdir(parents=True, exist_ok=True)
        described = {"schema": 1, "kind": self.kind, "seed": self.seed}
        described |= {"gaps": self._gaps, "settings": asdict(self.told)}
        if self._forest is not None:
            self._forest.save(folder / "clay")
        (folder / "model.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        path = folder / "model.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved RothC model here")
        described: Mapping[str, Any] = json.loads(path.read_text())
        model = cls(described["settings"], seed=described["seed"])
        if model._forest is not None:
            model._forest = ForestModel.load(folder / "clay")
            model._gaps = tuple(described["gaps"])
        return model


def _columns(variable: str) -> set[str]:
    """Return the feature columns that a covariate may have, static or monthly."""
    return {variable, *feature_names(variable, "monthly")}


def _place(
    out: dict[str, NDArray[Any]], name: str, values: NDArray[Any], at: NDArray[np.intp]
) -> None:
    """Put ``(years, n)`` into the cells `at` of an output ``(1, years, y, x)``."""
    array = out[name]
    array.reshape(array.shape[1], -1)[:, at] = values


def _output(quantity: str, statistic: str, units: str, words: str) -> Output:
    name = (
        quantile_name(quantity, float(statistic[1:]))
        if statistic.startswith("Q")
        else f"{quantity}_{statistic}"
    )
    encoding: Literal["stock", "float"] = "stock" if quantity.startswith("stock") else "float"
    return Output(name, units, statistic, encoding, words)


def _check(told: RothCSettings) -> None:
    """Refuse settings that contradict each other."""
    if told.years[0] != told.stock.start:
        raise InputError(
            f"map.years begins with {told.years[0]}; let it begin with the initial stock's year "
            f"{told.stock.start} (model.stock.start), so that the map shows what it started from"
        )
    if told.last_warm_up < told.stock.start:
        raise InputError(
            f"model.warm_up {told.last_warm_up} lies before model.stock.start {told.stock.start}"
        )
    over = None if told.warm_up is None else told.warm_up - told.years[-1]
    differ = set(told.scenarios.values()) != {1.0}
    if over is not None and (over > 0 or (over == 0 and differ)):
        raise InputError(
            f"model.warm_up {told.warm_up} does not end before the last of map.years, "
            f"{told.years[-1]}: the scenarios would never begin; map a later year, or let the "
            "warm-up end sooner"
        )
    if told.ensemble.members % 2:
        raise InputError(
            f"model.ensemble.members must be even (mirror images), found {told.ensemble.members}"
        )
    if bool(told.clay.variable) == bool(told.clay.covariates):
        raise InputError("model.clay: give either variable (a given clay) or covariates (a forest)")
    if not told.change.none and told.evaporation.method != "thornthwaite":
        raise InputError(
            "model.change needs evaporation.method = thornthwaite: other evapotranspiration does "
            "not follow the changed temperature"
        )
    legend_of(told.cover)


def _driver_words(told: RothCSettings) -> str:
    if told.driver.kind == "miami" and told.change.none:
        return "miami, which is the same every year under one climate"
    return told.driver.kind


def _climate_words(told: RothCSettings) -> str:
    if told.change.none:
        return "that of the start, every year"
    return (
        f"that of the start, with a stated anomaly of {told.change.temperature_per_decade:+g} °C "
        f"and {told.change.rain_percent_per_decade:+g} % rain a decade"
    )
