"""The demo in time: a virtual region, surveyed twice, mapped every year, judged in every cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edaphos.engine.cluster import connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.map_view import open_map
from edaphos.engine.models.poml import ARMS
from edaphos.engine.models.poml_settings import PomlSettings
from edaphos.engine.place import Place
from edaphos.engine.products.changing_truth import save_errors
from edaphos.engine.profiles.profiles import COLUMNS
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run

from .changing_truth import (
    DRIFT,
    HIDDEN,
    MEASURED,
    PLACE,
    RESPONSE,
    Survey,
    judge,
    survey_table,
    true_map,
)
from .changing_world import WARMING, ChangingWorld
from .finish import finish
from .job import Job, Overrides, load_job
from .pipeline import open_cube, run_stages
from .stages import Stages
from .templates import builtin_path

SURVEY = Survey()


def run_changing_demo(
    out: Path,
    degrees: float = 0.1,
    workers: int | None = None,
    reporter: Reporter = QUIET,
    recipe: Path | None = None,
) -> Place:
    """Make the region, survey it, map its years, judge the maps; return the report's path.

    Parameters
    ----------
    out
        Folder for files, cube, survey and run; a demo cut off there is continued.
    degrees
        Cell size of the map.
    workers
        Local worker processes; one a core by default.
    recipe
        Another recipe than the built-in one.
    """
    source = recipe or builtin_path("poml_demo")
    out.mkdir(parents=True, exist_ok=True)
    own = out / "recipe.toml"
    text = source.read_text()
    own.write_text(text.replace("resolution = 0.1", f"resolution = {degrees:g}"))
    job = load_job(own, Overrides(workers=workers, data=out, cube=out / "cube.zarr"))
    told = settings_of(job)
    world = ChangingWorld(told.span, job.recipe.seed)
    reporter.say(f"{job.recipe.banner}. Everything goes to {out}/")
    with connect(job.cluster, reporter) as client:
        stages = Stages(reporter)
        with stages.stage("cube", "Cube"):
            world.write(out)
            cube = open_cube(job, client, reporter)
        with stages.stage("survey", "Virtual survey"):
            _survey(world, told, cube, job, out)
        run = run_stages(job, out / "run", client, reporter, stages)
        with stages.stage("truth", "Judging against the truth"):
            _judge(world, told, cube, job, run)
    report = finish(run, reporter)
    assert report is not None  # the built-in recipe asks for one
    return report


def settings_of(job: Job) -> PomlSettings:
    """Return what the recipe tells its model."""
    told: PomlSettings = job.model.build().told
    return told


def _survey(world: ChangingWorld, told: PomlSettings, cube: Cube, job: Job, out: Path) -> None:
    """Dig the profiles, unless an earlier call did."""
    path = out / "profiles.csv"
    if not path.exists():
        table = survey_table(world, told, cube, job.grid, SURVEY, job.recipe.seed)
        table[[c for c in COLUMNS if c in table]].to_csv(path.with_suffix(".partial"), index=False)
        path.with_suffix(".partial").rename(path)


def _judge(world: ChangingWorld, told: PomlSettings, cube: Cube, job: Job, run: Run) -> None:
    """Compare the maps with the truth, unless an earlier call did."""
    truth = true_map(world, told, cube, job.grid)
    positions = np.array(run.years) - told.span[0]
    mapped = open_map(run.path)
    labels = {name: label for name, label in ARMS.items() if name in mapped}
    save_errors(run.path, judge(mapped, truth[positions], labels), ABOUT)


ABOUT = f"""\
The region is virtual, so the maps can be compared with the truth in every cell and year: without \
the noise of single places, in the middle of each cell.

It is made of relief, clay, the weather of each year (warming by {10 * WARMING:g} °C a decade, \
good and bad years) and fertiliser that grows everywhere at a pace of its own.

Stocks follow RothC, but with rates that follow the microbial biomass by a parameter of their own; \
the carbon input follows only {100 * RESPONSE:g} % of fertiliser's change, and a drift that no \
covariate shows ({100 * DRIFT:g} % a year, standard deviation). The stock of 1980 has a hidden \
field ({100 * HIDDEN:g} %), places differ by {100 * PLACE:g} %, measurements by \
{100 * MEASURED:g} %.

{SURVEY.revisited} sites were sampled in {SURVEY.dates[0]} and {SURVEY.dates[1]}, \
{SURVEY.once} in each of the years alone. Drivers are right in sign here: where they are wrong, \
process and hybrid are, too."""
