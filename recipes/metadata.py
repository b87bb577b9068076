"""What travels with a map: titles, sources with their licences, resolutions."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyproj import CRS

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.map_store import quantity_words
from edaphos.engine.models.protocol import description_of, target_of
from edaphos.engine.run import Run

from .job import Job, covariates_of


def map_attributes(job: Job, cube: Cube, run: Run) -> dict[str, Any]:
    """Return the global attributes of a map; what its fitted model describes goes first."""
    recipe, model = job.recipe, run.load_model()
    described = description_of(model)
    years = recipe.years
    return {
        "title": recipe.title,
        "banner": recipe.banner,
        "virtual": "yes" if recipe.virtual else "no",
        "license": recipe.licence,
        "summary": _summary(target_of(model)[0]),
        "source": f"edaphos {version('edaphos')}, recipe {recipe.name}",
        "history": f"made by `edaphos run`, recipe {recipe.name}, identity {run.hash[:12]}",
        "edaphos_version": version("edaphos"),
        "run": run.hash,
        "nominal_resolution": resolution_text(job.grid),
        "covariate_resolution": covariate_resolution(cube, covariates_of(job)),
        "sources": json.dumps(source_list(job, cube)),
        "references": "https://www.isric.org/globalsoilmap (depth intervals)",
        "year": years[0] if len(years) == 1 else list(years),
        **described,
    }


def _summary(quantity: str) -> str:
    """Return what a map of this quantity is, for a model that does not say it."""
    return (
        f"{quantity_words(quantity).capitalize()} by depth, with its mean and quantiles "
        "as predicted from soil profiles and covariates"
    )


def source_list(job: Job, cube: Cube) -> list[dict[str, str]]:
    """Return name, licence, citation and resolution of every source of a map, each once."""
    found: dict[str, dict[str, str]] = {}
    for file in job.recipe.profiles.files if job.recipe.profiles else ():
        name = file.source or file.path.rsplit("/", 1)[-1]
        found[name] = {
            "name": name,
            "role": "soil profiles",
            "licence": file.licence,
            "citation": file.citation,
            "resolution": "",
        }
    start = getattr(job.recipe.model, "start", None)
    if start:
        found["model of the world"] = _model_source(Path(start))
    for name in covariates_of(job):
        variable = cube.variable(name)
        key = variable.source or variable.name
        entry = found.setdefault(
            key,
            {
                "name": key,
                "role": "",
                "licence": variable.licence,
                "citation": variable.citation,
                "resolution": variable_resolution(cube, name),
            },
        )
        entry["role"] = f"{entry['role']}, {name}".lstrip(", ")
    return list(found.values())


def _model_source(folder: Path) -> dict[str, str]:
    """Return a model that was fine-tuned as a source of a map, with its licence."""
    from edaphos.engine.branches.model_file import digest_of_model, read_card

    card = read_card(folder)
    grid = card["grid"]
    return {
        "name": f"model of the world, SHA-256 {digest_of_model(folder)[:12]}",
        "role": "model that was fine-tuned",
        "licence": card["licence"],
        "citation": "",
        "resolution": size_text(grid["cell"], CRS.from_user_input(grid["crs"]).is_geographic),
    }


def resolution_text(grid: Grid) -> str:
    """Return a grid's cell size as people say it."""
    return size_text(grid.resolution[0], grid.is_geographic)


def variable_resolution(cube: Cube, name: str) -> str:
    """Return a covariate's native cell size as people say it."""
    dx, _, crs = cube.resolution(name)
    return size_text(dx, CRS.from_user_input(crs).is_geographic)


def _metres(cube: Cube, name: str) -> float:
    """Return a covariate's native cell size in metres, along a meridian."""
    dx, _, crs = cube.resolution(name)
    return dx * 111_320.0 if CRS.from_user_input(crs).is_geographic else dx


def covariate_resolution(cube: Cube, names: tuple[str, ...]) -> str:
    """Return the finest and coarsest native cell size among covariates."""
    if not names:
        return "none"
    by_size = sorted(names, key=lambda name: _metres(cube, name))
    finest, coarsest = (variable_resolution(cube, name) for name in (by_size[0], by_size[-1]))
    return finest if finest == coarsest else f"{finest} to {coarsest}"


def size_text(size: float, geographic: bool) -> str:
    """Return a cell size with a unit that suits it.

    >>> size_text(1 / 120, True), size_text(0.25, True), size_text(250.0, False)
    ('30 arc-seconds', '0.25 degrees', '250 m')
    >>> size_text(1 / 36, True), size_text(1 / 3, True), size_text(1.0, True)
    ('100 arc-seconds', '20 arc-minutes', '1 degree')
    """
    if not geographic:
        return f"{size:g} m"
    minutes, seconds = size * 60, size * 3600
    if size >= 0.1 and abs(size - round(size, 2)) < 1e-9:
        count, unit = round(size, 2), "degree"
    elif minutes >= 1 and abs(minutes - round(minutes)) < 1e-6:
        count, unit = round(minutes), "arc-minute"
    else:
        count, unit = round(seconds, 3), "arc-second"
    return f"{count:g} {unit}{'' if count == 1 else 's'}"
