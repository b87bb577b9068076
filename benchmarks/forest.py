"""Pixels a second through forests of 200 full-depth trees, beside scikit-learn and its kin.

Rasters of 12 bands go in, rasters of the mean, or of the mean and three quantiles, come out, all of
it timed; pixels are counted where they are valid, and every peer gets the valid ones only. All use
as many threads as there are cores. Runs are interleaved, and the shortest of each counts.

``from_leaves_weighing_alike``: how far the quantiles, in which every training row in a pixel's
leaves counts the same, lie from those of Meinshausen's weights, in which every leaf does.

``floor``: what the nodes weigh that a block of 8,192 pixels touches, 8 bytes each and each once,
and how many pixels a second that would allow at the speed at which memory is read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.models.forest_arrays import pack
from edaphos.kernels.forest import ForestArrays, predict_columns
from edaphos.kernels.forest_walk import packet_order

from .forest_rasters import Raster, make_raster
from .result import Result
from .soils import CORES, read_bandwidth

TREES, LEVELS = 200, (0.05, 0.5, 0.95)
SIDE, PART = 1024, 128
BLOCK_ROWS = 8192
#: Pixels whose quantiles are compared with those of leaves that weigh alike.
COMPARED_PIXELS = 4000

Layers = NDArray[np.floating[Any]]


def measure(*, small: bool) -> Iterator[Result]:
    """Yield, for rough and for coarse covariates, the rate over that of each peer."""
    side, part, trees, repeats = (512, 64, 50, 2) if small else (SIDE, PART, TREES, 5)
    bandwidth = read_bandwidth()
    for case in ("rough", "coarse"):
        raster = make_raster(case, side, part)
        yield from _means(case, raster, trees, repeats, bandwidth)
        yield from _quantiles(case, raster, trees, repeats)


def _means(
    case: str, raster: Raster, trees: int, repeats: int, bandwidth: float
) -> Iterator[Result]:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(trees, max_features="sqrt", n_jobs=CORES, random_state=0)
    model.fit(raster.rows, raster.target)
    forest = pack(model, raster.rows, raster.target)
    runs: dict[str, Callable[[], Layers]] = {
        "ours": lambda: _ours(forest, raster, ()),
        "one thread": lambda: _ours(forest, raster, (), threads=1),
        "scikit-learn, valid pixels only": lambda: _by_rows(model.predict, raster),
    }
    theirs = _sklearn_raster(model, raster)
    if theirs is not None:
        runs["sklearn-raster"] = theirs
    rates, found = _interleaved(runs, raster, repeats)
    expected = found["scikit-learn, valid pixels only"]
    details = {
        **_about(forest, raster, trees),
        **_floor(model, raster, rates["ours"], bandwidth),
        "one_thread": rates["one thread"],
        "largest_relative_difference": _difference(found["ours"], expected),
    }
    for peer in list(runs)[2:]:
        yield _result(f"forest mean, {case}", rates, peer, details)


def _quantiles(case: str, raster: Raster, trees: int, repeats: int) -> Iterator[Result]:
    try:
        from quantile_forest import RandomForestQuantileRegressor
    except ImportError:
        sys.stderr.write(
            'forest: no quantile-forest to compare with; pip install "edaphos[test]"\n'
        )
        return

    def fit(**settings: Any) -> Any:
        model = RandomForestQuantileRegressor(
            trees, max_features="sqrt", n_jobs=CORES, random_state=0, **settings
        )
        return model.fit(raster.rows, raster.target)

    whole, one = fit(max_samples_leaf=None), fit()
    forest = pack(whole, raster.rows, raster.target)
    peers = {
        "quantile-forest, the same distribution": whole,
        "quantile-forest, its default of one sample a leaf": one,
    }
    runs: dict[str, Callable[[], Layers]] = {
        "ours": lambda: _ours(forest, raster, LEVELS),
        "one thread": lambda: _ours(forest, raster, LEVELS, threads=1),
    }
    for name, model in peers.items():
        runs[name] = lambda m=model: _by_rows(
            lambda rows: m.predict(rows, quantiles=list(LEVELS)).T, raster
        )
    rates, found = _interleaved(runs, raster, max(repeats // 2, 1))
    expected = found["quantile-forest, the same distribution"]
    details = {
        **_about(forest, raster, trees),
        "one_thread": rates["one thread"],
        "levels": LEVELS,
        "peer_leaves_out": "the mean",
        "largest_relative_difference": _difference(found["ours"][1:], expected),
        "from_leaves_weighing_alike": {
            f"leaves of {leaf}": _from_leaves_alike(fit(max_samples_leaf=None, **own), raster)
            for leaf, own in {1: {}, 5: {"min_samples_leaf": 5}}.items()
        },
    }
    for peer in peers:
        yield _result(f"forest mean and quantiles, {case}", rates, peer, details)


def _from_leaves_alike(model: Any, raster: Raster) -> list[float]:
    """Return how far quantiles lie from those of leaves that weigh alike, at each level.

    In Meinshausen's (2006) weights every leaf of a row counts the same however many training rows
    it holds; here every training row in them does. Mean absolute differences, over the mean width
    of the reference's interval.
    """
    rows = raster.bands[:, raster.valid].T[:COMPARED_PIXELS]
    forest = pack(model, raster.rows, raster.target)
    own = predict_columns(forest, np.ascontiguousarray(rows.T), np.array(LEVELS)).quantiles
    alike = model.predict(rows, quantiles=list(LEVELS), weighted_leaves=True)
    gap = np.abs(own - alike).mean(axis=0) / (alike[:, -1] - alike[:, 0]).mean()
    return [round(float(one), 4) for one in gap]


def _ours(
    forest: ForestArrays, raster: Raster, levels: tuple[float, ...], threads: int = CORES
) -> Layers:
    """Return the mean and quantiles of each cell, ``(1 + levels, y, x)``."""
    cells = packet_order(raster.valid)
    columns = np.ascontiguousarray(raster.bands.reshape(len(raster.bands), -1)[:, cells])
    found = predict_columns(forest, columns, np.array(levels), threads=threads)
    layers = np.full((1 + len(levels), raster.valid.size), np.nan)
    layers[0, cells] = found.mean
    layers[1:, cells] = found.quantiles.T
    return layers.reshape(-1, *raster.valid.shape)


def _by_rows(predict: Callable[[NDArray[np.float32]], Layers], raster: Raster) -> Layers:
    """Return what a regressor says of valid cells, in rows."""
    valid = raster.valid
    found = np.atleast_2d(predict(raster.bands[:, valid].T))
    layers = np.full((len(found), *valid.shape), np.nan)
    layers[:, valid] = found
    return layers


def _sklearn_raster(model: Any, raster: Raster) -> Callable[[], Layers] | None:
    """Return how sklearn-raster predicts the same forest: lazily, a chunk for each thread."""
    try:
        import dask
        import xarray as xr
        from sklearn.base import clone
        from sklearn_raster import FeatureArrayEstimator
    except ImportError:
        sys.stderr.write(
            'forest: no sklearn-raster to compare with; pip install "edaphos[bench]"\n'
        )
        return None
    wrapped = FeatureArrayEstimator(clone(model)).fit(raster.rows, raster.target)
    wrapped.wrapped_estimator.n_jobs = 1  # it takes its threads from Dask
    height = raster.bands.shape[1]
    lazy = xr.DataArray(raster.bands, dims=("band", "y", "x")).chunk(y=-(-height // CORES))

    def run() -> Layers:
        with dask.config.set(scheduler="threads", num_workers=CORES):
            return np.asarray(wrapped.predict(lazy).compute())

    return run


def _interleaved(
    runs: Mapping[str, Callable[[], Layers]], raster: Raster, repeats: int
) -> tuple[dict[str, float], dict[str, Layers]]:
    """Return valid pixels a second of the fastest of some runs of each, and what they found."""
    found = {name: run() for name, run in runs.items()}
    seconds = dict.fromkeys(runs, np.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    pixels = int(raster.valid.sum())
    return {name: round(pixels / s) for name, s in seconds.items()}, found


def _result(name: str, rates: Mapping[str, float], peer: str, details: dict[str, Any]) -> Result:
    return Result(
        name=name,
        value=rates["ours"],
        unit="valid pixels/s",
        peer=peer,
        ratio=round(rates["ours"] / rates[peer], 1),
        details={"threads": CORES, "peer_pixels_s": rates[peer], **details},
    )


def _about(forest: ForestArrays, raster: Raster, trees: int) -> dict[str, Any]:
    return {
        "trees": trees,
        "nodes": len(forest.feature),
        "depth": forest.nodes.depth,
        "bands": len(raster.bands),
        "valid_pixels": int(raster.valid.sum()),
        "pixels": raster.valid.size,
        "scatter_of_ranks_in_8x8": [round(scatter, 2) for scatter in raster.scatter],
    }


def _floor(model: Any, raster: Raster, rate: float, bandwidth: float) -> dict[str, Any]:
    """Count the nodes that a block of neighbours touches, by scikit-learn's own paths."""
    cells = packet_order(raster.valid)
    block = cells[len(cells) // 2 :][:BLOCK_ROWS]
    rows = np.ascontiguousarray(raster.bands.reshape(len(raster.bands), -1)[:, block].T)
    paths = [tree.decision_path(rows) for tree in model.estimators_]
    touched = sum(len(np.unique(path.indices)) for path in paths) / len(rows)
    floor = bandwidth / (8 * touched)
    return {
        "nodes_on_paths_a_pixel": round(sum(path.nnz for path in paths) / len(rows)),
        "nodes_touched_a_pixel": round(touched, 1),
        "floor_pixels_s": round(floor),
        "share_of_floor": round(rate / floor, 4),
    }


def _difference(ours: Layers, theirs: Layers) -> float:
    gap = np.abs(ours - theirs.reshape(ours.shape)) / np.abs(ours)
    return float(np.nanmax(gap))
