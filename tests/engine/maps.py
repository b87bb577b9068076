"""A small map of made-up values, shaped as ``open_map`` gives it."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from edaphos.engine.grid import Grid
from edaphos.engine.status import MAPPED, Status, flag_attributes

DEPTHS = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200))
SOURCES = [
    {
        "name": "made-up climate",
        "licence": "CC BY 4.0",
        "citation": "Nobody (2024) Climate of nowhere",
        "resolution": "0.75 degree",
    },
    {
        "name": "made-up <relief>",
        "licence": "CC0-1.0",
        "citation": "",
        "resolution": "5 arc-minutes",
    },
]


def fake_map(
    grid: Grid | None = None,
    *,
    depths: tuple[tuple[float, float], ...] = DEPTHS,
    years: tuple[int, ...] = (2010,),
    banner: str = "VIRTUAL SOIL – not a real map",
    seed: int = 7,
    geotransform: bool = True,
) -> xr.Dataset:
    """Return a dataset like that of ``open_map``: blobs of land, carbon that falls with depth."""
    grid = grid or Grid.preset("global-1deg")
    status = fake_status(grid, seed)
    lon_like = np.linspace(0, 6 * np.pi, grid.shape[1])
    lat_like = np.linspace(-1, 1, grid.shape[0])[:, None]
    surface = 18 * np.exp(1.6 * np.abs(lat_like) + 0.5 * np.sin(lon_like))
    mapped = np.isin(status, list(MAPPED))
    thick = np.array([(a + b) / 2 for a, b in depths])
    centre = np.empty((len(depths), len(years), *grid.shape), np.float32)
    for d, depth in enumerate(thick):
        for t in range(len(years)):
            centre[d, t] = np.where(mapped, surface * np.exp(-depth / 45) + 1.2 + t, np.nan)
    dims = ("depth", "year", "y", "x")

    def quantized(values: np.ndarray) -> np.ndarray:
        return (
            np.rint(np.clip(values, 0, 655) * 100).astype(np.float32) * np.float32(0.01)
        ).astype(np.float32)

    def variable(values: np.ndarray, statistic: str, label: str) -> xr.Variable:
        attrs = {
            "units": "g kg-1",
            "long_name": f"soil organic carbon content, {label}",
            "statistic": statistic,
            "grid_mapping": "spatial_ref",
        }
        made = xr.Variable(dims, quantized(values), attrs)
        made.encoding = {"dtype": "uint16", "scale_factor": 0.01, "_FillValue": 65535}
        return made

    reference = {"crs_wkt": grid.geobox.crs.to_wkt()}
    if geotransform:
        reference["GeoTransform"] = " ".join(repr(v) for v in grid.geobox.affine.to_gdal())
    return xr.Dataset(
        {
            "soc_mean": variable(centre, "mean", "mean"),
            "soc_q05": variable(centre * 0.35, "Q0.05", "5 % quantile"),
            "soc_q95": variable(centre * 2.3, "Q0.95", "95 % quantile"),
            "status": (("y", "x"), status, flag_attributes()),
        },
        coords={
            "depth": ("depth", thick, {"units": "cm", "positive": "down"}),
            "depth_bounds": (("depth", "bounds"), np.array(depths, float)),
            "year": ("year", np.array(years)),
            "y": ("y", grid.whole.y),
            "x": ("x", grid.whole.x),
            "spatial_ref": ((), 0, reference),
        },
        attrs={
            "title": "Soil organic carbon of a made-up world",
            "banner": banner,
            "virtual": "yes" if banner else "no",
            "institution": "edaphos tests",
            "sources": json.dumps(SOURCES),
            "nominal_resolution": "1 degree",
            "covariate_resolution": "5 arc-minutes to 0.75 degree",
            "license": "CC-BY-4.0",
            "references": "doi:10.0000/none",
            "history": "made in a test",
            "complete": True,
            "edaphos_version": "0.1.0",
        },
    )


def fake_scenarios(
    grid: Grid | None = None,
    *,
    years: tuple[int, ...] = (1960, 2010, 2030),
    scenarios: tuple[str, ...] = ("bau", "plus10"),
    paddy: bool = True,
    seed: int = 7,
) -> xr.Dataset:
    """Return stocks of 0-30 cm as a process model maps them: one start, then by scenario.

    Under ``bau`` stocks fall by 0.5 % in ten years, under ``plus10`` they rise by as much; respired
    carbon is mapped for the first scenario, without interval.
    """
    ds = fake_map(grid, depths=((0, 30),), years=years, banner="", seed=seed)
    status = ds["status"].values
    if paddy:
        middle = slice(status.shape[1] // 3, status.shape[1] // 2)
        status[:, middle][status[:, middle] == Status.SOIL] = Status.PADDY
    start = ds["soc_mean"].values[:, :1] / 8
    decades = (np.array(years) - years[0])[None, :, None, None] / 10
    found = {}
    for name, rate in zip(scenarios, (-0.005, 0.005, 0.01, 0.02), strict=False):
        for statistic, suffix, share in (
            ("mean", "mean", 1),
            ("Q0.05", "q05", 0.8),
            ("Q0.95", "q95", 1.3),
        ):
            stock = np.rint(start * share * (1 + rate * decades) / 0.002) * 0.002
            found[f"stock_{name}_{suffix}"] = _stock(stock, "kg m-2", statistic)
    found[f"co2_{scenarios[0]}_mean"] = _stock(start / 20 + 0 * decades, "kg m-2 yr-1", "mean")
    made = ds.drop_vars(["soc_mean", "soc_q05", "soc_q95"]).assign(found)
    made.attrs |= {
        "title": "Stocks of a made-up world",
        "scenario": "Carbon input held, or raised by 10 % from 2010 on.",
        "method": "Stocks by a made-up process.",
        "support": "A value is the mean of a cell.",
    }
    return made


def fake_arms(
    grid: Grid | None = None,
    *,
    years: tuple[int, ...] = tuple(range(1990, 2001)),
    begun: int = 0,
    banner: str = "VIRTUAL SOIL – not a real map",
    seed: int = 7,
) -> xr.Dataset:
    """Return stocks of 0-20 cm by three models in each year, as a hybrid in space and time maps.

    The process alone begins at position `begun` of the years. The hybrid gains 2 % a year in the
    east and loses 1 % a year in the west; the change is distinguishable (p = 0.001) beyond 8 % of
    the start, and else not (p = 0.5).
    """
    ds = fake_map(grid, depths=((0, 20),), years=years, banner=banner, seed=seed)
    start = np.clip(ds["soc_mean"].values[:, :1] / 8, 0, 30)
    shape, passed = start.shape, (np.array(years) - years[0])[None, :, None, None]
    rng = np.random.default_rng(seed)
    start = start * np.exp(rng.normal(0, 0.08, shape))
    along = np.linspace(0, 1, shape[3])[None, None, None, :]
    process = np.where(passed >= begun, start * (1 + 0.012 * (passed - begun)), np.nan)
    rates = {"poml": 0.03 * along - 0.01, "ml": 0.004 * (1 - along)}
    means = {name: start * (1 + rate * passed) for name, rate in rates.items()} | {"po": process}
    found = {f"stock_{n}_mean": _stock(_packed(means[n]), "kg m-2", "mean") for n in sorted(means)}
    hybrid = _packed(means["poml"])
    change = hybrid - hybrid[:, :1]
    p = np.where(np.abs(change) > 0.08 * hybrid[:, :1], 0.001, 0.5)
    p = np.where(np.isfinite(change), p, np.nan)
    p[:, 0][np.isfinite(p[:, 0])] = 1.0
    found |= {
        "stock_poml_q05": _stock(_packed(0.7 * hybrid), "kg m-2", "Q0.05"),
        "stock_poml_q95": _stock(_packed(1.4 * hybrid), "kg m-2", "Q0.95"),
        "change_poml_mean": _plain(change, "kg m-2", "mean"),
        "change_poml_q05": _plain(change - 0.06 * hybrid[:, :1], "kg m-2", "Q0.05"),
        "change_poml_q95": _plain(change + 0.08 * hybrid[:, :1], "kg m-2", "Q0.95"),
        "change_poml_p": _plain(p, "1", "p"),
    }
    made = ds.drop_vars(["soc_mean", "soc_q05", "soc_q95"]).assign(found)
    made.attrs |= {
        "title": "Stocks of a made-up world by three models",
        "method": "By a made-up process, a made-up forest, and both joined.",
        "support": "A value is the mean of a cell.",
    }
    return made


def _packed(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 0.002) * 0.002


def _plain(values: np.ndarray, units: str, statistic: str) -> xr.Variable:
    made = _stock(values, units, statistic)
    made.encoding = {"dtype": "float32"}
    return made


def _stock(values: np.ndarray, units: str, statistic: str) -> xr.Variable:
    attrs = {"units": units, "long_name": f"stock, {statistic}", "statistic": statistic}
    made = xr.Variable(("depth", "year", "y", "x"), values.astype(np.float32), attrs)
    packed = {"dtype": "uint16", "scale_factor": 0.002, "_FillValue": 65535}
    made.encoding = packed if units == "kg m-2" else {"dtype": "float32"}
    return made


def fake_status(grid: Grid, seed: int = 7) -> np.ndarray:
    """Return status codes: wavy continents with ice, water, organic soil and rarer kinds."""
    rng = np.random.default_rng(seed)
    rows, cols = np.meshgrid(
        np.linspace(0, 1, grid.shape[0]), np.linspace(0, 1, grid.shape[1]), indexing="ij"
    )
    land = np.zeros(grid.shape)
    for _ in range(12):
        a, b, p, q = rng.uniform(1, 7, 2).tolist() + rng.uniform(0, 6.3, 2).tolist()
        land += np.sin(a * 2 * np.pi * cols + p) * np.cos(b * np.pi * rows + q)
    status = np.where(land > 0.4, Status.SOIL, Status.SEA).astype(np.uint8)
    status[(land > 0.4) & (rows < 0.08)] = Status.ICE
    status[(land > 3.4)] = Status.ORGANIC
    status[(land > 1.0) & (land < 1.03)] = Status.WATER
    status[(land > 2.0) & (land < 2.1)] = Status.OUTSIDE_APPLICABILITY
    status[(land > 2.6) & (land < 2.65)] = Status.BARE
    status[rows > 0.9] = Status.SEA
    return status


def homolosine_patch() -> Grid:
    """Return a small grid in the Homolosine projection, 25 km cells over Africa."""
    from edaphos.engine.grid import HOMOLOSINE

    return Grid.from_bounds(HOMOLOSINE, (-2_000_000, -3_000_000, 4_500_000, 3_000_000), 25_000.0)
