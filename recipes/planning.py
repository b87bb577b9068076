"""What a recipe will take, worked out before it runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edaphos.engine.place import Place
from edaphos.engine.plan import Plan, plan
from edaphos.engine.progress import QUIET, Reporter

from .job import Job, sketched_model
from .patches import PATCHES, cut_patches
from .pipeline import check_contents, check_learning, draw, load, open_cube


def plan_job(
    job: Job,
    reporter: Reporter = QUIET,
    *,
    out: Place | None = None,
    store_mb_s: float | None = None,
) -> Plan:
    """Work out what a recipe will take, timing tiles with a model fitted for the purpose.

    Tiles are written beside `out` and removed; `store_mb_s` is what the store gives all workers.
    """
    check_learning(job)
    cube = open_cube(job, None, reporter)
    check_contents(job, cube)
    model, rows = sketched_model(job.recipe).build(), 0
    if job.recipe.profiles is not None:
        samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube, reporter))
        with tempfile.TemporaryDirectory(prefix="edaphos-plan-") as folder:
            samples = cut_patches(job, cube, samples, Path(folder) / PATCHES, reporter)
            model = model.fit(samples)
        rows = len(samples) if job.recipe.assess.enabled else 0
    return plan(
        cube,
        job.grid,
        model,
        job.recipe.years,
        job.cluster,
        rows,
        kind=job.model.kind,
        out=out,
        cogs=job.recipe.products.cog,
        store_mb_s=store_mb_s,
        reporter=reporter,
    )
