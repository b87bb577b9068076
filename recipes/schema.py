"""The schema of a recipe: every key, its bounds, its default, and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edaphos.engine.grid import PRESETS

from .beta_schema import BetaTable
from .cluster_schema import ClusterTable
from .config import Table
from .gsoilcpm_schema import GsoilcpmTable, RegionTable
from .map_schema import MapTable
from .model_schema import ModelTable, other_model
from .poml_schema import PomlTable
from .rothc_schema import RothCTable
from .whole_profile_schema import BiomeTable, WholeProfileTable


class GridTable(Table):
    """Where the map lies and how it is cut."""

    preset: str | None = Field(None, description=f"a named grid: {', '.join(PRESETS)}")
    crs: str | None = Field(None, description='CRS of a grid of your own, such as "EPSG:4326"')
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="west, south, east, north in units of the CRS"
    )
    resolution: float | None = Field(None, gt=0, description="cell size in units of the CRS")
    tile_size: int = Field(
        512,
        ge=16,
        le=8192,
        description="cells along a tile's side: a multiple of 256, or of 16 below",
    )
    boundary: str | None = Field(
        None,
        description="file of polygons (GeoJSON, GeoPackage, shapefile), in the folder of data "
        "unless absolute: only cells whose centre lies inside are mapped, and profiles outside are "
        "left out; bounds may then be left out, too",
    )

    @model_validator(mode="after")
    def _one_way(self) -> GridTable:
        own = (self.crs, self.bounds or self.boundary, self.resolution)
        if self.preset is None and any(value is None for value in own):
            raise ValueError(
                "give either preset, or all of crs, bounds and resolution (a boundary may stand "
                "for the bounds)"
            )
        own = (self.crs, self.bounds, self.resolution)
        if self.preset is not None and any(value is not None for value in own):
            raise ValueError("give either preset, or crs, bounds and resolution, not both")
        return self


class CubeTable(Table):
    """The covariates."""

    path: str = Field(description="folder of the cube, from where you run unless absolute")
    spec: str | None = Field(
        None,
        description="cube TOML beside the recipe, or a built-in one; the cube is built from it if "
        "it is not there",
    )


class PathsTable(Table):
    """Where files are looked for."""

    data: str = Field(
        ".", description="folder that profile files start from, beside the recipe unless absolute"
    )


class ProfileFileTable(Table):
    """A file of soil layers."""

    path: str = Field(description="CSV, TSV, GeoPackage or Parquet; a folder for WoSIS 2023")
    format: Literal["auto", "csv", "wosis2023", "wosis", "gpkg", "parquet"] = Field(
        "auto", description="told by the file's name and columns if auto"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="our column names to the file's, where they differ"
    )
    units: dict[str, str] = Field(
        default_factory=dict, description='units of columns, such as { soc = "g/kg" }'
    )
    source: str | None = Field(None, description="name of the source, if no column holds it")
    layer: str | None = Field(None, description="layer of a GeoPackage")
    assume_units: bool = Field(False, description="trust the declared units against the values")
    licence: str = Field("", description="licence of the data, carried into every product")
    citation: str = Field("", description="how to cite the data")


class ProfilesTable(Table):
    """The soil profiles and the rules they are checked by."""

    files: tuple[ProfileFileTable, ...] = Field(
        min_length=1, description="files; where profiles repeat, earlier sources win"
    )
    qa: dict[str, Any] = Field(
        default_factory=dict, description="rules of quality assurance that differ from the defaults"
    )
    outside_years: Literal["nearest", "drop"] = Field(
        "nearest",
        description="layers of years that a yearly covariate lacks: its nearest, or drop",
    )
    undated: Literal["climatology", "drop"] = Field(
        "climatology",
        description="undated layers: yearly covariates averaged over years, or drop; maps of "
        "several years leave them out in any case",
    )
    harmonise: Literal["none", "spline", "overlap"] = Field(
        "none",
        description="turn layers into the depths of [map] before anything is learned: none, the "
        "mass-preserving spline, or overlap (means weighted by thickness); a depth counts where "
        "half of it or more was sampled",
    )
    density_of: Literal["fine_earth", "whole_soil", "fine_earth_by_soil"] = Field(
        "fine_earth",
        description="what bulk density is the mass of: fine earth by its own volume; the whole "
        "soil, stones and all, by that of the soil; or fine earth by the volume of the soil. "
        "Stocks would else count stones twice",
    )
    bulk_density: Literal[
        "measured", "choose", "saini", "drew", "jeffrey", "grigal", "adams", "honeysett"
    ] = Field(
        "measured",
        description="layers without bulk density: leave them so; choose what tells it best on "
        "these profiles; or a pedotransfer function as published",
    )
    decluster_deg: float | None = Field(
        None, gt=0, le=30, description="weight profiles down where many share a cell this wide"
    )


class IndependentTable(Table):
    """Profiles of another survey, predicted at exactly the intervals they were sampled at."""

    files: tuple[ProfileFileTable, ...] = Field(
        min_length=1, description="files; checked by the rules of [profiles.qa]"
    )
    shared: Literal["remove", "refuse"] = Field(
        "remove",
        description="profiles that are among those learned from, by name or place: leave them "
        "out, or stop",
    )
    distance_deg: float = Field(
        0.01, ge=0, le=5, description="degrees of longitude and latitude that count as one place"
    )


class CompareTable(Table):
    """Another model under the same folds."""

    name: str = Field(min_length=1, description="what it is called in tables")
    model: dict[str, Any] = Field(
        description="what differs from [model]; with another kind a whole model, whose covariates "
        "are those of [model] unless given"
    )


class AssessTable(Table):
    """How the map is judged."""

    enabled: bool = Field(True, description="cross-validate before mapping")
    folds: int = Field(5, ge=2, le=20, description="folds of each split")
    block_deg: float = Field(5.0, gt=0, le=45, description="side of spatial blocks, degrees")
    splits: tuple[Literal["block", "profile", "random", "source", "knndm"], ...] = Field(
        ("block", "profile", "random"),
        description="splits shown side by side; source leaves one source out, knndm makes folds as "
        "far from the others as the map's cells are from the profiles",
    )
    bootstrap: int = Field(1000, ge=10, le=100_000, description="replicates over blocks")
    koeppen_legend: Literal["beck-2018", "alphabetical-32"] = Field(
        "beck-2018",
        description="how the cube variable koeppen, if there is one, numbers classes",
    )
    extra_block_deg: tuple[Annotated[float, Field(gt=0, le=45)], ...] = Field(
        (), description="further block sizes to split by, degrees"
    )
    trees: int | None = Field(None, ge=1, description="trees in cross-validation, if not as mapped")
    years_within_sources: Literal["refuse", "warn"] = Field(
        "refuse",
        description="what to do with maps of several years if years and sources cannot be told "
        "apart in the profiles",
    )
    importance: bool = Field(
        True,
        description="what forests and boosted trees use their covariates for, asked of rows left "
        "out",
    )
    compare: tuple[CompareTable, ...] = Field(
        (), description="models trained and judged beside, under the block split"
    )


class ApplicabilityTable(Table):
    """Where the map holds: its area of applicability (Meyer & Pebesma 2021).

    The map gets a layer dissimilarity: how unlike a cell's covariates are those of the nearest
    training place, over a threshold learned between spatial blocks; cells above 1 are outside.
    """

    importance: Literal["model", "equal"] = Field(
        "model", description="covariates weigh by the model's importance of each, or all alike"
    )
    folds: int = Field(
        5, ge=2, le=20, description="folds of spatial blocks between which training places differ"
    )
    block_deg: float = Field(5.0, gt=0, le=45, description="side of these blocks, degrees")


class ProductsTable(Table):
    """What is made from the map."""

    cog: bool = Field(
        True, description="a GeoTIFF for each depth and statistic, and a STAC catalogue"
    )
    pyramid: bool = Field(False, description="coarser levels beside the map, for web viewers")
    report: bool = Field(True, description="one HTML file with maps, validation and sources")
    false_discovery: float = Field(
        0.1, gt=0, lt=1, description="share of cells marked as changed that may be so by chance"
    )
    procedure: Literal["bh", "by"] = Field(
        "bh", description="Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence of errors"
    )


class Recipe(Table):
    """A map to make."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="short name, for folders")
    title: str = Field(description="shown on the report and in metadata")
    banner: str = Field("", description="written on every picture, such as a warning")
    virtual: bool = Field(False, description="the soil is invented; said in every file")
    licence: str = Field("", description="licence of the map you make")
    seed: int = Field(0, ge=0, description="of everything random")
    paths: PathsTable = Field(PathsTable(), description="where files are looked for")
    grid: GridTable = Field(description="where the map lies")
    cube: CubeTable = Field(description="the covariates")
    profiles: ProfilesTable | None = Field(
        None, description="the soil profiles; left out where the model learns from none"
    )
    biome: BiomeTable | None = Field(
        None, description="the biome that is studied; profiles elsewhere are left out"
    )
    model: ModelTable = Field(description="what learns")
    map: MapTable = Field(MapTable(), description="what is mapped")
    applicability: ApplicabilityTable | None = Field(
        None, description="maps where the model holds, by covariates like those it learned from"
    )
    assess: AssessTable = Field(AssessTable(), description="how it is judged")
    whole_profile: WholeProfileTable | None = Field(
        None, description="how skill falls with depth, and what goes with carbon at each depth"
    )
    independent: IndependentTable | None = Field(
        None,
        description="profiles of another survey, predicted at the intervals they were sampled at",
    )
    regions: tuple[RegionTable, ...] = Field(
        (), description="regions that a model of the world is fine-tuned to, each with its own map"
    )
    cluster: ClusterTable = Field(ClusterTable(), description="where it computes")
    products: ProductsTable = Field(ProductsTable(), description="what is made from it")

    @model_validator(mode="after")
    def _one_layer(self) -> Recipe:
        depths = self.map.depths
        one = len(depths) == 1 and depths[0][0] == 0
        if isinstance(self.model, RothCTable) and not one:
            raise ValueError(
                "rothc maps the one layer that the initial stock is for: give map.depths such as "
                "[[0, 30]]"
            )
        if isinstance(self.model, PomlTable) and not one:
            raise ValueError(
                "poml maps the stock of one layer from the surface down: give map.depths such as "
                "[[0, 20]]"
            )
        return self

    @model_validator(mode="after")
    def _fine_tunable(self) -> Recipe:
        names = [region.name for region in self.regions]
        if len(set(names)) < len(names):
            raise ValueError(f"regions: each needs a name of its own, found {', '.join(names)}")
        whole = isinstance(self.model, GsoilcpmTable) and self.model.start is None
        if self.regions and not whole:
            raise ValueError(
                "regions: only a model of the world is fine-tuned to them: set model.kind = "
                '"gsoilcpm" with groups, or leave [[regions]] out'
            )
        return self

    @model_validator(mode="after")
    def _whole_sites(self) -> Recipe:
        told = "splits" in self.assess.model_fields_set
        if isinstance(self.model, PomlTable) and told and "random" in self.assess.splits:
            raise ValueError(
                "poml learns from whole sites, whose simulated years would reach training if rows "
                'were split: leave "random" out of assess.splits'
            )
        return self

    @model_validator(mode="after")
    def _whole_profiles(self) -> Recipe:
        if not isinstance(self.model, BetaTable):
            return self
        if self.profiles is None or self.profiles.harmonise == "none":
            raise ValueError(
                "beta is fitted to layers of 20 cm that a curve through each profile gives: set "
                'profiles.harmonise = "spline"'
            )
        if "splits" in self.assess.model_fields_set and "random" in self.assess.splits:
            raise ValueError(
                "beta learns from whole profiles, which rows split at random would cut: leave "
                '"random" out of assess.splits'
            )
        return self

    @model_validator(mode="after")
    def _own_interval(self) -> Recipe:
        if isinstance(self.model, RothCTable) and "quantiles" in self.map.model_fields_set:
            raise ValueError(
                "rothc maps the 90 % interval of its ensemble, and no other quantiles: leave "
                "map.quantiles out, and give model.ensemble.members"
            )
        if isinstance(self.model, PomlTable) and "quantiles" in self.map.model_fields_set:
            raise ValueError("poml maps the 90 % interval alone: leave map.quantiles out")
        return self

    @model_validator(mode="after")
    def _row_model(self) -> Recipe:
        if self.applicability and isinstance(self.model, (RothCTable, PomlTable)):
            raise ValueError(
                f"applicability: {self.model.kind} does not predict rows of covariates alone, so "
                "that no area of applicability can be learned: leave [applicability] out"
            )
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Recipe:
        names = [other.name for other in self.assess.compare]
        for name in names:
            if names.count(name) > 1 or name in ("full", "depth_only"):
                raise ValueError(f'assess.compare: "{name}" is taken; give each a name of its own')
        if names and "block" not in self.assess.splits:
            raise ValueError(
                'assess.compare: models are compared under the block split: add "block" to '
                "assess.splits"
            )
        self.compared()
        return self

    def compared(self) -> dict[str, ModelTable]:
        """Return the models that stand beside, by name."""
        found = {}
        for other in self.assess.compare:
            try:
                found[other.name] = other_model(self.model, other.model)
            except ValueError as error:
                raise ValueError(f'assess.compare "{other.name}": {error}') from error
            if found[other.name] in (self.model, *list(found.values())[:-1]):
                raise ValueError(f'assess.compare "{other.name}": that model is there already')
        return found

    @property
    def splits(self) -> tuple[str, ...]:
        """How rows are split in cross-validation: by whole sites where the model needs them."""
        whole = isinstance(self.model, (BetaTable, PomlTable))
        return tuple(s for s in self.assess.splits if not (whole and s == "random"))

    @property
    def years(self) -> tuple[int, ...]:
        """The years that are mapped."""
        return self.map.years or (self.map.year,)
