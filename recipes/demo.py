"""The demo: a virtual soil on the real Earth, mapped from samples and judged against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edaphos.engine.cluster import connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import GLOBAL_DEGREES
from edaphos.engine.map_view import open_map
from edaphos.engine.place import Place
from edaphos.engine.products.report import Truth
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run

from .finish import KOEPPEN_LEGENDS, finish
from .job import Job, Overrides, load_job
from .pipeline import open_cube, run_stages
from .stages import Stages
from .templates import builtin_path
from .truth_files import TRUTH, load_truth, save_truth
from .virtual import (
    JudgeSettings,
    VirtualSoil,
    describe,
    judge,
    sample_profiles,
    shares_on_earth,
    write_profiles,
)

#: Profiles dug; a few thousand, as a large country has.
PROFILES = 4000


def run_demo(
    out: Path, degrees: float = 0.25, workers: int | None = None, reporter: Reporter = QUIET
) -> Place:
    """Build the world, survey it, map it, judge the map everywhere; return the report's path.

    Parameters
    ----------
    out
        Folder for the cube, the survey and the run; a demo cut off there is continued.
    degrees
        Cell size: 0.1, 0.25, 0.5 or 1.
    workers
        Local worker processes; one a core by default.
    """
    presets = {size: name for name, size in GLOBAL_DEGREES.items() if size >= 0.1}
    if degrees not in presets:
        sizes = ", ".join(f"{size:g}" for size in sorted(presets))
        raise InputError(f"--degrees {degrees:g}: expected one of {sizes}")
    overrides = Overrides(
        workers=workers, data=out, cube=out / "cube.zarr", preset=presets[degrees]
    )
    job = load_job(builtin_path("demo"), overrides)
    soil = VirtualSoil(job.recipe.seed)
    reporter.say(f"{job.recipe.banner}. Everything goes to {out}/")
    with connect(job.cluster, reporter) as client:
        stages = Stages(reporter)
        with stages.stage("cube", "Cube"):
            cube = open_cube(job, client, reporter)
        with stages.stage("survey", "Virtual survey"):
            _survey(soil, cube, job, out)
        run = run_stages(job, out / "run", client, reporter, stages)
        with stages.stage("truth", "Judging against the truth"):
            truth = _judge(soil, cube, job, run, client, reporter)
    report = finish(run, reporter, truth)
    assert report is not None  # the built-in recipe asks for one
    return report


def _survey(soil: VirtualSoil, cube: Cube, job: Job, out: Path) -> None:
    """Dig the profiles, unless an earlier call did."""
    path = out / "profiles.csv"
    if not path.exists():
        table = sample_profiles(soil, cube, job.grid, PROFILES, job.recipe.seed)
        write_profiles(table, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)


def _judge(
    soil: VirtualSoil, cube: Cube, job: Job, run: Run, client: Any, reporter: Reporter
) -> Truth:
    """Compare the map with the truth everywhere, or read what an earlier call found."""
    folder = Path(str(run.path)) / TRUTH
    if not (folder / "note.txt").exists():
        table = job.recipe.map
        settings = JudgeSettings(depths=table.depths, seed=job.recipe.seed, block=_block(job))
        legend = KOEPPEN_LEGENDS[job.recipe.assess.koeppen_legend]
        score = judge(
            soil,
            cube,
            job.grid,
            open_map(run.path),
            settings,
            legend,
            client=client,
            reporter=reporter,
        )
        note = describe(soil, shares_on_earth(soil, cube, job.grid, job.recipe.seed))
        save_truth(folder, score, note)
    return load_truth(folder)


def _block(job: Job) -> int:
    """Cells of a block of the truth's pictures: about a degree."""
    return max(1, round(1.0 / job.grid.resolution[0]))
