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
        places=map_places(job, cube, spec),
    )
    with whole_folder(folder) as partial:
        found.save(partial)
    return found


def map_places(job: Job, cube: Cube, spec: AssessSpec) -> NDArray[np.float64] | None:
    """Return places of the map if a split needs them: of a model of one biome alone, in that."""
    if KNNDM not in spec.splits:
        return None
    biome = getattr(job.model.build(), "biome", None)
    return draw_places(cube, job.grid, job.recipe.seed, classes=biome)
