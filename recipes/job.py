"""A recipe with the places of everything it names, and what the command line replaced in it."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edaphos.engine.applicability import ApplicabilitySpec
from edaphos.engine.assess.scoring import SCORED_LEVELS
from edaphos.engine.biome import Biome
from edaphos.engine.boundary import Boundary
from edaphos.engine.cluster import ClusterSpec
from edaphos.engine.errors import InputError, did_you_mean
from edaphos.engine.grid import Grid, snapped
from edaphos.engine.map_store import inner_size
from edaphos.engine.models.consistent import ConsistentSpec
from edaphos.engine.models.protocol import ModelSpec, model_class
from edaphos.engine.place import Place, place
from edaphos.engine.profiles.schema import ProfileFile, QARules
from edaphos.engine.run import files_digest
from edaphos.engine.samples import SOC_TARGET, Target
from edaphos.engine.years import YearPolicy

from .beta_schema import BetaTable
from .cluster_schema import cluster_spec
from .config import load_toml, parse
from .conv_schema import ConvTable
from .gsoilcpm_schema import GsoilcpmTable
from .model_schema import BoostingTable, ForestTable, ModelTable
from .poml_schema import PomlTable
from .rothc_schema import RothCTable
from .schema import GridTable, IndependentTable, ProfilesTable, Recipe
from .templates import builtin_files
from .whole_profile_schema import StockForestTable


@dataclass(frozen=True)
class Job:
    """A recipe with the places of everything it names.

    Parameters
    ----------
    recipe, text
        The recipe and its TOML.
    data
        Folder that profile files start from.
    cube_path, cube_spec
        The cube's folder, and the TOML to build it from (None if it must be there).
    cube_data
        Folder that the cube's source files start from (None: as its TOML says).
    grid
        The map's grid.
    cluster
        Where it computes.
    boundary
        Outside which nothing is mapped.
    """

    recipe: Recipe
    text: str
    data: Path
    cube_path: Place
    cube_spec: Path | None
    cube_data: Path | None
    grid: Grid
    cluster: ClusterSpec
    boundary: Boundary | None = None

    @property
    def model(self) -> ModelSpec:
        """The model that makes the map."""
        return model_spec(self.recipe)


@dataclass(frozen=True)
class Overrides:
    """What the command line says instead of the recipe; None leaves it to the recipe."""

    cluster: str | None = None
    workers: int | None = None
    data: Path | None = None
    cube: str | Path | None = None
    preset: str | None = None
    years: tuple[int, ...] | None = None


def load_job(path: Path, overrides: Overrides | None = None) -> Job:
    """Read a recipe and find what it names.

    Parameters
    ----------
    path
        The recipe.
    overrides
        Replace parts of it.
    """
    own = overrides or Overrides()
    raw = load_toml(path)
    if own.preset is not None:
        kept = {k: v for k, v in raw.get("grid", {}).items() if k in ("tile_size", "boundary")}
        raw["grid"] = {**kept, "preset": own.preset}
    if own.years is not None:
        raw["map"] = {k: v for k, v in raw.get("map", {}).items() if k not in ("year", "years")}
        raw["map"]["years"] = list(own.years)
    recipe = parse(raw, Recipe, path)
    data = (own.data or path.parent / recipe.paths.data).resolve()
    recipe = _without_regions(recipe, data)
    boundary = _boundary(recipe.grid.boundary, data, "grid.boundary")
    grid = build_grid(recipe, path, boundary)
    inner_size(grid.tile_size)
    return Job(
        recipe=recipe,
        text=_overridden(path.read_text(), own),
        data=data,
        cube_path=place(own.cube or recipe.cube.path).absolute(),
        cube_spec=_cube_spec(path, recipe.cube.spec) if recipe.cube.spec else None,
        cube_data=own.data,
        grid=grid,
        cluster=cluster_spec(recipe.cluster, own.cluster, own.workers),
        boundary=boundary,
    )


def _boundary(file: str | None, data: Path, key: str) -> Boundary | None:
    return None if file is None else Boundary.read(data / file, key)


def _without_regions(recipe: Recipe, data: Path) -> Recipe:
    """Return a recipe whose model of the world learns nothing from its regions.

    Boxes that hold those with a boundary stand for them.
    """
    model = recipe.model
    found: list[Any] = []
    for region in recipe.regions:
        boundary = _boundary(region.boundary, data, f"boundary of region {region.name}")
        found += [region.bounds] if boundary is None else boundary.boxes()
    if not found or not isinstance(model, GsoilcpmTable):
        return recipe
    changed = model.model_copy(update={"without": (*model.without, *found)})
    return recipe.model_copy(update={"model": changed})


def _cube_spec(path: Path, name: str) -> Path:
    """Return the cube TOML beside the recipe, or the built-in one of that name."""
    beside, known = path.parent / name, builtin_files()
    if beside.exists() or Path(name).name != name:
        return beside
    return known.get(Path(name).stem, beside)


def _overridden(text: str, own: Overrides) -> str:
    """Return a recipe's TOML with a note of what the command line replaced."""
    replaced = {name: value for name, value in vars(own).items() if value is not None}
    if not replaced:
        return text
    notes = "".join(f"# {name} = {value}\n" for name, value in replaced.items())
    return f"{text}\n# Replaced on the command line:\n{notes}"


