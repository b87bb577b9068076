"""From a recipe to a finished run: cube, profiles, samples, validation, model, map, products.

Each stage leaves its result in the run folder under its final name only when it is whole, so a
run that was cut off continues with the first stage that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client

from edaphos.engine.biome import in_biome
from edaphos.engine.boundary import bounded, in_boundary
from edaphos.engine.build.build import build_cube, check_spec
from edaphos.engine.cluster import connect
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST as CUBE_MANIFEST
from edaphos.engine.errors import InputError
from edaphos.engine.models.protocol import (
    RowModel,
    learns_from,
    needs_samples,
    packages_of,
    patch_size_of,
    target_of,
)
from edaphos.engine.observer import Stoppable, never
from edaphos.engine.place import Place
from edaphos.engine.profiles.harmonise import at_depths
from edaphos.engine.profiles.layer_stocks import STOCK_TARGET, profiles_with_stocks
from edaphos.engine.profiles.profiles import Profiles, load_profiles
from edaphos.engine.progress import QUIET, Interruptible, Reporter
from edaphos.engine.run import GridSpec, Run, files_digest, versions
from edaphos.engine.samples import SOC_TARGET, Samples
from edaphos.engine.sampling import SamplingReport, check_covariates, draw_samples, land_test
from edaphos.engine.site_sampling import SiteReport, draw_sites
from edaphos.engine.stocks.density import profiles_with_density, with_density_of
from edaphos.engine.store import write_atomically
from edaphos.engine.watch import Watch

from .assessing import assess_spec, assessment
from .cube_schema import read_cube_spec
from .finish import finish
from .fitting import fit
from .job import (
    Job,
    assessed_model,
    biome_of,
    compared_models,
    covariates_of,
    model_source,
    profile_files,
    profile_tables,
    qa_rules,
    year_policy,
)
from .mapping import Box, make_map, note_production
from .patches import learns_from_patches, with_patches
from .regions import blend_region, check_regions, run_regions
from .schema import ProfilesTable
from .stages import Stages
from .whole_profile import check_study, study
from .yearly import check_years, dated, say_years

RECIPE_COPY = "recipe.toml"


def run_job(
    job: Job,
    out: Place,
    reporter: Reporter = QUIET,
    *,
    region: Box | None = None,
    stop: Callable[[], str | None] = never,
) -> tuple[Run, Place | None]:
    """Make the map and the products of a recipe, or finish what was begun.

    Returns the run, and the path of its report if the recipe wants one. The workers are let go
    before products are made; the run stays this process's own until they are. After it come the
    regions of the recipe, each a run of its own.

    Raises
    ------
    InputError
        Something in the recipe, the profiles, the cube or the output folder cannot be used.
    RunError
        Tiles failed twice.
    """
    preflight(job, out)
    stages = Stages(reporter)
    with ExitStack() as around:
        with connect(job.cluster, reporter) as client:
            run = run_stages(
                job, out, client, reporter, stages, region=region, stop=stop, around=around
            )
            own = partial(_run_region, client=client, reporter=reporter, stop=stop)
            regions = run_regions(job, run, own, reporter) if region is None else []
        assert stages.watch is not None  # it goes on within `around`
        asked = Stoppable(stages.watch, stop).stop_reason
        report = finish(run, Interruptible(reporter, asked), stages=stages)
    for made in regions:
        finish(made, reporter)
        blend_region(run, made)
    return run, report


def _run_region(
    job: Job, out: Place, client: Client, reporter: Reporter, stop: Callable[[], str | None]
) -> Run:
    preflight(job, out)
    return run_stages(job, out, client, reporter, stop=stop)


def preflight(job: Job, out: Place) -> None:
    """Refuse what can be seen to fail before hours are spent: files, folders, covariates."""
    check_learning(job)
    check_regions(job, out)
    if out.exists() and any(out.iterdir()):
        Run.open(out)
    if (job.cube_path / CUBE_MANIFEST).exists():
        check_contents(job, Cube.open(job.cube_path))
    elif job.cube_spec is None:
        raise InputError(
            f"{job.cube_path}: no such cube; build it with `edaphos cube build`, or name a cube "
            "TOML under cube.spec"
        )
    else:
        read_cube_spec(job.cube_spec, job.cube_data)


def check_contents(job: Job, cube: Cube) -> None:
    """Refuse a cube that lacks what the model reads, or holds something else by those names."""
    check_covariates(cube, job.grid, covariates_of(job))
    biome = biome_of(job)
    if biome is not None:
        biome.check(cube)
    check = getattr(job.model.build(), "check_cube", None)
    if check is not None:
        check(cube, job.grid)


def check_learning(job: Job) -> None:
    """Refuse profiles that are missing or of no use, and a model that cannot be validated."""
    table = job.recipe.profiles
    if (table is not None) != needs_samples(job.model.build()):
        raise InputError(
            f'model "{job.model.kind}" learns from soil profiles, and the recipe has none: add '
            "[[profiles.files]]"
            if table is None
            else f'model "{job.model.kind}", as set, learns nothing from soil profiles: leave '
            "[profiles] out of the recipe"
        )
    if table is None:
        return
    for file in profile_files(table, job.data):
        if not Path(file.path).exists():
            raise InputError(
                f"{file.path}: no such profile file; correct profiles.files.path, or give the "
                "folder that holds it with --data"
            )
    qa_rules(table)
    check_study(job)
    if table.harmonise != "none" and getattr(job.model.build(), "site_span", None) is not None:
        raise InputError(
            f'model "{job.model.kind}" takes stocks from layers as they were sampled: leave '
            "profiles.harmonise out"
        )
    if job.recipe.assess.enabled:
        for spec in (assessed_model(job.recipe), *compared_models(job.recipe).values()):
            if not isinstance(spec.build(), RowModel):
                raise InputError(
                    f'model "{spec.kind}" has no predict_rows(samples), which cross-validation '
                    "needs; add it, or set assess.enabled = false"
                )


def run_stages(
    job: Job,
    out: Place,
    client: Client,
    reporter: Reporter = QUIET,
    stages: Stages | None = None,
    *,
    region: Box | None = None,
    stop: Callable[[], str | None] = never,
    around: ExitStack | None = None,
) -> Run:
    """Run the stages of :func:`run_job` on a cluster that stands.

    `stages` goes on timing where a caller began; a cube that it opened is not timed again. With a
    `region` (west, south, east, north in the map's CRS) only the tiles that touch it are made, and
    made anew where they are finished. `stop` is asked between tiles for a reason to stop. The watch
    over the run, which `stages` tells, ends with `around`, or with the map where that is None.
    """
    stages = stages or Stages(reporter)
    with stages.stage("cube", "Cube"):
        cube = open_cube(job, client, reporter)
    check_contents(job, cube)
    say_years(job, cube, reporter)
    profiles: Profiles | None = None
    if job.recipe.profiles is not None:
        with stages.stage("profiles", "Profiles"):
            profiles = load(job, job.recipe.profiles, cube, reporter)
    run = Run.start(out, identity(job, cube), provenance(job, cube))
    with ExitStack() as own:
        watching = Watch(run, reporter, client=client, page=job.recipe.products.report)
        watch = (around or own).enter_context(watching)
        stages.attach(run, watch)
        asked = Interruptible(reporter, Stoppable(watch, stop).stop_reason)
        keep_inputs(run, job, profiles)
        samples: Samples | None = None
        if profiles is not None:
            with stages.stage("samples", "Samples"):
                samples = sample(job, cube, profiles, run, reporter)
                check_years(job, cube, samples, run, reporter)
        if samples is not None and learns_from_patches(job):
            with stages.stage("patches", "Patches"):
                samples = with_patches(job, cube, samples, run, asked, client)
        if samples is not None and job.recipe.assess.enabled:
            with stages.stage("assess", "Cross-validation"):
                assessment(job, run, samples, cube, client, asked)
        with stages.stage("fit", "Fitting"):
            fit(job, run, samples, client, asked)
        if samples is not None and (job.recipe.whole_profile or job.recipe.independent):
            with stages.stage("study", "Whole profiles"):
                study(job, run, cube, samples, assess_spec(job), client, reporter)
        with stages.stage("map", "Mapping"):
            production = make_map(job, run, cube, client, reporter, Stoppable(watch, stop), region)
        note_production(run, production, client)
    if around is None:
        stages.attach(run)
    return run


def open_cube(job: Job, client: Client | None, reporter: Reporter) -> Cube:
    """Open the recipe's cube, building it first where it is not there yet.

    Where the recipe has a boundary, only cells inside count as soil.
    """
    if job.cube_spec is not None:
        if (job.cube_path / CUBE_MANIFEST).exists():
            check_spec(
                read_cube_spec(job.cube_spec, job.cube_data, files_needed=False), job.cube_path
            )
        else:
            spec = read_cube_spec(job.cube_spec, job.cube_data)
            build_cube(spec, job.cube_path, client=client, reporter=reporter)
    return Cube.open(job.cube_path).within(job.boundary)


def load(job: Job, table: ProfilesTable, cube: Cube, reporter: Reporter = QUIET) -> Profiles:
    """Read and check the recipe's profiles, at the map's depths if it says so.

    The cube's land tells swapped coordinates.
    """
    model = job.model.build()
    target = target_of(model)
    stocks = target[1] == STOCK_TARGET[1]
    if stocks:  # made of carbon and density, which are harmonised each by itself
        target = SOC_TARGET
    files, rules = profile_files(table, job.data), qa_rules(table, target)
    profiles = load_profiles(files, rules, reporter, land=land_test(cube))
    profiles = with_density_of(profiles, table.density_of, reporter)
    profiles = profiles_with_density(profiles, table.bulk_density, reporter)
    if table.harmonise != "none":
        depths = getattr(model, "profile_depths", job.recipe.map.depths)
        profiles = at_depths(profiles, depths, target[1], table.harmonise, reporter)
    profiles = profiles_with_stocks(profiles, reporter) if stocks else profiles
    profiles = in_boundary(job.boundary, profiles, reporter)
    return in_biome(biome_of(job), profiles, cube, job.grid, reporter)


def identity(job: Job, cube: Cube) -> dict[str, Any]:
    """Return everything that decides the bytes of the map."""
    left_out = dict.fromkeys(("cluster", "products", "cube", "paths"), True)
    recipe = job.recipe.model_dump(mode="json", exclude={**left_out, "map": {"years"}})
    return {
        "recipe": recipe,
        "grid": asdict(GridSpec.of(job.grid)),
        **bounded(job.boundary),
        "years": list(job.recipe.years),
        "model": {"kind": job.model.kind, "source": model_source(job)},
        "cube": {"digest": cube.manifest.digest, "rules": cube_rules(job, cube)},
        "profiles": {"sha256": files_digest(profile_tables(job))},
        "versions": versions(packages_of(job.model.build())),
    }


def cube_rules(job: Job, cube: Cube) -> dict[str, Any]:
    """Return what decides how the covariates' stored values are read, and patches turned."""
    rules: dict[str, Any] = {"soil_mask": cube.manifest.masks.soil_mask}
    turned = patch_size_of(job.model.build()) > 0
    for name in covariates_of(job):
        variable = cube.variable(name)
        rules[name] = [variable.kind, variable.time, list(variable.years), variable.seasonal_gap]
        rules[name] += ["directional"] if turned and variable.directional else []
    return rules


def provenance(job: Job, cube: Cube) -> dict[str, Any]:
    """Return what is worth knowing of a run and does not decide its bytes."""
    return {
        "cube": str(cube.path),
        "cluster": {"kind": job.cluster.kind, "workers": job.cluster.planned_workers},
        "products": job.recipe.products.model_dump(),
    }


def keep_inputs(run: Run, job: Job, profiles: Profiles | None) -> None:
    """Store the recipe, what became of the profiles, and the rejected rows in the run folder."""
    write_atomically(run.path / RECIPE_COPY, job.text)
    if job.boundary is not None:
        job.boundary.save(run.path)
    if profiles is None:
        return
    write_atomically(run.path / "profiles_qa.json", json.dumps(profiles.report.to_json(), indent=1))
    if profiles.harmonised is not None:
        run.note(harmonised=profiles.harmonised.summary())
        told = json.dumps(profiles.harmonised.to_json(), indent=1)
        write_atomically(run.path / "profiles_harmonised.json", told)
    write_atomically(run.path / "profiles_rejected.csv", profiles.rejected.to_csv(index=False))
    write_atomically(run.path / "profiles_locations.csv", _locations(profiles))


def _locations(profiles: Profiles) -> str:
    columns = ["source", "lon", "lat"]
    return str(profiles.table[columns].drop_duplicates().to_csv(index=False))


def sample(
    job: Job, cube: Cube, profiles: Profiles, run: Run, reporter: Reporter = QUIET
) -> Samples:
    """Join the profiles with the cube; the counts are noted in the run."""
    zones = ("koeppen",) if "koeppen" in cube.manifest.variables else ()
    samples, counts = draw(job, cube, profiles, zones)
    run.note(samples=asdict(counts))
    run.note(sampling=counts.to_text())
    reporter.say(counts.to_text())
    undated = len(profiles) - len(dated(job, cube, profiles))
    if undated:
        reporter.say(f"{undated:,} layers without a year are left out of a map of several years")
    for warning in unsampled_depths(job, samples):
        reporter.say(warning)
    run.note(unsampled_depths=unsampled_depths(job, samples))
    return samples


def draw(
    job: Job, cube: Cube, profiles: Profiles, also: tuple[str, ...] = ()
) -> tuple[Samples, SamplingReport | SiteReport]:
    """Return the model's samples, and what became of the rows.

    They are layers, or sites in all years of a model that has a ``site_span``.
    """
    table, model = job.recipe.profiles, job.model.build()
    assert table is not None  # there are profiles
    deg = table.decluster_deg
    span = getattr(model, "site_span", None)
    if span is not None:
        quantity, _, units = target_of(model)
        return draw_sites(
            profiles.table,
            cube,
            job.grid,
            learns_from(model),
            span,
            target=(quantity, units),
            decluster_deg=deg,
            also=also,
        )
    profiles = dated(job, cube, profiles)
    return draw_samples(
        profiles.table,
        cube,
        job.grid,
        learns_from(model),
        target=target_of(model),
        weight=None if deg is None else profiles.weights(deg),
        also=also,
        years=year_policy(table),
    )


def unsampled_depths(job: Job, samples: Samples) -> list[str]:
    """Return a warning for each mapped interval that no sample reaches into."""
    deepest = float(samples.bottom.max())
    return [
        f"no sample reaches {top:g}-{bottom:g} cm (the deepest ends at {deepest:g} cm): "
        "the map there repeats what lies above"
        for top, bottom in job.recipe.map.depths
        if top >= deepest
    ]
