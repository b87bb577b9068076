"""The stock table of a beta map: by ecosystem and layer, beside the paper's Table 1."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import MAP
from edaphos.engine.map_view import open_map
from edaphos.engine.models.beta_settings import BetaSettings
from edaphos.engine.products.ecosystem_tables import FILE
from edaphos.engine.products.layers import Block, depths_of, map_grid, read_directly
from edaphos.engine.run import Run
from edaphos.engine.stocks.ecosystems import TOGETHER, EcosystemTotal, ecosystem_totals
from edaphos.engine.stocks.error_range import ErrorRange, fit_structures
from edaphos.engine.store import write_atomically
from edaphos.engine.whole_folder import is_whole, on_disk

from .beta_left_out import LeftOut, beta_scores, stock_ratio
from .beta_schema import BetaTable

Floats = NDArray[np.float64]

LAYERS: tuple[tuple[float, float], ...] = ((0, 20), (20, 100), (0, 100))

#: Wang H. et al.: stocks in Pg and means in t/ha by ecosystem and layer, as printed; the mean of
#: 0-100 cm of cropland is not.
PUBLISHED: Mapping[tuple[str, tuple[float, float]], tuple[float | None, float | None]] = {
    ("cropland", (20, 100)): (67.0, 63.8),
    ("grassland", (20, 100)): (200.0, 83.3),
    ("forest", (20, 100)): (644.0, 100.4),
    ("grassland", (0, 100)): (None, 153.7),
    ("forest", (0, 100)): (None, 180.6),
    (TOGETHER, (0, 20)): (747.0, None),
    (TOGETHER, (20, 100)): (912.0, None),
    (TOGETHER, (0, 100)): (1659.0, None),
}
#: Areas that its stocks and means imply, million ha, and its mean mapped beta.
PUBLISHED_AREA = {"cropland": 1200.0, "grassland": 2590.0, "forest": 5640.0, TOGETHER: 9430.0}
PUBLISHED_BETA = {"cropland": 0.9727, "grassland": 0.9739, "forest": 0.9751}
PUBLISHED_WORDS = (
    "Published: Wang H. et al. (ESSD manuscript), Table 1 and text; their means are of cells, and "
    "their areas overlap (forest 5.64 billion ha, where the FAO counts 4.1)."
)


def write_totals(run: Run, table: BetaTable) -> dict[str, Any] | None:
    """Total a beta map by ecosystem, write the table into its folder, and return it.

    None where the map's layers do not make up 0-20 and 20-100 cm, or its cube is gone.
    """
    dataset = read_directly(open_map(run.path), run.path / MAP)
    if not run.cube_path.exists() or not _made_up(depths_of(dataset)):
        return None
    settings = BetaSettings.of(table.settings())
    ecosystems, cube, grid = settings.ecosystems, Cube.open(run.cube_path), map_grid(dataset)
    land = table.ecosystems.land
    read = [ecosystems.variable, *([land] if land else [])]

    def shares(where: Block) -> dict[str, Floats]:
        rows, cols = where
        window = grid.window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        values = cube.read(window, read)
        part = np.clip(np.nan_to_num(values[land]), 0, 1) if land else 1.0
        classes = values[ecosystems.variable]
        return {n: np.asarray(ecosystems.share(n, classes) * part) for n in ecosystems.names}

    left = _left_out(run)
    errors = _errors(left)
    mapped = [depth for depth in depths_of(dataset) if depth not in LAYERS]
    both, draws = ecosystem_totals(dataset, ecosystems.names, shares, [*LAYERS, *mapped], errors)
    asked = [i for i, one in enumerate(both) if (one.top_cm, one.bottom_cm) in LAYERS]
    totals, draws = [both[i] for i in asked], draws[:, asked]
    layers = [one for one in both if (one.top_cm, one.bottom_cm) in depths_of(dataset)]
    found: dict[str, Any] = {
        "totals": [one.to_json() | _beside(one) for one in totals],
        "by_layer": [one.to_json() for one in layers],
        "published": PUBLISHED_WORDS,
        "errors": None
        if errors is None
        else {"structures": errors.structures, "text": errors.to_text()},
        "fragments": _scenario(totals, draws, table),
        **_checks(left, cube, grid, settings),
    }
    write_atomically(run.path / FILE, json.dumps(found, indent=1) + "\n")
    return found


def _beside(one: EcosystemTotal) -> dict[str, Any]:
    pg, t_ha = PUBLISHED.get((one.ecosystem, (one.top_cm, one.bottom_cm)), (None, None))
    return {"published_pg": pg, "published_t_ha": t_ha}


def _made_up(depths: Sequence[tuple[float, float]]) -> bool:
    ends = [depths[0][0], *(bottom for _, bottom in depths)]
    touching = all(a[1] == b[0] for a, b in pairwise(depths))
    return touching and {0.0, 20.0, 100.0} <= set(ends)


def _left_out(run: Run) -> LeftOut | None:
    """Return the profiles that the run's validation left out, whole ones."""
    folder = run.path / "assessment"
    return LeftOut.of(Assessment.load(on_disk(folder))) if is_whole(folder) else None


def _errors(left: LeftOut | None) -> ErrorRange | None:
    """Return how errors go together, by profiles that were left out with their blocks."""
    if left is None:
        return None
    try:
        found = fit_structures(left.lon, left.lat, left.residual)
    except InputError:
        return None
    source = f"by residuals of {len(left.lon):,} profiles left out with their blocks"
    return replace(found, source=source)


def _checks(left: LeftOut | None, cube: Cube, grid: Grid, settings: BetaSettings) -> dict[str, Any]:
    """Return what profiles left out say of stocks, and of beta by ecosystem."""
    if left is None or not len(left.lon):
        return {}
    ecosystems = settings.ecosystems
    classes = cube.at(left.lon, left.lat, grid, [ecosystems.variable])[ecosystems.variable]
    scores = beta_scores(left, ecosystems.codes(classes), ecosystems.names, settings.form)
    return {"left_out": stock_ratio(left), "beta_left_out": scores}


def _scenario(
    totals: Sequence[EcosystemTotal], draws: Floats, table: BetaTable
) -> dict[str, Any] | None:
    """Return totals with the stated coarse fragments, whose own error goes into the interval."""
    stated = table.fragments
    if stated is None:
        return None
    rows = [{"total_pg": one.total_pg * (1 - stated.mean)} for one in totals]
    if len(draws):
        rng = np.random.default_rng(0)
        share = np.clip(rng.normal(stated.mean, stated.sd, len(draws)), 0, 0.95)
        low, high = np.quantile(draws * (1 - share[:, None]), (0.05, 0.95), axis=0)
        for row, a, b in zip(rows, low.tolist(), high.tolist(), strict=True):
            row |= {"low_pg": a, "high_pg": b}
    return {**stated.model_dump(), "totals": rows}
