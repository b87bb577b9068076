"""``edaphos stocks``: totals and means of a finished map by country, biome or any other zone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edaphos.engine.progress import Reporter

from .console import errors, print_json
from .options import Json, Quiet, RunPlace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edaphos.engine.run import Run
    from edaphos.engine.stocks.error_range import ErrorRange
    from edaphos.engine.stocks.zones import ZoneMap

CUBE = "cube:"


def stocks(
    run: RunPlace,
    zones: Annotated[
        str,
        typer.Option(
            help="Polygons (GeoJSON, GeoPackage, shapefile), a raster of classes (GeoTIFF), or "
            "cube:VARIABLE of the run's own cube, such as cube:koeppen."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Column of the polygons that names the zones; else a usual one."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Of a GeoPackage with several.")] = None,
    legend: Annotated[
        Path | None, typer.Option(help="CSV with columns code,name: names of a raster's classes.")
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Such as stock_poml; repeatable. By default all stocks and fluxes."),
    ] = None,
    years: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Two years of the map, A B: their totals, and the change from A to B."),
    ] = None,
    density: Annotated[
        str | None,
        typer.Option(
            help="For a map of content (g/kg): bulk density of the fine earth, g/cm3, or the name "
            "of a pedotransfer function (see below)."
        ),
    ] = None,
    fragments: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="With --density: coarse fragments, share of volume."),
    ] = 0.0,
    density_sd: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --density: standard deviation of its error, g/cm3 (0.25 is usual). Content, "
            "density and fragments are then drawn together, and totals have intervals.",
        ),
    ] = None,
    fragments_sd: Annotated[
        float, typer.Option(min=0, max=0.5, help="With --density-sd: the same of --fragments.")
    ] = 0.0,
    error_range: Annotated[
        float | None,
        typer.Option(
            help="Km over which errors of the map go together (correlation exp(-d/KM)). By "
            "default estimated from the residuals of the run's validation."
        ),
    ] = None,
    nugget: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="With --error-range: share of the errors' variance without it."
        ),
    ] = 0.0,
    draws: Annotated[int, typer.Option(min=50, help="Totals drawn for an interval.")] = 400,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="CSV to write, besides the one in the run's folder."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Show the tables in the run's report, too.")
    ] = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Total a map by zones: Pg, means in kg/m2 and areas, as CSV and in the run's report.

    A cell counts in the zone that its centre lies in, with its exact area on the ellipsoid; sums
    are exact, however the map is cut, and memory is that of a block of 1024 x 1024 cells. Means
    are weighted by area. Cells in no zone are told as such.

    Intervals (90 %) come from the map's own bounds and from how far errors go together in space:
    totals are drawn, bounds are never added. Zones far larger than that distance are surer than
    their cells, smaller ones are not.

    A content in g/kg has no total without bulk density. With --density 1.3 each layer's stock is
    content x 1.3 x thickness; a pedotransfer function (drew, jeffrey, grigal, honeysett, ...)
    takes the density from the content itself. Totals without --fragments are upper bounds.
    """
    with errors():
        from edaphos.engine.map_store import MAP
        from edaphos.engine.map_view import open_map
        from edaphos.engine.products.layers import read_directly
        from edaphos.engine.run import Run
        from edaphos.engine.stocks.content import with_stocks
        from edaphos.engine.stocks.tables import write_zonal, zonal_lines
        from edaphos.engine.stocks.zonal import zonal_totals

        reporter = Reporter(quiet=quiet or as_json)
        opened = Run.open(run)
        dataset = read_directly(open_map(run), opened.path / MAP)
        if density is not None:
            dataset = with_stocks(
                dataset, density, fragments, density_sd=density_sd, fragments_sd=fragments_sd
            )
        elif fragments or density_sd is not None:
            from edaphos.engine.errors import InputError

            raise InputError(
                "--fragments and --density-sd go with --density: stocks of a map are as they are"
            )
        found = zonal_totals(
            dataset,
            _zones(opened, zones, name, layer, legend),
            variables=variable or (),
            years=years,
            reach=_reach(opened, error_range, nugget),
            draws=draws,
            reporter=reporter,
        )
        stem = zones.removeprefix(CUBE) if zones.startswith(CUBE) else Path(zones).stem
        written = write_zonal(opened.path, stem, found)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(found.table.to_csv(index=False, lineterminator="\n"))
        shown = _report(opened, reporter) if report else None
        if as_json:
            rows = found.table.astype(object).where(found.table.notna(), None)
            print_json(
                {
                    "zones": found.source,
                    "table": rows.to_dict("records"),
                    "notes": list(found.notes),
                    "csv": str(written),
                }
            )
            return
        typer.echo("\n".join([*zonal_lines(found), f"table: {out or written}"]))
        if shown:
            typer.echo(f"report: {shown}")


def _zones(
    run: Run, zones: str, name: str | None, layer: str | None, legend: Path | None
) -> ZoneMap:
    from edaphos.engine.stocks.class_zones import AnyClass, read_legend
    from edaphos.engine.stocks.zones import ZoneMap, open_zones

    if not zones.startswith(CUBE):
        return open_zones(zones, run.grid, column=name, layer=layer, legend=legend)
    from edaphos.engine.cube.cube import Cube
    from edaphos.engine.errors import InputError, did_you_mean

    from .finish import CubeZones, koeppen_legend

    variable = zones.removeprefix(CUBE)
    if not run.cube_path.exists():
        raise InputError(
            f"{run.path}: the run's cube {run.cube_path} is not there to take zones of"
        )
    cube = Cube.open(run.cube_path)
    if variable not in cube.manifest.variables:
        known = did_you_mean(variable, cube.manifest.variables)
        raise InputError(f'--zones {zones}: the cube has no variable "{variable}"; {known}')
    names: Mapping[int, str] = AnyClass()
    if legend is not None:
        names = read_legend(legend)
    elif variable == "koeppen":
        names = koeppen_legend(run)
    return ZoneMap(CubeZones(cube, run.grid, variable), names, f"{variable} of the cube")


def _reach(run: Run, length_km: float | None, nugget: float) -> ErrorRange | None:
    from edaphos.engine.assess.assessment import Assessment
    from edaphos.engine.stocks.error_range import ErrorRange, error_range
    from edaphos.engine.whole_folder import is_whole, on_disk

    if length_km is not None:
        return ErrorRange.of(length_km, nugget)
    if nugget:
        from edaphos.engine.errors import InputError

        raise InputError("--nugget goes with --error-range KM; alone it says nothing of distance")
    folder = run.path / "assessment"
    return error_range(Assessment.load(on_disk(folder))) if is_whole(folder) else None


def _report(run: Run, reporter: Reporter) -> str | None:
    if not (run.path / "report.html").is_file():
        return None
    from .finish import write_run_report
    from .truth_files import TRUTH, load_truth

    folder = Path(str(run.path)) / TRUTH
    truth = load_truth(folder) if (folder / "note.txt").exists() else None
    return str(write_run_report(run, reporter, truth))
