"""Products for other programs: a Cloud Optimized GeoTIFF for each layer, as SoilGrids names them.

SoilGrids stores integers (``soc`` in dg/kg); the scale written beside them lets GDAL, QGIS and
xarray show g/kg. Each file is streamed from the map by blocks and takes its name only when whole.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from ..errors import RunError
from ..grid import Grid
from ..progress import QUIET, Reporter
from ..status import Status, flag_attributes
from ..store import write_atomically
from .layers import Block, Layer, blocks, layers, map_grid, read_block, read_status, sources_of

COG_BLOCK = 512
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
    Status.NOT_COMPUTED: (250, 250, 250),
}


@dataclass(frozen=True)
class Packing:
    """How values become stored numbers: ``value = stored * scale + offset``.

    Parameters
    ----------
    name
        Quantity in the product's name (``ocs`` for a stock of 0-30 cm, as SoilGrids calls it).
    dtype, nodata, scale, offset
        Of the stored band.
    units
        Of ``stored * scale + offset``.
    stored_units
        Of the integer itself, in words people use: ``dg/kg``.
    """

    name: str
    dtype: Literal["int16", "uint8", "float32"]
    nodata: float
    scale: float
    offset: float
    units: str
    stored_units: str


@dataclass(frozen=True)
class Product:
    """One written file."""

    name: str
    path: Path
    packing: Packing
    title: str
    layer: Layer | None
    size: int


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
    ds: xr.Dataset, folder: Path, *, reporter: Reporter = QUIET, block: int = READ_BLOCK
) -> list[Product]:
    """Write every layer of a map, and its status, as Cloud Optimized GeoTIFFs.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    folder
        Where the files go; a file that exists is replaced when its successor is whole.
    block
        Cells along a side of what is read at once; memory is a few times ``4 * block**2`` bytes.

    Returns
    -------
    list of Product
        In the order of :func:`edaphos.engine.products.layers.layers`, the status last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    grid, common = map_grid(ds), file_tags(ds)
    todo = layers(ds)
    written = []
    with reporter.task("writing COGs", len(todo) + 1) as progress:
        for layer in todo:
            written.append(_export_layer(ds, layer, grid, common, folder, block))
            progress.advance(note=layer.name)
        if "status" in ds:
            written.append(_export_status(ds, grid, common, folder, block))
        progress.advance()
    return written


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


def _export_layer(
    ds: xr.Dataset, layer: Layer, grid: Grid, common: dict[str, str], folder: Path, block: int
) -> Product:
    packing = packing_of(layer)
    name = layer.name.replace(layer.quantity, packing.name, 1)
    banner = common.get("banner", "")
    title = f"{layer.long_name}, {layer.depth_label.replace('cm', ' cm')}"
    band = _Band(
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
    headline = " – ".join(part for part in (common.get("title", ""), title, banner) if part)
    path = folder / f"{name}.tif"
    write_cog(
        lambda where: pack(read_block(ds, layer, where), packing, name),
        path,
        grid,
        packing,
        band,
        {**common, "TIFFTAG_IMAGEDESCRIPTION": headline},
        block,
    )
    return Product(name, path, packing, title, layer, path.stat().st_size)


def _export_status(
    ds: xr.Dataset, grid: Grid, common: dict[str, str], folder: Path, block: int
) -> Product:
    packing = Packing("status", "uint8", int(Status.NOT_COMPUTED), 1.0, 0.0, "1", "class")
    flags = flag_attributes()
    values = " ".join(str(int(s)) for s in Status)
    band = _Band(
        description="why a cell has a value or none",
        tags={"flag_values": values, "flag_meanings": str(flags["flag_meanings"])},
        colours={int(s): (*STATUS_COLOURS[s], 255) for s in Status},
        categories={int(s): s.words for s in Status},
    )
    path = folder / "status.tif"
    headline = " – ".join(p for p in (common.get("title", ""), "status", common.get("banner")) if p)
    write_cog(
        lambda where: read_status(ds, where),
        path,
        grid,
        packing,
        band,
        {**common, "TIFFTAG_IMAGEDESCRIPTION": headline},
        block,
    )
    return Product("status", path, packing, "Status of each cell", None, path.stat().st_size)


@dataclass(frozen=True)
class _Band:
    description: str
    tags: dict[str, str]
    colours: dict[int, tuple[int, int, int, int]] | None = None
    categories: dict[int, str] | None = None


def write_cog(
    read: Callable[[Block], NDArray[Any]],
    path: Path,
    grid: Grid,
    packing: Packing,
    band: _Band,
    tags: dict[str, str],
    block: int = READ_BLOCK,
) -> None:
    """Write one COG from blocks of stored numbers; `path` appears only when it is whole.

    The blocks go to a tiled temporary GeoTIFF, which GDAL's COG driver then rewrites with
    overviews (area average of the values; nearest for classes) ahead of the data.
    """
    token = uuid.uuid4().hex
    draft = path.with_name(f".{path.name}.{token}.draft.partial")
    final = path.with_name(f".{path.name}.{token}.partial")
    try:
        _write_draft(read, draft, grid, packing, band, tags, block)
        rasterio.shutil.copy(
            draft,
            final,
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=6,
            PREDICTOR="YES",
            BLOCKSIZE=COG_BLOCK,
            BIGTIFF="IF_SAFER",
            OVERVIEWS="AUTO",
            RESAMPLING="NEAREST" if band.colours else "AVERAGE",
        )
        if band.categories:
            _write_categories(path, band.categories)
        final.replace(path)
    finally:
        for leftover in (draft, final, *path.parent.glob(f".{path.name}.{token}*.aux.xml")):
            leftover.unlink(missing_ok=True)


def _write_draft(
    read: Callable[[Block], NDArray[Any]],
    draft: Path,
    grid: Grid,
    packing: Packing,
    band: _Band,
    tags: dict[str, str],
    block: int,
) -> None:
    height, width = grid.shape
    with rasterio.open(
        draft,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=1,
        dtype=packing.dtype,
        nodata=packing.nodata,
        crs=rasterio.crs.CRS.from_wkt(grid.geobox.crs.to_wkt()),
        transform=grid.geobox.affine,
        tiled=True,
        blockxsize=COG_BLOCK,
        blockysize=COG_BLOCK,
        BIGTIFF="IF_SAFER",
        SPARSE_OK=True,
    ) as target:
        target.update_tags(**tags)
        target.update_tags(1, **band.tags)
        target.set_band_description(1, band.description)
        target.update_tags(AREA_OR_POINT="Area")
        if band.colours:
            target.write_colormap(1, band.colours)
            target.colorinterp = [ColorInterp.palette]
        else:
            target.scales, target.offsets = (packing.scale,), (packing.offset,)
            target.units = (packing.units,)
        for rows, cols in blocks(grid.shape, block):
            window = RasterWindow.from_slices(rows, cols)
            target.write(read((rows, cols)), 1, window=window)


def _write_categories(path: Path, categories: dict[int, str]) -> None:
    """Write the class names where GDAL and QGIS look for them: a ``.aux.xml`` beside the file."""
    names = "".join(
        f"      <Category>{escape(categories.get(code, ''))}</Category>\n"
        for code in range(max(categories) + 1)
    )
    text = (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{names}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
    write_atomically(path.with_name(f"{path.name}.aux.xml"), text)
