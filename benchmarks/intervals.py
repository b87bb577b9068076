"""Coverage of 90 % intervals of real profiles in blocks not learned from, by depth.

The world recipe's rows are left out by blocks of 5 degrees. Three kinds of interval stand side by
side, all of the same forest: its own quantiles, the same moved by conformal margins that inner
folds of whole blocks taught (blocks weigh alike), and by margins of inner folds of random rows, as
is often done. Rows are those inside the area of applicability of each fold's training rows, whose
threshold they do not touch; those outside stand in ``outside``. A depth passes where 0.9 lies in
the 95 % interval over blocks of its coverage, the estimate within 0.87 to 0.93, and the interval
score is below that of the forest's own. Coverage with blocks weighing alike (``by_block``) is that
of the sampled area, blocks being about as large. It needs the open data beside the repository, and
is left out, saying so, without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edaphos.engine.applicability import ApplicabilitySpec
from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.scoring import SCORED_LEVELS
from edaphos.engine.assess.splits import make_split
from edaphos.engine.assess.strata import (
    ABOVE,
    BELOW,
    DEPTH_LABELS,
    INSIDE,
    OUTSIDE,
    KoeppenSource,
    depth_groups,
)
from edaphos.engine.conformal import Conformal
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import DISSIMILARITY, ModelSpec, register
from edaphos.engine.progress import QUIET
from edaphos.engine.samples import Samples
from edaphos.kernels.conformal import block_weights, margins
from edaphos.recipes.finish import KOEPPEN_LEGENDS
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import draw, load, open_cube
from edaphos.recipes.templates import builtin_path

from .open_data import DATA, has_open_data
from .result import Result

BAND = (0.87, 0.93)
FOLDS = 5


@register
class RandomlyCalibrated(ForestModel):
    """A forest whose margins come from random rows left out, each of them a unit."""

    kind: ClassVar[str] = "benchmark-randomly-calibrated"

    def _calibrated(self, samples: Samples) -> tuple[Conformal, ...]:
        spec = ModelSpec(ForestModel.kind, {**asdict(self), "intervals": "forest"})
        split = make_split(samples, "random", folds=FOLDS, seed=self.seed)
        low, high = np.empty(len(samples)), np.empty(len(samples))
        for fold in range(FOLDS):
            out = split.held_out(fold)
            found = fit_and_predict(spec, samples, out)
            low[out], high[out] = found["soc_q05"], found["soc_q95"]
        depth = depth_groups(samples.top, samples.bottom)
        learned, _ = margins(samples.y, low, high, depth, len(DEPTH_LABELS), offset=1.0)
        rows = tuple(np.bincount(depth, minlength=len(DEPTH_LABELS)).tolist())
        return (Conformal(0.9, tuple(learned.tolist()), rows, 1.0, 0.0),)


def measure(*, small: bool) -> Iterator[Result]:
    """Yield coverage of conformal intervals at each depth, and their score over the forest's."""
    if not has_open_data("intervals"):
        return
    with tempfile.TemporaryDirectory() as scratch:
        overrides = Overrides(data=DATA, cube=Path(scratch) / "world.zarr")
        job = load_job(builtin_path("world"), overrides)
        cube = open_cube(job, None, QUIET)
        assert job.recipe.profiles is not None  # the built-in recipe has some
        samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube))
    trees = 5 if small else 40
    settings: dict[str, Any] = {
        "covariates": job.recipe.model.covariates,
        "trees": trees,
        "max_features": 0.33,
        "quantiles": SCORED_LEVELS,
        "threads": 2,
    }
    conformal = {**settings, "intervals": "conformal"}
    found = assess(
        samples,
        ModelSpec("forest", conformal, ApplicabilitySpec(seed=job.recipe.seed)),
        AssessSpec(
            folds=FOLDS,
            splits=("block",),
            bootstrap=200 if small else 1000,
            seed=job.recipe.seed,
            koeppen=KoeppenSource(names=KOEPPEN_LEGENDS[job.recipe.assess.koeppen_legend]),
        ),
        compare={
            "forest": ModelSpec("forest", settings),
            "random": ModelSpec(RandomlyCalibrated.kind, {**conformal, "quantiles": (0.05, 0.95)}),
        },
    )
    scores = {m: found.metrics[found.metrics["model"] == m] for m in ("full", "forest", "random")}
    gain = found.compared.query("against == 'forest' and metric == 'IS'")
    depths = [d for d in DEPTH_LABELS if d not in (ABOVE, BELOW)]
    for by, group in [
        ("applicability", INSIDE),
        *(("applicability_depth", f"{INSIDE}, {d}") for d in depths),
    ]:
        name = "all" if group == INSIDE else group.removeprefix(f"{INSIDE}, ")
        line = {
            m: t[(t["by"] == by) & (t["group"] == group)].iloc[0].to_dict()
            for m, t in scores.items()
        }
        own, plain = line["full"], line["forest"]
        difference = gain[(gain["by"] == by) & (gain["group"] == group)].iloc[0]
        inside = own["PICP_low"] <= 0.9 <= own["PICP_high"]
        details = {
            "n": int(own["n"]),
            "blocks": int(own["blocks"]),
            "coverage": [_rounded(own[c]) for c in ("PICP", "PICP_low", "PICP_high")],
            "coverage_forest": [_rounded(plain[c]) for c in ("PICP", "PICP_low", "PICP_high")],
            "coverage_random": [
                _rounded(line["random"][c]) for c in ("PICP", "PICP_low", "PICP_high")
            ],
            "width": [_rounded(line[m]["MPIW"]) for m in scores],
            "score": [_rounded(line[m]["IS"]) for m in scores],
            "score_less_forest": [_rounded(difference[c]) for c in ("difference", "low", "high")],
            "crps": [_rounded(line[m]["CRPS"]) for m in ("full", "forest")],
            "curve": _curve(found, by, group),
            "by_block": [_rounded(_by_block(found, m, name)) for m in scores],
            "outside": _outside(found, by, group),
            "passes": bool(
                inside and BAND[0] <= own["PICP"] <= BAND[1] and own["IS"] < plain["IS"]
            ),
            "trees": trees,
        }
        ratio = own["IS"] / plain["IS"]
        yield Result(
            f"intervals-{name.replace(' ', '')}", _rounded(own["PICP"]), "coverage of 90 %",
            "interval score of the forest", _rounded(ratio), details,
        )  # fmt: skip


