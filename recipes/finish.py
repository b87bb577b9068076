"""What is made of a finished map: COGs, a STAC catalogue, totals, and the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid, Window
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import MAP
from edaphos.engine.map_view import open_map
from edaphos.engine.place import Place
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.layers import mean_layers, read_directly, sum_layers
from edaphos.engine.products.pyramid import coarse_level, write_pyramid
from edaphos.engine.products.report import Truth, gather, write_report
from edaphos.engine.products.significance import (
    Discovery,
    class_layers,
    find_discoveries,
    layers_of_p,
)
from edaphos.engine.products.stac import write_stac
from edaphos.engine.products.totals import Totals, map_totals, stock_by_status
from edaphos.engine.products.trends import Trends, find_trends, trend_layers
from edaphos.engine.products.yearly_maps import MOST_COLUMNS
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.engine.run_progress import REPORT
from edaphos.engine.stocks.tables import load_zonal, zonal_tables
from edaphos.kernels.climate import KOEPPEN_GROUPS, KOEPPEN_NAMES, KOEPPEN_NAMES_32

from .beta_schema import BetaTable
from .beta_totals import write_totals
from .stages import Stages

#: Orders in which maps number the Köppen-Geiger classes.
KOEPPEN_LEGENDS: Mapping[str, Mapping[int, str]] = {
    "beck-2018": KOEPPEN_NAMES,
    "alphabetical-32": KOEPPEN_NAMES_32,
}


def finish(
    run: Run,
    reporter: Reporter = QUIET,
    truth: Truth | None = None,
    stages: Stages | None = None,
) -> Place | None:
    """Export and describe a map as its recipe asks; return the report's path, if it wants one.

    `stages` goes on timing, and telling who watches, where a caller began.
    """
    wanted = run.manifest()["provenance"]["products"]
    stages = stages or Stages(reporter, run)
    told = getattr(run.load_model(), "initial_stock", None)
    if told is not None and run.cube_path.exists():
        with stages.stage("initial stock", "Initial stock"):
            note_initial_stock(run, *told)
    if wanted.get("pyramid"):  # a run begun by an edaphos without pyramids has no such word
        with stages.stage("pyramid", "Pyramid"):
            write_pyramid(run.path / MAP, state=map_state(run), reporter=reporter)
    if run.identity["recipe"].get("model", {}).get("kind") == "beta":
        with stages.stage("ecosystems", "Stocks by ecosystem"):
            write_totals(run, BetaTable.model_validate(run.identity["recipe"]["model"]))
    discoveries = significant_changes(run, wanted, stages)
    if wanted["cog"]:
        with stages.stage("products", "Products"):
            dataset = read_directly(open_map(run.path), run.path / MAP)
            folder, state = run.path / "products", map_state(run, *discoveries)
            more = class_layers(dataset, discoveries)
            products = export_cogs(dataset, folder, reporter=reporter, state=state, more=more)
            write_stac(dataset, products, folder, name=run.identity["recipe"]["name"])
    if not wanted["report"]:
        return None
    with stages.stage(REPORT, "Report"):
        return write_run_report(run, reporter, truth)


def map_state(run: Run, *discoveries: Discovery) -> str:
    """Return what tells a map's state: a digest over the run's identity and its finished tiles.

    And over what `discoveries` were asked for, where products show them.
    """
    names = sorted(entry.name for entry in Ledger(run.path).finished().values())
    asked = sorted(f"{one.layer.name} {one.q} {one.method}" for one in discoveries)
    return hashlib.sha256("\n".join([run.hash, *names, *asked]).encode()).hexdigest()[:16]


def significant_changes(run: Run, wanted: Mapping[str, Any], stages: Stages) -> list[Discovery]:
    """Find and note where changes are significant, in a map that says how sure they are."""
    dataset = read_directly(open_map(run.path), run.path / MAP)
    if not layers_of_p(dataset):
        return []
    with stages.stage("significance", "Significant changes"):
        found = find_discoveries(
            dataset,
            q=wanted.get("false_discovery", 0.1),
            method=wanted.get("procedure", "bh"),
            reporter=stages.reporter,
        )
        run.note(significance=[{**one.to_json(), "text": one.to_text()} for one in found])
    return found


def note_initial_stock(run: Run, name: str, factor: float) -> None:
    """Note the stock by status of a map's cells that its model began with.

    That is the cube's variable `name` times `factor`, kg/m2.
    """
    cube, grid = Cube.open(run.cube_path), run.grid

    def stock(where: tuple[slice, slice]) -> NDArray[np.float32]:
        return cube.read(_window(grid, where), [name])[name] * np.float32(factor)

    run.note(initial_stock_pg=stock_by_status(open_map(run.path), stock))


def write_run_report(run: Run, reporter: Reporter = QUIET, truth: Truth | None = None) -> Place:
    """Write the report of a run from what its folder holds."""
    totals, trends = _sums(run, reporter)
    pyramid = run.manifest()["provenance"]["products"].get("pyramid")
    coarser = coarse_level(run.path / MAP, MOST_COLUMNS) if pyramid else None
    inputs = gather(run.path, totals=totals, truth=truth, trends=trends, coarser=coarser)
    zonal = [table for found in load_zonal(run.path) for table in zonal_tables(found)]
    return write_report(run.path, replace(inputs, zonal=tuple(zonal)))


@dataclass(frozen=True)
class CubeZones:
    """Class codes of a cube variable on a grid, read block by block when they are indexed."""

    cube: Cube
    grid: Grid
    variable: str

    def __getitem__(self, where: tuple[slice, slice]) -> NDArray[np.int64]:
        """Return the codes of a block, -1 where there is none."""
        codes = self.cube.read(_window(self.grid, where), [self.variable])[self.variable]
        return np.nan_to_num(codes, nan=-1).astype(np.int64)


def _window(grid: Grid, where: tuple[slice, slice]) -> Window:
    rows, cols = where
    return grid.window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)


def _sums(run: Run, reporter: Reporter) -> tuple[Totals, Trends | None]:
    """Return totals, and trends by climate group of a map of several models: from one reading."""
    dataset = read_directly(open_map(run.path), run.path / MAP)
    legend, means = koeppen_legend(run), [*mean_layers(dataset), *sum_layers(dataset)]
    held = {layer.name for layer in means}
    wanted = [*means, *(la for la in trend_layers(dataset) if la.name not in held)]
    totals = map_totals(dataset, wanted=wanted, reporter=reporter, **_koeppen(run, legend))
    trends = find_trends(dataset, totals, climate_groups(legend))
    return totals.of({layer.variable for layer in means}), trends


def climate_groups(legend: Mapping[int, str]) -> dict[str, str]:
    """Return the major group of each Köppen-Geiger class of a legend that is in one.

    >>> climate_groups({1: "Af", 15: "Cfb", 32: "Ocean"})
    {'Af': 'tropical (A)', 'Cfb': 'temperate (C)'}
    """
    groups = {letter: f"{words} ({letter})" for letter, words in KOEPPEN_GROUPS.items()}
    return {name: groups[name[0]] for name in legend.values() if name[0] in groups}


def koeppen_legend(run: Run) -> Mapping[int, str]:
    """Return the names of the Köppen-Geiger classes of a run's cube."""
    return KOEPPEN_LEGENDS[
        run.identity["recipe"].get("assess", {}).get("koeppen_legend", "beck-2018")
    ]


def _koeppen(run: Run, names: Mapping[int, str]) -> dict[str, Any]:
    """Return the climate zones of a run's cells under these names, nothing without such a layer."""
    if not run.cube_path.exists():
        return {}
    cube = Cube.open(run.cube_path)
    if "koeppen" not in cube.manifest.variables:
        return {}
    return {"zones": CubeZones(cube, run.grid, "koeppen"), "zone_names": names}
