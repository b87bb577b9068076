"""The fitted model of a run: learned from all samples, saved in the run folder."""

from __future__ import annotations

import shutil
from dataclasses import replace

from distributed import Client

from edaphos.engine.conv.fitting import trainings_folder
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.engine.samples import Samples
from edaphos.engine.whole_folder import is_whole, whole_folder

from .job import Job


def fit(
    job: Job,
    run: Run,
    samples: Samples | None,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> None:
    """Fit the model on all samples, if it learns from any, and save it, unless it is there.

    A model that has a `client` trains on it, and shows how far it is. What its trainings left is
    let go with the last of them.
    """
    if is_whole(run.model_folder):
        return
    spec = job.model
    if spec.kind in (
        "beta",
        "boosting",
        "forest",
        "forest_by_depth",
        "stock_forest",
        "rothc",
        "poml",
    ):
        spec = replace(spec, settings={**spec.settings, "threads": job.cluster.processes})
    model = spec.build()
    if hasattr(model, "client"):
        model.client, model.reporter = client, reporter
    if samples is not None:
        model = model.fit(samples)
    for words in getattr(model, "notes", ()):
        reporter.say(words)
    with whole_folder(run.model_folder) as partial:
        model.save(partial)
    if samples is not None and samples.patches is not None:
        shutil.rmtree(trainings_folder(samples.patches), ignore_errors=True)
