"""The study of whole profiles in a run: scores by depth, drivers, profiles of other surveys."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from edaphos.engine.assess.assess import Assessment, AssessSpec
from edaphos.engine.assess.independent import independent_rows, judge
from edaphos.engine.assess.parts import MIDPOINT_RULE
from edaphos.engine.assess.profile_study import FOLDER, ProfileStudy, by_parts, compare_measured
from edaphos.engine.assess.splits import location_blocks
from edaphos.engine.biome import in_biome
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError, did_you_mean
from edaphos.engine.measured import MEASURED, measured_values
from edaphos.engine.models.protocol import RowModel, learns_from, target_of
from edaphos.engine.profiles.layer_stocks import STOCK_TARGET, profiles_with_stocks
from edaphos.engine.profiles.profiles import load_profiles
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.engine.samples import SOC_TARGET, Samples
from edaphos.engine.sampling import draw_samples, land_test
from edaphos.engine.stocks.density import with_density_of
from edaphos.engine.whole_folder import is_whole, on_disk, whole_folder

from .assessing import map_places
from .job import Job, assessed_model, biome_of, profile_files, qa_rules, year_policy


def check_study(job: Job) -> None:
    """Refuse a study that cannot be made, before anything runs.

    Raises
    ------
    InputError
        There is nothing to judge by, or a validation file is not there.
    """
    recipe = job.recipe
    if recipe.whole_profile is not None and not recipe.assess.enabled:
        raise InputError(
            "whole_profile is made of cross-validation: set assess.enabled = true, or leave "
            "[whole_profile] out"
        )
    measured = recipe.whole_profile.measured if recipe.whole_profile else ()
    if measured and "covariates" not in job.model.settings:
        raise InputError(
            f'whole_profile.measured: model "{job.model.kind}" has no setting "covariates" to add '
            "properties to: leave it empty"
        )
    _check_drivers(job)
    if recipe.independent is None:
        return
    if not isinstance(job.model.build(), RowModel):
        raise InputError(
            f'model "{job.model.kind}" has no predict_rows(samples), which independent profiles '
            "are predicted by: leave [independent] out"
        )
    if getattr(job.model.build(), "site_span", None) is not None:
        raise InputError(
            f'model "{job.model.kind}" predicts sites in years, not layers: leave [independent] out'
        )
    for file in profile_files(recipe.independent, job.data):
        if not Path(file.path).exists():
            raise InputError(
                f"{file.path}: no such profile file; correct independent.files.path, or give the "
                "folder that holds it with --data"
            )


def _check_drivers(job: Job) -> None:
    """Refuse drivers that are neither covariates, or a month of one, nor measured properties."""
    table, covariates = job.recipe.whole_profile, job.model.settings.get("covariates")
    if table is None or covariates is None:
        return
    for name in table.drivers:
        known = (name, re.sub(r"_\d\d$", "", name))
        if name not in MEASURED and not set(known) & set(covariates):
            raise InputError(
                f'whole_profile.drivers: "{name}" is no covariate of the model nor a measured '
                f"property: {did_you_mean(name, [*covariates, *MEASURED])}"
            )


def study(
    job: Job,
    run: Run,
    cube: Cube,
    samples: Samples,
    assess_spec: AssessSpec,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> None:
    """Make the study and keep it in the run's folder, unless it is there."""
    folder = run.path / FOLDER
    if is_whole(folder):
        return
    tables: dict[str, pd.DataFrame] = {}
    notes: list[str] = [MIDPOINT_RULE]
    table = job.recipe.whole_profile
    if table is not None:
        tables |= by_parts(Assessment.load(on_disk(run.path / "assessment")))
        tables["partial"], said = partial_table(samples, table.drivers, assess_spec)
        notes += said
        if table.measured:
            found, said = compare_measured(
                samples,
                assessed_model(job.recipe),
                table.measured,
                assess_spec,
                client=client,
                reporter=reporter,
                places=map_places(job, cube, assess_spec),
            )
            tables |= found
            notes += said
    if job.recipe.independent is not None:
        apart, said = independent_samples(job, cube, samples, reporter)
        scores, rows = judge(
            run.load_model(), apart, replicates=assess_spec.bootstrap, seed=job.recipe.seed
        )
        tables |= {"independent": scores, "independent_rows": rows}
        notes += said
    with whole_folder(folder) as partial:
        ProfileStudy(**tables, notes=tuple(notes)).save(partial)


def partial_table(
    samples: Samples, named: tuple[str, ...], spec: AssessSpec
) -> tuple[pd.DataFrame, list[str]]:
    """Return partial correlations of carbon content with drivers, and what is to be said of them.

    Raises
    ------
    InputError
        A driver is neither a feature of the samples nor a measured property.
    """
    from edaphos.engine.assess.partial import partial_correlations

    names = named or tuple(f for f in samples.features if f not in samples.classes)
    columns, used, notes = [], [], []
    for name in names:
        values = _driver(samples, name)
        if np.isfinite(values).any():
            columns.append(values)
            used.append(name)
        else:
            notes.append(f'no layer has "{name}", which is none of the drivers therefore')
    if not used:
        return pd.DataFrame(), notes
    found = partial_correlations(
        samples.table[SOC_TARGET[1]].to_numpy(np.float64),
        np.stack(columns, axis=1),
        used,
        samples.top,
        samples.bottom,
        location_blocks(samples, spec.block_deg),
        replicates=spec.bootstrap,
        seed=spec.seed,
    )
    return found, notes


def _driver(samples: Samples, name: str) -> NDArray[np.float64]:
    if name in samples.features and name not in samples.classes:
        return samples.table[name].to_numpy(np.float64)
    if name in MEASURED:
        return measured_values(samples.table, name)
    known = [f for f in samples.features if f not in samples.classes] + list(MEASURED)
    raise InputError(
        f'whole_profile.drivers: "{name}" is no covariate with an order nor a measured property: '
        f"{did_you_mean(name, known)}"
    )


def independent_samples(
    job: Job, cube: Cube, training: Samples, reporter: Reporter = QUIET
) -> tuple[Samples, list[str]]:
    """Return the layers of the validation files with covariates, those learned from left out."""
    told, table = job.recipe.independent, job.recipe.profiles
    assert told is not None
    assert table is not None  # the model learns from profiles
    model = job.model.build()
    target = target_of(model)
    stocks = target[1] == STOCK_TARGET[1]
    rules = qa_rules(table, SOC_TARGET if stocks else target)
    found = load_profiles(profile_files(told, job.data), rules, reporter, land=land_test(cube))
    # of densities, what was not measured is no evidence: gaps are not filled as in training
    found = with_density_of(found, table.density_of, reporter)
    found = profiles_with_stocks(found, reporter) if stocks else found
    found = in_biome(biome_of(job), found, cube, job.grid, reporter)
    rows, said = independent_rows(
        found.table, training.table, shared=told.shared, distance_deg=told.distance_deg
    )
    if said:
        reporter.say(said)
    samples, counts = draw_samples(
        rows, cube, job.grid, learns_from(model), target=target, years=year_policy(table)
    )
    if not len(samples):
        raise InputError(
            f"independent.files: no layer can be predicted: {counts.to_text()}; name the file's "
            "columns under independent.files.columns"
        )
    reporter.say(f"validation profiles: {counts.to_text()}")
    return samples, [*filter(None, [said]), f"Validation profiles: {counts.to_text()}."]
