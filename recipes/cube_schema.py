"""The schema of a cube's TOML: its layers, what is derived from them, and the soil mask."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edaphos.engine.build.spec import ClimateSpec, CubeSpec, LayerSpec, SoilMaskSpec, TerrainSpec
from edaphos.engine.errors import InputError
from edaphos.engine.samples import feature_names

from .config import Table, read_toml

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Year = Annotated[int, Field(ge=-10_000, le=10_000)]


class PathsTable(Table):
    """Where files are."""

    data: str = Field(
        ".", description="folder that relative files start from, itself relative to this TOML"
    )


class LayerTable(Table):
    """One covariate: where it is read from, and how."""

    name: Name = Field(description="what models call it: lower case letters, digits and _")
    file: str = Field(
        "",
        description="GeoTIFF, NetCDF, Zarr or CSV raster, or package:<dataset>; {month:02d} or "
        "{year} stand for one file for each month or year",
    )
    files: dict[str, str] | None = Field(
        None, description="one file for each year or month (1 to 12), instead of file"
    )
    kind: Literal["amount", "class"] = Field(
        description="amount (bilinear, averaged) or class (nearest, most frequent)"
    )
    time: Literal["static", "monthly", "yearly"] = Field(
        "static", description="static, monthly (a climatology of 12 months) or yearly"
    )
    years: tuple[Year, ...] = Field((), description="years held, ascending, of a yearly layer")
    by_month: str = Field(
        "",
        description="dimension of months (1 to 12) of a yearly layer: it gives twelve layers, "
        "name_01 to name_12, which is how a cube holds a climate that changes",
    )
    variable: str = Field("", description="variable of a NetCDF file or Zarr store")
    band: int = Field(1, ge=1, description="band of a GeoTIFF")
    select: dict[str, float | tuple[float, ...]] = Field(
        default_factory=dict,
        description="value of each further dimension of a NetCDF or Zarr variable; of one "
        "dimension several values may be averaged, with a weight for each",
    )
    weights: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="weight of each of several values selected, such as layer thickness"
    )
    units: str = Field("", description="UDUNITS of the values, after scale and offset")
    long_name: str = Field("", description="what it is, for people")
    source: str = Field("", description="where it comes from; travels into every product")
    licence: str = Field("", description="licence of the data; travels into every product")
    citation: str = Field("", description="how to cite it; travels into every product")
    scale: float = Field(
        1.0, description="value = stored * scale + offset, for files that state no scale themselves"
    )
    offset: float = Field(0.0, description="see scale")
    per_day: bool = Field(
        False,
        description="monthly values are daily rates: multiplied by the length of each month, "
        "28.25 days for February",
    )
    at_least: float | None = Field(
        None, description="class 1 from this value on, class 0 below; for marks such as 999.9"
    )
    nodata: tuple[float, ...] = Field(
        (), description="stored values that mean missing, besides the file's own"
    )
    ignore_file_nodata: bool = Field(
        False, description="take the file's own nodata value for a real value"
    )
    valid_min: float | None = Field(None, description="smaller values are missing, and counted")
    valid_max: float | None = Field(None, description="larger values are missing, and counted")
    missing_with: str = Field(
        "",
        description="layer above, on the same grid, where this one is missing too (for files that "
        "hold 0 over the sea)",
    )
    fill_radius_deg: float = Field(
        0.0, ge=0, le=10, description="fill gaps from the nearest valid cells up to this far"
    )
    seasonal_gap: bool = Field(
        False, description="missing on purpose in some months or places; never filled"
    )
    directional: bool = Field(
        False,
        description="values depend on the points of the compass (aspect, northness, wind "
        "components): nets then learn from no mirrored or turned patches",
    )
    longitudes: Literal["", "0-360", "shifted"] = Field(
        "", description="how the file counts longitudes, where not from -180 to 180"
    )
    rows: Literal["", "south-up"] = Field(
        "", description="south-up where a raster's first row is its southernmost"
    )
    cells: Literal["", "center", "corner-lower-left", "corner-upper-left"] = Field(
        "", description="what the coordinates of a NetCDF or Zarr file label"
    )
    crs: str = Field("", description="CRS, where the file states none")
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="west, south, east, north of the outer edges, where the file errs"
    )
    swapped_axes: bool = Field(
        False, description="the file calls longitude latitude and the other way round"
    )
    crop: tuple[float, float, float, float] | None = Field(
        None,
        description="west, south, east, north: only cells whose centres lie inside are kept",
    )
    coarsen: int = Field(
        1, ge=1, le=15, description="cells of package:global-land-mask averaged along each side"
    )

    @model_validator(mode="after")
    def _consistent(self) -> LayerTable:
        if bool(self.file) == bool(self.files):
            raise ValueError("give either file or files")
        if self.seasonal_gap and self.fill_radius_deg > 0:
            raise ValueError(
                "a seasonal gap is never filled: remove seasonal_gap or fill_radius_deg"
            )
        low, high = self.valid_min, self.valid_max
        if low is not None and high is not None and low >= high:
            raise ValueError("valid_min must be below valid_max")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        self._numbers_fit()
        if self.directional and self.kind == "class":
            raise ValueError('directional is for kind = "amount"')
        if self.kind == "class" and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError("classes have no scale or offset")
        if self.time == "yearly" and not (self.years or self.files):
            raise ValueError("a yearly layer needs years, or files with a year for each")
        if self.by_month and self.time != "yearly":
            raise ValueError('by_month is for time = "yearly"')
        if self.time != "yearly" and self.years:
            raise ValueError('years is for time = "yearly"')
        if self.time == "static" and self.files:
            raise ValueError('files is for time = "monthly" or "yearly"')
        for name, box in (("bounds", self.bounds), ("crop", self.crop)):
            if box is not None and not (box[0] < box[2] and box[1] < box[3]):
                raise ValueError(f"{name} must be west < east and south < north")
        self._steps()
        return self

    def _numbers_fit(self) -> None:
        """Refuse settings of the values that have no meaning for the layer."""
        several = [value for value in self.select.values() if isinstance(value, tuple)]
        if [len(value) for value in several] != ([len(self.weights)] if self.weights else []):
            raise ValueError(
                "several values may be selected of one dimension, with as many weights"
            )
        if several and self.kind == "class":
            raise ValueError("classes are not averaged: select one value")
        if self.per_day and (self.kind, self.time) != ("amount", "monthly"):
            raise ValueError('per_day is for kind = "amount", time = "monthly"')
        if self.per_day and not self.units:
            raise ValueError("per_day changes the units of the file: state those of the totals")
        if self.at_least is not None and self.kind != "class":
            raise ValueError('at_least gives classes 0 and 1: declare kind = "class"')

    def _steps(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Return years and files in order."""
        if not self.files:
            if list(self.years) != sorted(set(self.years)):
                raise ValueError("years must be ascending, each once")
            return self.years, ()
        try:
            by_step = {int(key): file for key, file in self.files.items()}
        except ValueError:
            raise ValueError("keys of files must be years, or months from 1 to 12") from None
        if self.time == "monthly" and sorted(by_step) != list(range(1, 13)):
            raise ValueError("files must name all months from 1 to 12")
        steps = tuple(sorted(by_step))
        return (steps if self.time == "yearly" else ()), tuple(by_step[step] for step in steps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers that it gives: one, or twelve."""
        return feature_names(self.name, "monthly" if self.by_month else "yearly")

    def specs(self) -> tuple[LayerSpec, ...]:
        """Return what the engine takes."""
        years, files = self._steps()
        fields = self.model_dump(exclude={"files", "years", "select", "file", "by_month"})
        fields |= {"file": self.file or files[0], "files": files, "years": years}
        whole = LayerSpec(**fields, select=tuple(self.select.items()))
        if not self.by_month:
            return (whole,)
        return tuple(
            replace(
                whole,
                name=name,
                long_name=f"{self.long_name}, {word}".lstrip(", "),
                select=(*whole.select, (self.by_month, float(month))),
            )
            for month, (name, word) in enumerate(zip(self.names, month_name[1:], strict=True), 1)
        )


class TerrainTable(Table):
    """Terrain derivatives of an elevation layer, on its own grid."""

    kind: Literal["terrain"] = Field(description="terrain")
    elevation: Name = Field(description="name of the elevation layer, in metres")
    outputs: tuple[str, ...] = Field(
        min_length=1, description="slope, aspect_sin, aspect_cos, tpi_<radius>km"
    )
    below_sea: Literal["keep", "zero"] = Field(
        "zero", description="zero: elevations below 0 m count as 0, so that bathymetry has no say"
    )


class ClimateTable(Table):
    """Summaries of monthly temperature and rain, each on its own grid."""

    kind: Literal["climate"] = Field(description="climate")
    temperature: str = Field("", description="name of the monthly temperature layer, degC")
    rain: str = Field("", description="name of the monthly rain layer, mm")
    outputs: tuple[str, ...] = Field(
        min_length=1,
        description="temperature_mean, _seasonality, _warmest, _coldest, _range; rain_annual, "
        "_wettest, _driest, _seasonality; koeppen",
    )


Classes = tuple[Annotated[int, Field(ge=0, le=32_767)], ...]


class SoilMaskTable(Table):
    """Where soil can be: the class variable soil_mask, with the codes of the status layer."""

    land: str = Field("", description="layer with the fraction of land; sea where below 0.5")
    landcover: str = Field("", description="land cover classes")
    water: Classes = Field((), description="land cover classes that are inland water")
    ice: Classes = Field((), description="land cover classes that are snow and ice")
    urban: Classes = Field((), description="land cover classes that are built over")
    bare: Classes = Field((), description="land cover classes that are bare rock")
    exclude_south_of: float = Field(
        -90.0, ge=-90, le=90, description="land south of this latitude counts as ice"
    )

    @model_validator(mode="after")
    def _named(self) -> SoilMaskTable:
        if not (self.land or self.landcover):
            raise ValueError("name land, landcover or both")
        chosen = [code for codes in (self.water, self.ice, self.urban, self.bare) for code in codes]
        if chosen and not self.landcover:
            raise ValueError("classes are given, but no landcover layer")
        if len(chosen) != len(set(chosen)):
            raise ValueError("a land cover class is listed under two of water, ice, urban, bare")
        return self


Derived = Annotated[TerrainTable | ClimateTable, Field(discriminator="kind")]


class CubeToml(Table):
    """A covariate cube: layers at their own resolution, and what is derived from them."""

    title: str = Field("", description="what the cube is")
    paths: PathsTable = Field(
        default_factory=lambda: PathsTable(data="."), description="where files are"
    )
    layer: tuple[LayerTable, ...] = Field(min_length=1, description="the layers")
    derive: tuple[Derived, ...] = Field((), description="layers computed at build")
    soil_mask: SoilMaskTable | None = Field(None, description="where soil can be")

    @field_validator("layer")
    @classmethod
    def _names_differ(cls, layers: Sequence[LayerTable]) -> Sequence[LayerTable]:
        names = [name for layer in layers for name in layer.names]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f"two layers are called {', '.join(double)}")
        return layers


def read_cube_spec(path: Path, data: Path | None = None, *, files_needed: bool = True) -> CubeSpec:
    """Read a cube's TOML.

    Parameters
    ----------
    path
        The TOML.
    data
        Folder that relative files start from, instead of the TOML's ``[paths] data``.
    files_needed
        Refuse a data folder that does not exist.

    Raises
    ------
    InputError
        Where a key is unknown, missing or out of bounds, or the data folder does not exist.
    """
    toml = read_toml(path, CubeToml)
    base = data if data is not None else path.parent / toml.paths.data
    local = any(not layer.file.startswith("package:") for layer in toml.layer)
    if files_needed and local and not base.is_dir():
        raise InputError(
            f"{path}: paths.data: no folder {base}; correct it, or give the folder that holds the "
            "files with --data"
        )
    return CubeSpec(
        layers=tuple(spec for layer in toml.layer for spec in layer.specs()),
        terrain=tuple(
            TerrainSpec(item.elevation, item.outputs, item.below_sea)
            for item in toml.derive
            if isinstance(item, TerrainTable)
        ),
        climate=tuple(
            ClimateSpec(item.temperature, item.rain, item.outputs)
            for item in toml.derive
            if isinstance(item, ClimateTable)
        ),
        soil_mask=SoilMaskSpec(**toml.soil_mask.model_dump()) if toml.soil_mask else None,
        title=toml.title,
        base=base,
    )
