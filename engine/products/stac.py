"""A static STAC catalogue of a map's products: a collection, an item for each year."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pystac
import xarray as xr
from pyproj import CRS, Transformer
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Sampling

from ..grid import Grid
from ..place import Place, place
from ..status import Status
from ..store import write_atomically
from .cog import Product, ProductPart
from .cog_blocks import Part
from .layers import layers, map_grid, sources_of

#: GDAL's virtual rasters have no registered media type; they are XML.
_VRT = "application/xml"
_KEYWORDS = ["soil", "soil organic carbon", "digital soil mapping", "edaphos"]


def write_stac(
    ds: xr.Dataset, products: Sequence[Product], folder: Place, *, name: str = "map"
) -> Place:
    """Write ``collection.json`` and its items below `folder`, and return the collection's path.

    There is an item for each year, with an asset for each layer. Where layers are virtual rasters,
    there is one more for each block that has data, with the block's files.

    Parameters
    ----------
    ds
        As ``open_map`` returns it; title, licence, sources and period come from it.
    products
        What :func:`edaphos.engine.products.cog.export_cogs` returned; they are linked, not moved.
    folder
        Root of the self-contained catalogue; links to products are relative to it.
    name
        Identifier of the collection.
    """
    grid = map_grid(ds)
    bounds, _ = _footprint(grid)
    years = sorted({layer.year for layer in layers(ds)})
    collection = _collection(ds, _identifier(name), bounds, years)
    for year in years:
        mine = [p for p in products if p.layer is None or p.layer.year == year]
        item_of_year = f"{collection.id}-{year}"
        collection.add_item(_item(ds, item_of_year, year, [(p, p) for p in mine], grid))
        for part, files in _by_part(mine).items():
            name_of_part = f"{item_of_year}-{part.name}"
            collection.add_item(_item(ds, name_of_part, year, files, part.grid(grid)))
    collection.normalize_hrefs(str(folder.resolve()))
    for item in collection.get_items():
        item.make_asset_hrefs_relative()
        _save(item)
    _save(collection)
    return folder / "collection.json"


def _by_part(
    products: Sequence[Product],
) -> dict[Part, list[tuple[Product, Product | ProductPart]]]:
    """Return the files of each block, with the products that they are parts of."""
    found: dict[Part, list[tuple[Product, Product | ProductPart]]] = {}
    for product in products:
        for file in product.parts:
            found.setdefault(file.part, []).append((product, file))
    return found


def _save(made: pystac.Item | pystac.Collection) -> None:
    text = json.dumps(made.to_dict(include_self_link=False), indent=1, ensure_ascii=False)
    write_atomically(place(made.get_self_href()), text + "\n")


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "map"


def _collection(
    ds: xr.Dataset, identifier: str, bounds: list[float], years: list[int]
) -> pystac.Collection:
    banner = str(ds.attrs.get("banner", ""))
    parts = [banner, _description(ds)]
    virtual = ds.attrs.get("virtual") == "yes"
    keywords = [*_KEYWORDS, *(["virtual", "synthetic data"] if virtual else [])]
    first, last = _period(years[0])[0], _period(years[-1])[1]
    collection = pystac.Collection(
        id=identifier,
        title=str(ds.attrs.get("title", identifier)),
        description="\n\n".join(part for part in parts if part),
        extent=pystac.Extent(
            pystac.SpatialExtent([bounds]), pystac.TemporalExtent([[first, last]])
        ),
        license=_licence(str(ds.attrs.get("license", ""))),
        keywords=keywords,
        providers=_providers(ds),
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    depths = sorted({layer.depth for layer in layers(ds)})
    collection.summaries.add("soil:depths_cm", [list(depth) for depth in depths])
    collection.summaries.add("soil:statistics", sorted({la.statistic for la in layers(ds)}))
    collection.extra_fields["edaphos:references"] = str(ds.attrs.get("references", ""))
    collection.extra_fields["edaphos:sources"] = sources_of(ds)
    collection.extra_fields["edaphos:virtual"] = virtual
    if ds.attrs.get("scenario"):
        collection.extra_fields["edaphos:scenario"] = str(ds.attrs["scenario"])
    collection.extra_fields["edaphos:nominal_resolution"] = str(
        ds.attrs.get("nominal_resolution", "")
    )
    collection.extra_fields["edaphos:covariate_resolution"] = str(
        ds.attrs.get("covariate_resolution", "")
    )
    return collection


def _description(ds: xr.Dataset) -> str:
    nominal = ds.attrs.get("nominal_resolution", "unknown")
    covariates = ds.attrs.get("covariate_resolution", "unknown")
    lines = [str(ds.attrs.get("title", "Soil map")) + "."]
    lines.append(f"Cells of {nominal}; covariates of {covariates}.")
    cited = [
        f"{s.get('name', 'source')} ({s.get('licence') or 'licence not stated'})"
        for s in sources_of(ds)
    ]
    if ds.attrs.get("scenario"):
        note = "Scenario runs, no hindcast or forecast. "
        lines.append(note + str(ds.attrs["scenario"]).rstrip(".") + ".")
    if cited:
        lines.append(f"Made from: {'; '.join(cited)}.")
    return " ".join(lines)


def _licence(text: str) -> str:
    """Return an SPDX-like token, or ``other`` as STAC asks for where there is none."""
    return text if re.fullmatch(r"[\w.\-]+", text) else "other"


def _providers(ds: xr.Dataset) -> list[pystac.Provider]:
    roles = pystac.ProviderRole
    maker = str(ds.attrs.get("institution", "")) or "unnamed"
    found = [pystac.Provider(name=maker, roles=[roles.PROCESSOR])]
    found += [
        pystac.Provider(
            name=str(source.get("name", "source")),
            description="; ".join(
                str(source[key]) for key in ("citation", "licence", "resolution") if source.get(key)
            )
            or None,
            roles=[roles.PRODUCER],
        )
        for source in sources_of(ds)
    ]
    return found


def _period(year: int) -> tuple[dt.datetime, dt.datetime]:
    return (
        dt.datetime(year, 1, 1, tzinfo=dt.UTC),
        dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    )


def _item(
    ds: xr.Dataset,
    identifier: str,
    year: int,
    files: Sequence[tuple[Product, Product | ProductPart]],
    grid: Grid,
) -> pystac.Item:
    start, end = _period(year)
    bounds, footprint = _footprint(grid)
    item = pystac.Item(
        id=identifier,
        geometry=footprint,
        bbox=bounds,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={
            "title": f"{ds.attrs.get('title', identifier)}, {year}",
            "edaphos:complete": bool(ds.attrs.get("complete", True)),
            "edaphos:banner": str(ds.attrs.get("banner", "")),
            **_facts(ds),
        },
    )
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    epsg = grid.crs.to_epsg()
    if epsg:
        projection.epsg = epsg
    else:
        projection.apply(wkt2=grid.crs.to_wkt(), epsg=None)
    projection.shape = list(grid.shape)
    projection.transform = [float(v) for v in grid.geobox.affine[:6]]
    RasterExtension.add_to(item)
    FileExtension.add_to(item)
    for product, file in files:
        item.add_asset(product.name, _asset(product, file, item, grid))
    return item


#: Attributes of a map that an item repeats: what a value means, for whoever finds the item alone.
_FACTS = (
    "summary",
    "method",
    "support",
    "scenario",
    "nominal_resolution",
    "covariate_resolution",
    "license",
    "references",
    "institution",
    "run",
)


def _facts(ds: xr.Dataset) -> dict[str, Any]:
    """Return what a map's attributes say of its values, its licence and its sources."""
    found: dict[str, Any] = {
        f"edaphos:{key}": str(ds.attrs[key]) for key in _FACTS if ds.attrs.get(key)
    }
    found["edaphos:sources"] = sources_of(ds)
    return found