def build_grid(recipe: Recipe, path: Path, boundary: Boundary | None = None) -> Grid:
    """Return the recipe's grid; without bounds it is as large as the boundary's polygons."""
    table = recipe.grid
    try:
        grid = _grid(table, recipe.name, boundary)
        if boundary is not None and not boundary.meets(grid):
            raise InputError(
                f"the polygons of {table.boundary} lie outside the grid; correct bounds, or leave "
                "them out"
            )
    except InputError as error:
        raise InputError(f"{path}: [grid]: {error}") from error
    return grid


def _grid(table: GridTable, name: str, boundary: Boundary | None) -> Grid:
    if table.preset is not None:
        return Grid.preset(table.preset, table.tile_size)
    # the schema lets none of these be missing without a preset
    assert table.crs is not None
    assert table.resolution is not None
    bounds = table.bounds
    if bounds is None:
        assert boundary is not None
        bounds = snapped(boundary.extent(table.crs), (0.0, 0.0), table.resolution)
    return Grid.from_bounds(table.crs, bounds, table.resolution, table.tile_size, name)


def model_spec(recipe: Recipe) -> ModelSpec:
    """Return the kind and settings of the model that makes the map."""
    return _with_area(_with_depths(_spec(recipe.model, recipe), recipe), recipe)


def _with_depths(spec: ModelSpec, recipe: Recipe) -> ModelSpec:
    """Return a model whose layers integrate to stocks, if the recipe asks for that."""
    table = recipe.map
    if table.depth != "consistent":
        return spec
    factor = 0.1 if table.published_units == "t ha-1" else 1.0
    told = ConsistentSpec(variables=table.published or (), factor=factor)
    return replace(spec, consistent=told)


def _with_area(spec: ModelSpec, recipe: Recipe) -> ModelSpec:
    """Return a model that maps where it holds, if the recipe asks for that."""
    table = recipe.applicability
    if table is None:
        return spec
    return replace(spec, applicability=ApplicabilitySpec(**table.model_dump(), seed=recipe.seed))


def _spec(table: ModelTable, recipe: Recipe) -> ModelSpec:
    if isinstance(table, RothCTable):
        told = table.model_dump(exclude={"kind"})
        told |= {"years": recipe.years, "depth_cm": recipe.map.depths[0][1]}
        return ModelSpec("rothc", {"settings": told, "seed": recipe.seed})
    if isinstance(table, PomlTable):
        told = table.settings(recipe.years, recipe.map.depths[0][1])
        return ModelSpec("poml", {"settings": told, "seed": recipe.seed})
    if isinstance(table, (BetaTable, ConvTable, GsoilcpmTable)):
        told = table.settings()
        if isinstance(table, GsoilcpmTable):
            told["start"] = table.start and str(Path(table.start).absolute())
        return ModelSpec(
            table.kind,
            {
                "settings": told,
                "quantiles": recipe.map.quantiles,
                "depths": recipe.map.depths,
                "seed": recipe.seed,
            },
        )
    mapped = {
        "quantiles": recipe.map.quantiles,
        "depths": recipe.map.depths,
        "seed": recipe.seed,
    }
    if isinstance(table, BoostingTable):
        return ModelSpec("boosting", {**table.model_dump(exclude={"kind"}), **mapped})
    if isinstance(table, StockForestTable):
        told = table.model_dump(exclude={"kind"})
        told |= {"quantiles": recipe.map.quantiles, "depths": recipe.map.depths}
        told |= {"seed": recipe.seed, "biome": recipe.biome.classes if recipe.biome else {}}
        return ModelSpec("stock_forest", told)
    if not isinstance(table, ForestTable):
        return ModelSpec(table.kind, table.settings)
    settings = {
        "covariates": table.covariates,
        "trees": table.trees,
        "min_samples_leaf": table.min_samples_leaf,
        "max_features": table.max_features,
        "transform": table.transform,
        "choose": table.choose,
        "intervals": table.intervals,
        **mapped,
    }
    return ModelSpec("forest_by_depth" if table.by_depth else "forest", settings)


def assessed_model(recipe: Recipe) -> ModelSpec:
    """Return the model as cross-validation fits it.

    A forest may get fewer trees there; models always give the bounds of the 90 % interval, those of
    trees the bounds of every interval that is scored. Of RothC it is the clay forest that profiles
    can judge.
    """
    return _with_area(_assessed(recipe.model, recipe), recipe)


