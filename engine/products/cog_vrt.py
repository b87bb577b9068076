"""A map of many files as one layer: a GDAL virtual raster, and a coarse file to zoom out with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..grid import Grid
from .cog_blocks import Part, Tiling
from .cog_file import COG_BLOCK, Band, Packing, category_names
from .layers import Block, blocks

_TYPES = {"int16": "Int16", "uint8": "Byte", "float32": "Float32"}
#: Cells of the map along a side that are read at once.
_READ = 2048


def vrt_text(
    sources: Mapping[Part, str], grid: Grid, packing: Packing, band: Band, tags: Mapping[str, str]
) -> str:
    """Return a virtual raster that shows files as one layer of `grid`.

    Parameters
    ----------
    sources
        The path of each part, relative to the virtual raster; where there is no part, there is no
        data.
    grid, packing, band, tags
        Of the layer, as for :func:`edaphos.engine.products.cog_file.write_cog`.
    """
    kind, nodata = _TYPES[packing.dtype], _number(packing.nodata)
    lines = [
        f'<VRTDataset rasterXSize="{grid.shape[1]}" rasterYSize="{grid.shape[0]}">',
        f'  <SRS dataAxisToSRSAxisMapping="{"2,1" if grid.is_geographic else "1,2"}">'
        f"{escape(grid.geobox.crs.to_wkt())}</SRS>",
        f"  <GeoTransform>{', '.join(repr(v) for v in grid.geobox.affine.to_gdal())}"
        "</GeoTransform>",
        *_metadata({**tags, "AREA_OR_POINT": "Area"}, "  "),
        f'  <VRTRasterBand dataType="{kind}" band="1" blockXSize="{COG_BLOCK}" '
        f'blockYSize="{COG_BLOCK}">',
        f"    <Description>{escape(band.description)}</Description>",
        *_metadata(band.tags, "    "),
        f"    <NoDataValue>{nodata}</NoDataValue>",
    ]
    if band.colours:
        lines += ["    <ColorInterp>Palette</ColorInterp>", *_colours(band.colours, packing)]
    else:
        lines += [
            f"    <UnitType>{escape(packing.units)}</UnitType>",
            f"    <Offset>{packing.offset!r}</Offset>",
            f"    <Scale>{packing.scale!r}</Scale>",
        ]
    if band.categories:
        lines.append(category_names(band.categories).rstrip("\n"))
    for part, where in sources.items():
        height, width = part.shape
        size = f'xSize="{width}" ySize="{height}"'
        lines += [
            "    <SimpleSource>",
            f'      <SourceFilename relativeToVRT="1">{escape(where)}</SourceFilename>',
            "      <SourceBand>1</SourceBand>",
            f'      <SourceProperties RasterXSize="{width}" RasterYSize="{height}" '
            f'DataType="{kind}" BlockXSize="{COG_BLOCK}" BlockYSize="{COG_BLOCK}"/>',
            f'      <SrcRect xOff="0" yOff="0" {size}/>',
            f'      <DstRect xOff="{part.col0}" yOff="{part.row0}" {size}/>',
            "    </SimpleSource>",
        ]
    return "\n".join([*lines, "  </VRTRasterBand>", "</VRTDataset>", ""])


def coarse_grid(grid: Grid, parts: Tiling) -> Grid:
    """Return the grid of the coarse file of a layer on `grid`."""
    affine = grid.geobox.affine * Affine.scale(parts.coarse_factor(grid.shape))
    box = GeoBox(parts.coarse_shape(grid.shape), affine, grid.geobox.crs)
    return Grid(box, grid.tile_size, grid.name)


def coarse_blocks(
    read: Callable[[Block], NDArray[Any]], grid: Grid, parts: Tiling, packing: Packing, band: Band
) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Yield the blocks of the coarse file of a layer, made from the map's cells.

    As a COG named as the virtual raster and ``.ovr`` it is what GDAL takes for the layer's
    overviews, so that a view of the world opens one file.

    Parameters
    ----------
    read
        Gives the stored numbers of a block of the map.
    grid, parts, packing, band
        Of the whole layer.
    """
    factor, shape = parts.coarse_factor(grid.shape), parts.coarse_shape(grid.shape)
    for rows, cols in blocks(shape, max(1, _READ // factor)):
        fine = (
            slice(rows.start * factor, min(rows.stop * factor, grid.shape[0])),
            slice(cols.start * factor, min(cols.stop * factor, grid.shape[1])),
        )
        stored = read(fine)
        if band.colours:
            yield (rows, cols), stored[::factor, ::factor]
        else:
            yield (rows, cols), coarsened(stored, packing, factor)


def coarsened(stored: NDArray[Any], packing: Packing, factor: int) -> NDArray[Any]:
    """Return the mean of the stored numbers of `factor` by `factor` cells that hold data.

    The last cells along each side may join fewer. Where there are none, nodata.
    """
    if packing.empty(stored):
        shape = (math.ceil(stored.shape[0] / factor), math.ceil(stored.shape[1] / factor))
        return np.full(shape, packing.nodata, stored.dtype)
    held = ~np.isnan(stored) if np.isnan(packing.nodata) else stored != packing.nodata
    rows, cols = (range(0, size, factor) for size in stored.shape)

    def summed(values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(np.add.reduceat(values, rows, axis=0), cols, axis=1)

    count = summed(held.astype(np.int64))
    total = summed(np.where(held, stored, 0).astype(np.float64))
    mean = total / np.maximum(count, 1)
    if packing.dtype != "float32":
        mean = np.rint(mean)
    return np.where(count > 0, mean, packing.nodata).astype(stored.dtype)


def _number(value: float) -> str:
    return "nan" if np.isnan(value) else f"{value:g}"


def _metadata(items: Mapping[str, str], indent: str) -> list[str]:
    rows = [f"{indent}  <MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in items.items()]
    return [f"{indent}<Metadata>", *rows, f"{indent}</Metadata>"]


def _colours(colours: Mapping[int, tuple[int, int, int, int]], packing: Packing) -> list[str]:
    """Return the colour table; nodata is clear, as GeoTIFFs show it."""
    rows = []
    for code in range(max(colours) + 1):
        red, green, blue, alpha = colours.get(code, (0, 0, 0, 255))
        alpha = 0 if code == packing.nodata else alpha
        rows.append(f'      <Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}"/>')
    return ["    <ColorTable>", *rows, "    </ColorTable>"]
