"""``edaphos rothc``: the RothC-26.3 soil carbon model for one site."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import errors, print_json
from .rothc_calibrate_cli import EXAMPLE, rothc_calibrate
from .rothc_options import Evaporation, EvaporationOption, check_output

rothc_app = typer.Typer(
    no_args_is_help=True, help="Run RothC-26.3 for single sites, and fit it to measured stocks."
)
rothc_app.command("calibrate", epilog=EXAMPLE)(rothc_calibrate)


class SpinUp(StrEnum):
    """How the soil comes to equilibrium."""

    official = "official"
    exact = "exact"


class Inert(StrEnum):
    """Where inert organic matter is from."""

    file = "file"
    falloon = "falloon"


@rothc_app.command("site", epilog="Example: edaphos rothc site RothC_input.dat --out results")
def rothc_site(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Input in the official layout.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the tables.")],
    plot: Annotated[bool, typer.Option("--plot", help="Draw the pools as pools.png.")] = False,
    measured: Annotated[
        Path | None,
        typer.Option(help="CSV with columns year, soc (t C/ha), drawn as points; implies --plot."),
    ] = None,
    drivers: Annotated[
        bool,
        typer.Option("--drivers", help="Also write drivers.csv: rate modifiers, moisture, CO2."),
    ] = False,
    spin_up: Annotated[
        SpinUp | None,
        typer.Option(
            help="official: repeat year 1 until its carbon changes by less than 1e-6 t/ha; "
            "exact: solve for the equilibrium. [default: official; exact with --stock]"
        ),
    ] = None,
    stock: Annotated[
        float | None,
        typer.Option(
            help="Soil organic carbon to begin with, IOM included, t C/ha: scale the carbon of "
            "year 1 so that its equilibrium is that."
        ),
    ] = None,
    inert: Annotated[
        Inert,
        typer.Option(help="With --stock, IOM is that of the file, or falloon: 0.049 stock^1.139."),
    ] = Inert.file,
    evaporation: EvaporationOption = Evaporation.pan,
    mu_max: Annotated[
        float | None,
        typer.Option(
            help="With --km: after the spin-up, rates are multiplied by mu-max BIO / (km + BIO)."
        ),
    ] = None,
    km: Annotated[float | None, typer.Option(help="t C/ha; see --mu-max.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Spin a site up and run it, as the official program does.

    FILE is a RothC_input.dat: clay, depth, IOM and the number of months, then a line for each
    month; `edaphos rothc example` prints one to begin from. The twelve months of its first year
    are repeated until the soil is at equilibrium; the others are run once.

    With --stock the run begins from a measured stock instead: plant carbon and manure of the
    first year are multiplied by one factor, keeping their course over the months, so that their
    exact equilibrium has that stock. The factor and the input it makes are printed. The carbon of
    later years is taken as it stands in FILE.

    DIR/month_results.csv and DIR/year_results.csv have the official columns: DPM, RPM, BIO, HUM,
    IOM and their sum SOC in t C/ha at the end of the month, and deltaC in per mille. The first
    row of the years is the equilibrium, its Month the months that the spin-up took (0: solved).
    """
    with errors():
        from edaphos.engine.rothc_input import read_site_input
        from edaphos.engine.rothc_site import SiteOptions, microbial, run_site, write_tables

        check_output(out)
        options = SiteOptions(
            None if spin_up is None else spin_up.value,
            evaporation.value,
            microbial(mu_max, km),
            stock,
            inert.value,
        )
        site = read_site_input(file)
        points, notes = None, []
        if measured is not None:
            from edaphos.engine.rothc_measured import read_measured

            points = read_measured(measured)
        result = run_site(site, options)
        written = write_tables(result, out, drivers=drivers)
        if plot or points is not None:
            from edaphos.engine.rothc_plot import outside, result_picture

            title = f"RothC-26.3, {file.name}"
            picture = result_picture(result, title, points)
            picture.save(out)
            written.append(out / f"{picture.name}.png")
            if points is not None:
                notes = outside(result, points)
        summary = result.summary()
        summary["notes"] += notes
        found = {**summary, "files": [str(path) for path in written]}
        print_json(found) if as_json else _tell(found)


@rothc_app.command("example", epilog="Example: edaphos rothc example > RothC_input.dat")
def rothc_example() -> None:
    """Print an input file to begin from.

    It is a field under wheat that is manured from its sixth year on; its numbers are our own.
    """
    from .rothc_example import example_text

    typer.echo(example_text(), nl=False)


def _tell(found: dict[str, object]) -> None:
    start = found["start"]
    assert isinstance(start, dict)
    notes = found["notes"]
    assert isinstance(notes, list)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    held = found["held"]
    if isinstance(held, dict):
        inert = ", 0.049 stock^1.139" if held["inert"] == "falloon" else ""
        typer.echo(
            f"carbon of year 1 times {held['factor']:.6g} holds {held['stock_t_C_ha']:g} t C/ha: "
            f"plant {held['plant_input_t_C_ha_yr']:.4f}, manure "
            f"{held['manure_t_C_ha_yr']:.4f} t C/ha/yr (IOM {held['IOM_t_C_ha']:.4f} t C/ha{inert})"
        )
    taken = found["spin_up_months"]
    how = f"after {taken} months" if taken else "solved"
    typer.echo(
        f"equilibrium ({how}): {start['SOC']:.2f} t C/ha; after {found['months']} months: "
        f"{found['soc_end_t_C_ha']:.2f} t C/ha"
    )
    files = found["files"]
    assert isinstance(files, list)
    for path in files:
        typer.echo(path)
