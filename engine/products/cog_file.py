"""One Cloud Optimized GeoTIFF, streamed from blocks of stored numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from ..grid import Grid
from .layers import Block

COG_BLOCK = 512
#: Bytes of blocks that GDAL may hold; its default is a share of the machine's memory.
CACHE_BYTES = 128 * 2**20


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

    def empty(self, stored: NDArray[Any]) -> bool:
        """Whether there is nothing but nodata among stored numbers."""
        return bool((np.isnan(stored) if np.isnan(self.nodata) else stored == self.nodata).all())


@dataclass(frozen=True)
class Band:
    """What is said of a band, and how classes look."""

    description: str
    tags: dict[str, str]
    colours: dict[int, tuple[int, int, int, int]] | None = None
    categories: dict[int, str] | None = None

    @property
    def resampling(self) -> str:
        """How overviews are made: the area's average of values; the nearest of classes."""
        return "NEAREST" if self.colours else "AVERAGE"


#: Stored numbers of a block, rows and columns counted within the file.
Blocks = Iterable[tuple[Block, NDArray[Any]]]


def write_cog(
    blocks: Blocks,
    path: Path,
    grid: Grid,
    packing: Packing,
    band: Band,
    tags: dict[str, str],
    *,
    always: bool = True,
) -> bool:
    """Write one COG from blocks of stored numbers; return whether there was anything to write.

    The blocks go to a tiled draft beside `path`, which GDAL's COG driver then rewrites with
    overviews ahead of the data. Memory is bounded by one block and GDAL's cache.

    Parameters
    ----------
    blocks
        They cover `grid`; each is dropped before the next is asked for.
    path
        In a folder for drafts: what is there after an error is no product.
    grid, packing, band, tags
        Of the file.
    always
        Whether a file is written even if all of it is nodata.
    """
    draft = path.with_name(f"{path.name}.draft")
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        try:
            found = _write_draft(blocks, draft, grid, packing, band, tags)
            if not (found or always):
                return False
            rasterio.shutil.copy(
                draft,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL=6,
                PREDICTOR="YES",
                BLOCKSIZE=COG_BLOCK,
                BIGTIFF="IF_SAFER",
                OVERVIEWS="AUTO",
                RESAMPLING=band.resampling,
            )
        finally:
            for leftover in (draft, *path.parent.glob(f"{path.name}*.aux.xml")):
                leftover.unlink(missing_ok=True)
    return True


def _write_draft(
    blocks: Blocks, draft: Path, grid: Grid, packing: Packing, band: Band, tags: dict[str, str]
) -> bool:
    height, width = grid.shape
    found = False
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
        for (rows, cols), stored in blocks:
            if packing.empty(stored):
                continue  # what is never written reads as nodata
            found = True
            target.write(stored, 1, window=RasterWindow.from_slices(rows, cols))
    return found


def category_text(categories: dict[int, str]) -> str:
    """Return class names as GDAL and QGIS find them: in a ``.aux.xml`` beside the file."""
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n'
        f"{category_names(categories)}  </PAMRasterBand>\n</PAMDataset>\n"
    )


def category_names(categories: dict[int, str]) -> str:
    """Return the XML element that names the classes from 0 on."""
    names = "".join(
        f"      <Category>{escape(categories.get(code, ''))}</Category>\n"
        for code in range(max(categories) + 1)
    )
    return f"    <CategoryNames>\n{names}    </CategoryNames>\n"
