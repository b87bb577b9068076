"""How the recipe's model is judged: cross-validation, kept in the run's folder."""

from __future__ import annotations

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from edaphos.engine.assess.assess import Assessment, AssessSpec, assess
from edaphos.engine.assess.prediction_places import draw_places
from edaphos.engine.assess.splits import KNNDM
from edaphos.engine.assess.strata import KoeppenSource
from edaphos.engine.cube.cube import Cube
from edaphos.engine.progress import Reporter
from edaphos.engine.run import Run
from edaphos.engine.samples import Samples
from edaphos.engine.whole_folder import is_whole, on_disk, whole_folder

from .finish import KOEPPEN_LEGENDS
from .job import Job, assessed_model, compared_models


def assess_spec(job: Job) -> AssessSpec:
    """Return how the recipe has models judged."""
    table = job.recipe.assess
    return AssessSpec(
        folds=table.folds,
        block_deg=table.block_deg,
        splits=job.recipe.splits,
        extra_block_deg=table.extra_block_deg,
        bootstrap=table.bootstrap,
        seed=job.recipe.seed,
        koeppen=KoeppenSource(names=KOEPPEN_LEGENDS[table.koeppen_legend]),
        explain=table.importance,
    )


def assessment(
    job: Job, run: Run, samples: Samples, cube: Cube, client: Client | None, reporter: Reporter
) -> Assessment:
    """Cross-validate, or read the result of an earlier call."""
    folder = run.path / "assessment"
    if is_whole(folder):
        return Assessment.load(on_disk(folder))
    spec = assess_spec(job)
    found = assess(
        samples,
        assessed_model(job.recipe),
        spec,
        compare=compared_models(job.recipe),
        client=client,
        reporter=reporter,
        places=_places(job, cube) if KNNDM in spec.splits else None,
    )
    with whole_folder(folder) as partial:
        found.save(partial)
    return found


def _places(job: Job, cube: Cube) -> NDArray[np.float64]:
    """Return places of the map: of a model that maps one biome alone, in that."""
    biome = getattr(job.model.build(), "biome", None)
    return draw_places(cube, job.grid, job.recipe.seed, classes=biome)