def _asset(
    product: Product, file: Product | ProductPart, item: pystac.Item, grid: Grid
) -> pystac.Asset:
    layer, packing = product.layer, product.packing
    fields: dict[str, Any] = {}
    if layer is not None:
        fields |= {
            "soil:property": layer.quantity,
            "soil:statistic": layer.statistic,
            "soil:depth_top_cm": layer.depth[0],
            "soil:depth_bottom_cm": layer.depth[1],
            "soil:stored_units": packing.stored_units,
        }
        if layer.units == "g kg-1":
            fields["soil:basis"] = "dry mass of the fine earth (< 2 mm)"
        if product.classes:
            fields["soil:classes"] = [
                {"value": code, "name": name} for code, name in product.classes.items()
            ]
    else:
        fields["soil:classes"] = [{"value": int(s), "name": s.meaning} for s in Status]
    asset = pystac.Asset(
        href=str(file.path.resolve()),
        title=product.title,
        media_type=pystac.MediaType.COG if file.path.name.endswith(".tif") else _VRT,
        roles=["data"] if layer is not None else ["data", "data-mask"],
        extra_fields=fields,
    )
    asset.set_owner(item)
    nodata: Any = "nan" if np.isnan(packing.nodata) else packing.nodata
    band = RasterBand.create(
        nodata=nodata,
        sampling=Sampling.AREA,
        data_type=DataType(packing.dtype),
        spatial_resolution=grid.resolution[0],
        unit=packing.units,
        scale=packing.scale,
        offset=packing.offset,
    )
    RasterExtension.ext(asset).apply([band])
    FileExtension.ext(asset).size = file.size
    return asset


def _footprint(grid: Grid) -> tuple[list[float], dict[str, Any]]:
    """Return longitude-latitude bounds and polygon; the globe where the projection cannot tell."""
    height, width = grid.shape
    x0, y0 = grid.origin
    x1, y1 = x0 + width * grid.resolution[0], y0 - height * grid.resolution[1]
    if grid.is_geographic:
        west, south, east, north = x0, y1, x1, y0
    else:
        west, south, east, north = _projected_bounds(grid.crs, (x0, y1, x1, y0))
    west, east = max(west, -180.0), min(east, 180.0)
    south, north = max(south, -90.0), min(north, 90.0)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return [west, south, east, north], {"type": "Polygon", "coordinates": [ring]}


def _projected_bounds(
    crs: CRS, bounds: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Bounds in degrees of a dense net of points: an interrupted map's edges miss most of it."""
    x, y = np.meshgrid(np.linspace(bounds[0], bounds[2], 65), np.linspace(bounds[1], bounds[3], 65))
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    valid = np.isfinite(lon) & np.isfinite(lat)
    if not valid.any():
        return -180.0, -90.0, 180.0, 90.0
    lon, lat = lon[valid], lat[valid]
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())