def _by_block(found: Assessment, model: str, name: str) -> float:
    """Return coverage inside the area of applicability with blocks weighing alike."""
    rows = found.out_of_fold("block", model)
    rows = rows[(found.out_of_fold("block")[DISSIMILARITY] <= 1).to_numpy()]
    rows = rows if name == "all" else rows[rows["depth"] == name]
    inside = (rows["lower"] <= rows["obs"]) & (rows["obs"] <= rows["upper"])
    return float(np.average(inside, weights=block_weights(rows["block"].to_numpy())))


def _curve(found: Assessment, by: str, group: str) -> dict[str, list[float]]:
    """Return by nominal coverage the share inside, conformal and of the forest."""
    rows = found.intervals
    rows = rows[(rows["by"] == by) & (rows["group"] == group) & (rows["split"] == "block")]
    by_model = [rows[rows["model"] == m].set_index("nominal")["PICP"] for m in ("full", "forest")]
    return {f"{q:g}": [_rounded(one[q]) for one in by_model] for q in by_model[0].index}


def _outside(found: Assessment, by: str, group: str) -> dict[str, float | None]:
    """Return rows, and coverage conformal and of the forest, outside the area of applicability."""
    other = group.replace(INSIDE, OUTSIDE)
    told: dict[str, float | None] = {}
    for model, name in (("full", "coverage"), ("forest", "coverage_forest")):
        rows = found.table("block", by, model)
        rows = rows[rows["group"] == other]
        told["n"] = int(rows["n"].sum())
        told[name] = _rounded(rows["PICP"].iloc[0]) if len(rows) else None
    return told


def _rounded(value: float) -> float:
    return round(float(value), 3)
