"""The stage of a run that makes its tiles: all that are missing, or those of a region."""

from __future__ import annotations

from dataclasses import asdict

from distributed import Client

from edaphos.engine.cube.cube import Cube
from edaphos.engine.gpu import require_gpu, tile_resources
from edaphos.engine.map_store import create_map
from edaphos.engine.observer import Observer
from edaphos.engine.produce import Production, produce
from edaphos.engine.progress import Reporter
from edaphos.engine.recovery import forget_tiles, tiles_within
from edaphos.engine.run import Run

from .job import Job
from .metadata import map_attributes

#: Where a run's provenance names the region that is being made anew.
ANEW = "region_made_anew"
#: West, south, east, north in the map's CRS.
Box = tuple[float, float, float, float]


def make_map(
    job: Job,
    run: Run,
    cube: Cube,
    client: Client,
    reporter: Reporter,
    observer: Observer,
    region: Box | None = None,
) -> Production:
    """Make the map's tiles, or those that touch a region, which are made anew."""
    model = run.load_model()
    require_gpu(client, model, job.cluster)
    create_map(run.path, job.grid, model.emits, run.years, map_attributes(job, cube, run))
    only = set(tiles_within(run, region)) if region else None
    anew = list(region) if region else None
    # what an earlier call of the same region made anew before it was cut off is not forgotten again
    if only is not None and run.manifest()["provenance"].get(ANEW) != anew:
        forget_tiles(run, only)
        run.note(**{ANEW: anew})
    resources = tile_resources(model, job.cluster)
    production = produce(run, client, reporter, observer, only=only, resources=resources)
    if run.manifest()["provenance"].get(ANEW) is not None:
        run.note(**{ANEW: None})
    return production


def note_production(run: Run, production: Production, client: Client) -> None:
    """Note how the mapping went, unless this call only found everything done."""
    if production.tiles:
        run.note(production={**asdict(production), "workers": len(client.nthreads())})
