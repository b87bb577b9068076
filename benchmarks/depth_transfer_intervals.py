"""Which source of intervals serves nets over depth best: residuals, quantiles, ensembles, dropout.

One pooled net on a part of the open profiles that ``depth_transfer`` learns from, whole blocks of
5 degrees held out, all sources calibrated in the same way; a forest's own quantiles beside.
``--write`` puts the table into ``DEPTH_TRANSFER_INTERVALS.md``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.progress import Reporter
from edaphos.kernels.interval_scores import interval_score

from .depth_transfer import read_plan
from .depth_transfer_data import Drawn, load_samples, prepare
from .depth_transfer_run import split_of
from .open_data import has_open_data
from .processes import one_thread
from .result import Result, machine

TABLE = Path(__file__).with_name("DEPTH_TRANSFER_INTERVALS.md")
LOW, HIGH = 0.05, 0.95
LOCATIONS, SPLITS, EPOCHS, PATIENCE = 2500, (1,), 12, 4
DRAWS = 2000
FOREST = "forest, its own quantiles"
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "residuals by depth": {"interval": "residual"},
    "quantile outputs": {"interval": "quantile"},
    "ensemble of 3": {"interval": "ensemble", "members": 3},
    "20 draws of dropout": {"interval": "dropout"},
}
#: What is told of each row: inside, width and interval score in g/kg, that of log(1 + value).
TOLD = ("PICP", "width", "score", "score of log")


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield the interval score of each source, beside that of residuals."""
    if not has_open_data("depth_transfer_intervals"):
        return
    prepare(Reporter())
    drawn, plan = load_samples(400 if small else LOCATIONS), read_plan(small=False)
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*SOURCES, FOREST)}
    blocks = []
    for seed in SPLITS[:1] if small else SPLITS:
        split = split_of(drawn.samples, plan, seed)
        held_out = split.held_out(0)
        blocks.append(split.blocks[held_out])
        for name in rows:
            rows[name].append(_judged(name, drawn, plan, held_out, seed, small))
    joined = {name: np.concatenate(found) for name, found in rows.items()}
    counts, block = _drawn(np.concatenate(blocks))
    found = {name: _with_intervals(told, block, counts) for name, told in joined.items()}
    if write and not small:
        TABLE.write_text(_table(found, len(block)), encoding="utf-8")
    peer = found["residuals by depth"]["score of log"][0]
    for name, scores in found.items():
        value = scores["score of log"][0]
        yield Result(
            name=name,
            value=round(value, 3),
            unit="interval score of log(1 + g/kg), 90 %",
            peer="residuals by depth",
            ratio=round(value / peer, 3),
            details={key: [round(v, 3) for v in values] for key, values in scores.items()},
        )


def _judged(
    name: str,
    drawn: Drawn,
    plan: Mapping[str, Any],
    held_out: NDArray[np.bool_],
    seed: int,
    small: bool,
) -> NDArray[np.float64]:
    """Train one model; return what is told of each row held out, ``(n, 4)``."""
    started, samples = time.monotonic(), drawn.samples
    told = {"covariates": drawn.covariates}
    same = {"depths": drawn.depths, "seed": seed, "quantiles": (LOW, HIGH)}
    if name == FOREST:
        spec = ModelSpec("forest", {**told, **plan["common"]["forest"], **same})
    else:
        training = {"epochs": 2 if small else EPOCHS, "patience": PATIENCE}
        net = {**told, **plan["common"]["conv"], "training": training, "scheme": "pooled"}
        spec = ModelSpec("conv", {"settings": {**net, **SOURCES[name]}, **same})
    with one_thread():
        said = fit_and_predict(spec, samples, held_out)
    y = samples.y[held_out]
    low, high = said["soc_q05"], said["soc_q95"]
    level = HIGH - LOW
    logs = (np.log1p(np.maximum(v, 0)) for v in (y, low, high))
    columns = (
        (y >= low) & (y <= high),
        high - low,
        interval_score(y, low, high, level),
        interval_score(*logs, level),
    )
    sys.stderr.write(f"{name}, split {seed}: {time.monotonic() - started:.0f} s\n")
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _drawn(block: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how often each draw has each block, and the position of each row's block."""
    names, position = np.unique(block, return_inverse=True)
    drawn = np.random.default_rng(0).integers(0, len(names), (DRAWS, len(names)))
    counts = np.stack([np.bincount(d, minlength=len(names)) for d in drawn]).astype(np.float64)
    return counts, position


def _with_intervals(
    told: NDArray[np.float64], block: NDArray[np.int64], counts: NDArray[np.float64]
) -> dict[str, tuple[float, float, float]]:
    """Return each figure with the bounds of 95 % of draws of whole blocks."""
    n = counts @ np.bincount(block)
    found = {}
    for k, name in enumerate(TOLD):
        means = (counts @ np.bincount(block, told[:, k])) / n
        low, high = np.percentile(means, [2.5, 97.5])
        found[name] = (float(told[:, k].mean()), float(low), float(high))
    return found


def _table(found: Mapping[str, Mapping[str, tuple[float, float, float]]], rows: int) -> str:
    lines = [
        "# Intervals of nets over depth: which source serves best?",
        "",
        f"Written by `python -m benchmarks depth_transfer_intervals --write`. {machine()}.",
        "",
        f"Intervals of 90 %; {LOCATIONS:,} places of the open profiles, one pooled net of at most",
        f"{EPOCHS} epochs, {len(SPLITS)} split(s) by blocks of 5°, {rows:,} rows held out.",
        "Those of nets are calibrated on blocks that taught no net; the forest's are its own.",
        "Brackets: 95 % of draws of whole blocks. Scores are interval scores, lower is better.",
        "",
        "| source | inside, % | mean width, g/kg | score, g/kg | score of log(1 + SOC) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, scores in found.items():
        inside = tuple(100 * v for v in scores["PICP"])
        cells = [_figure(inside, 1), *(_figure(scores[key], 1) for key in ("width", "score"))]
        lines.append(f"| {name} | {' | '.join(cells)} | {_figure(scores['score of log'], 2)} |")
    return "\n".join(lines) + "\n"


def _figure(values: tuple[float, ...], digits: int) -> str:
    value, low, high = (f"{v:.{digits}f}" for v in values)
    return f"{value} [{low}, {high}]"
