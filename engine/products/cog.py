"""Products for other programs: a Cloud Optimized GeoTIFF for each layer, as SoilGrids names them.

SoilGrids stores integers (``soc`` in dg/kg); the scale written beside them lets GDAL, QGIS and
xarray show g/kg. Each file is streamed from the map by blocks and takes its name only when whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import RunError
from ..grid import Grid
from ..place import Place, S3Path
from ..progress import QUIET, Reporter
from ..status import Status, flag_attributes
from ..store import write_atomically
from .cog_blocks import WHOLE_CELLS, Part, Tiling, tiling
from .cog_disk import check_disk, deliver, drafts, temporary_bytes
from .cog_file import Band, Blocks, Packing, category_text, write_cog
from .cog_record import NO_DATA, Exported
from .cog_vrt import coarse_blocks, coarse_grid, vrt_text
from .layers import Block, Layer, layers, map_grid, read_block, read_status, sources_of

READ_BLOCK = 2048

#: Colours of the status layer, red, green, blue.
STATUS_COLOURS: dict[Status, tuple[int, int, int]] = {
    Status.SEA: (221, 231, 238),
    Status.SOIL: (183, 159, 120),
    Status.WATER: (140, 180, 210),
    Status.ICE: (240, 246, 250),
    Status.URBAN: (178, 80, 80),
    Status.BARE: (214, 204, 190),
    Status.ORGANIC: (74, 56, 40),
    Status.INVALID_INPUT: (120, 120, 124),
    Status.IMPUTED_INPUT: (208, 172, 88),
    Status.OUTSIDE_APPLICABILITY: (150, 110, 160),
    Status.LIMITED: (122, 84, 130),
    Status.OUTSIDE_BOUNDARY: (232, 232, 228),
    Status.ORGANIC_OUTSIDE: (52, 40, 30),
    Status.WETLAND: (92, 140, 132),
    Status.FROZEN: (188, 206, 226),
    Status.INVALID_CLIMATE: (144, 118, 132),
    Status.INVALID_CLAY: (158, 112, 92),
    Status.INVALID_STOCK: (98, 98, 120),
    Status.NO_EQUILIBRIUM: (196, 132, 164),
    Status.MANGROVE: (56, 112, 88),
    Status.PADDY: (140, 168, 84),
    Status.INPUT_ABOVE_NPP: (214, 178, 94),
    Status.NO_ECOSYSTEM: (226, 218, 204),
    Status.OUTSIDE_BIOME: (222, 222, 214),
    Status.NOT_COMPUTED: (250, 250, 250),
}


@dataclass(frozen=True)
class ProductPart:
    """One file of a product that is too large for one."""

    part: Part
    path: Place
    size: int


@dataclass(frozen=True)
class Product:
    """One layer as written: a COG, or a virtual raster over the COGs that are its parts."""

    name: str
    path: Place
    packing: Packing
    title: str
    layer: Layer | None
    size: int
    parts: tuple[ProductPart, ...] = ()
    classes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassLayer:
    """A layer of classes that is made from a map, written beside the map's own layers.

    Parameters
    ----------
    layer
        Its depth, year and name.
    classes
        Names of the codes, from 0 on.
    colours
        Red, green, blue of each code.
    nodata
        Code of cells without a class.
    tags
        Of the band.
    read
        Returns the codes of a block, uint8.
    """

    layer: Layer
    classes: Mapping[int, str]
    colours: Mapping[int, tuple[int, int, int]]
    nodata: int
    tags: Mapping[str, str]
    read: Callable[[Block], NDArray[np.uint8]]


def packing_of(layer: Layer) -> Packing:
    """Return how a layer is stored: SoilGrids' integers where it has the property, else float32.

    ``soc``: int16, dg/kg, so up to 3,276 g/kg fit, far above the 655 g/kg a map can hold.
    ``stock`` of 0-30 cm: int16, t/ha, as SoilGrids' ``ocs``; other stocks would lose their
    decimals in t/ha and stay float32.
    """
    if layer.quantity == "soc" and layer.units == "g kg-1":
        return Packing("soc", "int16", -32768, 0.1, 0.0, layer.units, "dg/kg")
    if layer.quantity == "stock" and layer.units == "kg m-2" and layer.depth == (0.0, 30.0):
        return Packing("ocs", "int16", -32768, 0.1, 0.0, layer.units, "t/ha")
    return Packing(layer.quantity, "float32", float("nan"), 1.0, 0.0, layer.units, layer.units)


def pack(values: NDArray[np.float32], packing: Packing, name: str) -> NDArray[Any]:
    """Return stored numbers for `values`; NaN becomes nodata.

    Raises
    ------
    RunError
        If a value does not fit: nothing is clipped or wrapped.
    """
    if packing.dtype == "float32":
        return values.astype(np.float32)
    stored = np.rint((values.astype(np.float64) - packing.offset) / packing.scale)
    low, high = np.iinfo(packing.dtype).min + 1, np.iinfo(packing.dtype).max
    outside = (stored < low) | (stored > high)
    if outside.any():
        worst = float(values[outside].max())
        raise RunError(
            f"{name}: {int(outside.sum())} values, such as {worst:g} {packing.units}, do not fit "
            f"{packing.dtype} in {packing.stored_units} ({low} to {high}); "
            "check the model, or declare the output with the encoding float"
        )
    return np.where(np.isnan(stored), packing.nodata, stored).astype(packing.dtype)


def export_cogs(
    ds: xr.Dataset,
    folder: Place,
    *,
    reporter: Reporter = QUIET,
    block: int = READ_BLOCK,
    whole_cells: int = WHOLE_CELLS,
    state: str = "",
    more: Sequence[ClassLayer] = (),
) -> list[Product]:
    """Write every layer of a map, and its status, as Cloud Optimized GeoTIFFs.

    A map of more than `whole_cells` cells becomes, for each layer, a COG for each block of 10
    degrees that has data (``soc_0-5cm_mean/soc_0-5cm_mean_003-017.tif``), a virtual raster over
    them (``soc_0-5cm_mean.vrt``) and a coarse file for its overviews (``.vrt.ovr``).

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    folder
        Where the files go; a file that exists is replaced when its successor is whole.
    block
        Cells along a side of what is read at once; memory is a few times ``4 * block**2`` bytes.
    whole_cells
        As many cells one file may have.
    state
        Tells the map's state, as letters and digits: files that an earlier export of the same
        state finished are kept. Empty: all are written.
    more
        Layers of classes made from the map.

    Returns
    -------
    list of Product
        In the order of :func:`edaphos.engine.products.layers.layers`, then `more`, the status last.

    Raises
    ------
    InputError
        The disk has no room for the drafts (see
        :func:`edaphos.engine.products.cog_disk.temporary_bytes`).
    RunError
        A value does not fit its encoding.
    """
    if not isinstance(folder, S3Path):
        folder.mkdir(parents=True, exist_ok=True)
    grid, common, todo = map_grid(ds), file_tags(ds), layers(ds)
    parts = tiling(grid, whole_cells=whole_cells)
    sheets = [_layer_sheet(ds, layer, common) for layer in todo]
    sheets += [_class_sheet(classes, common) for classes in more]
    if "status" in ds:
        sheets.append(_status_sheet(ds, common))
    with drafts(folder) as workshop:
        check_disk(workshop, temporary_bytes(grid, whole_cells))
        export = _Export(folder, workshop, grid, parts, block, Exported(folder, state))
        with reporter.task("writing COGs", len(sheets) * len(parts)) as progress:
            return [export.product(sheet, progress.advance) for sheet in sheets]


def file_tags(ds: xr.Dataset) -> dict[str, str]:
    """Return the TIFF tags every product of a map carries."""
    attrs = {k: str(v) for k, v in ds.attrs.items()}
    banner = attrs.get("banner", "")
    tags = {
        "TIFFTAG_SOFTWARE": f"edaphos {attrs.get('edaphos_version', '')}".strip(),
        "TIFFTAG_COPYRIGHT": attrs.get("license", ""),
        "banner": banner,
        "virtual": attrs.get("virtual", "no"),
        "sources": json.dumps(sources_of(ds), ensure_ascii=False),
        "complete": "yes" if ds.attrs.get("complete", True) else "no",
    }
    for key in (
        "title",
        "institution",
        "license",
        "references",
        "history",
        "nominal_resolution",
        "covariate_resolution",
        "summary",
        "method",
        "support",
        "scenario",
    ):
        tags[key] = attrs.get(key, "")
    return {key: value for key, value in tags.items() if value}


@dataclass(frozen=True)
class _Sheet:
    """A layer as it is to be written."""

    name: str
    title: str
    layer: Layer | None
    packing: Packing
    band: Band
    tags: dict[str, str]
    read: Callable[[Block], NDArray[Any]]


def _layer_sheet(ds: xr.Dataset, layer: Layer, common: dict[str, str]) -> _Sheet:
    packing = packing_of(layer)
    name = layer.name.replace(layer.quantity, packing.name, 1)
    banner = common.get("banner", "")
    title = f"{layer.long_name}, {layer.depth_label.replace('cm', ' cm')}"
    band = Band(
        description=f"{title} [{layer.units}]" + (f" ({banner})" if banner else ""),
        tags={
            "long_name": layer.long_name,
            "statistic": layer.statistic,
            "depth_top_cm": f"{layer.depth[0]:g}",
            "depth_bottom_cm": f"{layer.depth[1]:g}",
            "year": str(layer.year),
            "stored_units": packing.stored_units,
        },
    )

    def read(where: Block) -> NDArray[Any]:
        return pack(read_block(ds, layer, where), packing, name)

    return _Sheet(name, title, layer, packing, band, _headed(common, title), read)


def _class_sheet(made: ClassLayer, common: dict[str, str]) -> _Sheet:
    layer = made.layer
    packing = Packing(layer.quantity, "uint8", made.nodata, 1.0, 0.0, "1", "class")
    title = f"{layer.long_name}, {layer.depth_label.replace('cm', ' cm')}"
    band = Band(
        description=title,
        tags={
            "long_name": layer.long_name,
            "depth_top_cm": f"{layer.depth[0]:g}",
            "depth_bottom_cm": f"{layer.depth[1]:g}",
            "year": str(layer.year),
            "flag_values": " ".join(str(code) for code in made.classes),
            "flag_meanings": " ".join(name.replace(" ", "_") for name in made.classes.values()),
            **made.tags,
        },
        colours={code: (*rgb, 255) for code, rgb in made.colours.items()},
        categories=dict(made.classes),
    )
    return _Sheet(layer.name, title, layer, packing, band, _headed(common, title), made.read)


def _status_sheet(ds: xr.Dataset, common: dict[str, str]) -> _Sheet:
    packing = Packing("status", "uint8", int(Status.NOT_COMPUTED), 1.0, 0.0, "1", "class")
    values = " ".join(str(int(s)) for s in Status)
    band = Band(
        description="why a cell has a value or none",
        tags={"flag_values": values, "flag_meanings": str(flag_attributes()["flag_meanings"])},
        colours={int(s): (*STATUS_COLOURS[s], 255) for s in Status},
        categories={int(s): s.words for s in Status},
    )

    def read(where: Block) -> NDArray[Any]:
        return read_status(ds, where)

    tags = _headed(common, "status")
    return _Sheet("status", "Status of each cell", None, packing, band, tags, read)


def _headed(common: dict[str, str], title: str) -> dict[str, str]:
    parts = (common.get("title", ""), title, common.get("banner", ""))
    return {**common, "TIFFTAG_IMAGEDESCRIPTION": " – ".join(part for part in parts if part)}


@dataclass(frozen=True)
class _Export:
    """Writes the files of an export that are not there yet, each through a draft."""

    folder: Place
    workshop: Path
    grid: Grid
    parts: Tiling
    block: int
    done: Exported

    def product(self, sheet: _Sheet, advance: Callable[..., None]) -> Product:
        """Write what is missing of a layer."""
        if len(self.parts) == 1:
            size = self._cog(f"{sheet.name}.tif", self.parts[0], sheet)
            if sheet.band.categories:
                text = category_text(sheet.band.categories)
                write_atomically(self.folder / f"{sheet.name}.tif.aux.xml", text)
            advance(note=sheet.name)
            path = self.folder / f"{sheet.name}.tif"
            return self._made(sheet, path, size)
        written: dict[Part, str] = {}
        sizes: dict[Part, int] = {}
        for part in self.parts:
            key = f"{sheet.name}/{sheet.name}_{part.name}.tif"
            sizes[part] = self._cog(key, part, sheet, always=False)
            if sizes[part]:
                written[part] = key
            advance(note=f"{sheet.name} {part.name}")
        self._coarse(f"{sheet.name}.vrt.ovr", sheet)
        # the last: a virtual raster that is there has all its files
        text = vrt_text(written, self.grid, sheet.packing, sheet.band, sheet.tags)
        path = self.folder / f"{sheet.name}.vrt"
        write_atomically(path, text)
        files = tuple(ProductPart(p, self.folder / key, sizes[p]) for p, key in written.items())
        size = len(text.encode())
        return self._made(sheet, path, size, files)

    def _made(
        self, sheet: _Sheet, path: Place, size: int, parts: tuple[ProductPart, ...] = ()
    ) -> Product:
        classes = sheet.band.categories or {}
        return Product(
            sheet.name, path, sheet.packing, sheet.title, sheet.layer, size, parts, classes
        )

    def _cog(self, key: str, part: Part, sheet: _Sheet, *, always: bool = True) -> int:
        def blocks() -> Iterator[tuple[Block, NDArray[Any]]]:
            for rows, cols in part.blocks(self.block):
                yield (
                    (_moved(rows, part.row0), _moved(cols, part.col0)),
                    sheet.read((rows, cols)),
                )

        return self._file(key, blocks(), part.grid(self.grid), sheet, sheet.tags, always=always)

    def _coarse(self, key: str, sheet: _Sheet) -> None:
        found = coarse_blocks(sheet.read, self.grid, self.parts, sheet.packing, sheet.band)
        self._file(key, found, coarse_grid(self.grid, self.parts), sheet, {}, always=True)

    def _file(
        self, key: str, found: Blocks, grid: Grid, sheet: _Sheet, tags: dict[str, str], always: bool
    ) -> int:
        held = self.done.size(key)
        if held is not None:
            return held
        draft = self.workshop / key.rpartition("/")[2]
        if write_cog(found, draft, grid, sheet.packing, sheet.band, tags, always=always):
            size = deliver(draft, self.folder / key)
        else:
            (self.folder / key).unlink(missing_ok=True)
            size = NO_DATA
        self.done.note(key, size)
        return size


def _moved(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)