def sketched_model(recipe: Recipe) -> ModelSpec:
    """Return the model as planning fits it: as large as the real one, nets hardly trained."""
    spec = model_spec(recipe)
    if spec.kind not in ("conv", "gsoilcpm"):
        return spec
    told = dict(spec.settings["settings"])
    for part in ("training", "fine_tuning"):
        told[part] = {**told[part], "epochs": 1}
    told["training"]["processes"] = 1  # there are no workers
    if "unlabelled" in told:  # which is learned once for all folds
        told["unlabelled"] = {**told["unlabelled"], "places": 0}
    return replace(spec, settings={**spec.settings, "settings": told})


def compared_models(recipe: Recipe) -> dict[str, ModelSpec]:
    """Return the models that stand beside in cross-validation, as it fits them, by name."""
    return {name: _assessed(table, recipe) for name, table in recipe.compared().items()}


def _assessed(table: ModelTable, recipe: Recipe) -> ModelSpec:
    spec = _spec(table, recipe)
    if isinstance(table, PomlTable):
        told = dict(spec.settings["settings"])
        if recipe.assess.trees:
            told["learner"] = {**told["learner"], "trees": recipe.assess.trees}
        if not table.uncertainty.validate_intervals:
            told["uncertainty"] = {**told["uncertainty"], "members": 0}
        return ModelSpec(spec.kind, {**spec.settings, "settings": told})
    if isinstance(table, RothCTable) and recipe.profiles is not None:
        spec = ModelSpec("forest", asdict(spec.build().clay_forest))
    nets = ("conv", "gsoilcpm")
    judged = ("beta", "boosting", "forest", "forest_by_depth", "stock_forest", *nets)
    if spec.kind not in judged:
        return spec
    # as many levels as are scored, where one more costs little
    more = (0.05, 0.95) if spec.kind in ("beta", *nets) else SCORED_LEVELS
    told = {**spec.settings, "quantiles": tuple(sorted({*spec.settings["quantiles"], *more}))}
    if spec.kind == "beta" and recipe.assess.trees:
        told["settings"] = {**told["settings"], "trees": recipe.assess.trees}
    elif spec.kind not in ("beta", "boosting", *nets):
        told["trees"] = recipe.assess.trees or told["trees"]
    return ModelSpec(spec.kind, told)


def covariates_of(job: Job) -> tuple[str, ...]:
    """Return the cube variables that the model reads."""
    return tuple(job.model.build().reads.variables)


def profile_files(table: ProfilesTable | IndependentTable, base: Path) -> list[ProfileFile]:
    """Return the profile files with paths made absolute."""
    return [ProfileFile(**{**file.model_dump(), "path": base / file.path}) for file in table.files]


def biome_of(job: Job) -> Biome | None:
    """Return the recipe's biome, its file of polygons beside the recipe's data."""
    table = job.recipe.biome
    if table is None:
        return None
    polygons = None if table.polygons is None else job.data / table.polygons
    return Biome(table.classes, polygons)


def qa_rules(table: ProfilesTable, target: Target = SOC_TARGET) -> QARules:
    """Return the rules of quality assurance, defaults changed by the recipe.

    Layers without organic carbon are kept where another property is learned.
    """
    known = QARules.__dataclass_fields__
    for name in table.qa:
        if name not in known:
            raise InputError(f"profiles.qa.{name}: unknown rule; {did_you_mean(name, known)}")
    own: dict[str, Any] = {} if target[1] == SOC_TARGET[1] else {"missing_soc": "flag"}
    return replace(QARules(), **{**own, **table.qa})


def year_policy(table: ProfilesTable) -> YearPolicy:
    """Return what yearly covariates are at undated profiles and in years they lack."""
    return YearPolicy(table.outside_years, table.undated)


def profile_tables(job: Job) -> list[Path]:
    """Return the files that profiles are read from, and the polygons that choose among them.

    WoSIS joins the tables beside the one named.
    """
    found: list[Path] = []
    table = job.recipe.profiles
    apart = job.recipe.independent
    files = [file for held in (table, apart) if held for file in profile_files(held, job.data)]
    for file in files:
        path = Path(file.path)
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.is_file())
        elif path.name.startswith("wosis_"):
            found += sorted(path.parent.glob("wosis_*"))
        else:
            found.append(path)
    biome = biome_of(job)
    return found if biome is None or biome.polygons is None else [*found, biome.polygons]


def model_source(job: Job) -> str:
    """Return the SHA-256 of the file that defines a user's model, "" for built-in ones."""
    if ":" not in job.model.kind:
        return ""
    return files_digest([Path(inspect.getfile(model_class(job.model.kind)))])
