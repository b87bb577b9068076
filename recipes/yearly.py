"""What a map of several years asks of profiles: dates, and years that are not just sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edaphos.engine.assess.yearly import yearly_check
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models.protocol import learns_from
from edaphos.engine.profiles.profiles import Profiles
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.engine.samples import Samples

from .job import Job, covariates_of

#: Where a run's provenance keeps the check.
NOTE = "years_within_sources"


def yearly_covariates(job: Job, cube: Cube) -> tuple[str, ...]:
    """Return what the model learns from that changes from year to year, if it maps several."""
    model = job.model.build()
    if len(job.recipe.years) < 2 or job.recipe.profiles is None:
        return ()
    names = learns_from(model)
    return tuple(name for name in names if cube.variable(name).time == "yearly")


def dated(job: Job, cube: Cube, profiles: Profiles) -> Profiles:
    """Return the layers that may train the model.

    Undated ones are left out of what maps several years from yearly covariates: the mean over years
    would teach it that years do not matter.
    """
    if not yearly_covariates(job, cube):
        return profiles
    known = np.isfinite(profiles.table["year"].to_numpy(float))
    if not known.any():
        raise InputError(
            f"none of the {len(known):,} soil layers has a year, and {len(job.recipe.years)} years "
            "are to be mapped from yearly covariates: give map.year instead of map.years, or "
            "profiles with a year (profiles.files.columns names the file's column)"
        )
    return replace(profiles, table=profiles.table[known])


def check_years(
    job: Job, cube: Cube, samples: Samples, run: Run, reporter: Reporter = QUIET
) -> None:
    """Check that years can be told apart within sources, before a map of several years is made.

    The outcome is noted in the run; a run that goes on does not check again.

    Raises
    ------
    InputError
        They cannot, and the recipe does not ask for a warning alone.
    """
    changing = yearly_covariates(job, cube)
    if not changing:
        return
    noted = run.manifest()["provenance"].get(NOTE)
    if noted is None:
        static = [name for name in samples.features if name not in changing]
        found = yearly_check(
            samples,
            static,
            block_deg=job.recipe.assess.block_deg,
            folds=job.recipe.assess.folds,
            seed=job.recipe.seed,
        )
        noted = found.to_json()
        run.note(**{NOTE: noted})
    reporter.say(noted["text"])
    if noted["verdict"] == "no" and job.recipe.assess.years_within_sources == "refuse":
        raise InputError(
            f"{noted['text']} A map of several years would show sources, not time. Map one year, "
            "leave out the yearly covariates, add profiles, or set "
            'assess.years_within_sources = "warn" to map it all the same'
        )


def say_years(job: Job, cube: Cube, reporter: Reporter) -> None:
    """Tell of yearly covariates that lack a year of the map, whose nearest year is taken."""
    wanted = job.model.build().reads.years_for(job.recipe.years)
    for name in covariates_of(job):
        held = cube.variable(name).years
        lacking = [year for year in wanted if held and year not in held]
        if lacking:
            nearest = sorted({min(held, key=lambda one: abs(one - year)) for year in lacking})
            reporter.say(f'"{name}" lacks {spans(lacking)}; the map takes its {spans(nearest)}')


def spans(years: Sequence[int]) -> str:
    """Return ascending years in words, those in a row as a span.

    >>> spans([1990, 2001, 2002, 2003])
    '1990, 2001-2003'
    """
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else str(run[0]) for run in runs)
