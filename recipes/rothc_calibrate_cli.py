"""``edaphos rothc calibrate``: parameters of RothC fitted to measured stocks, without Python."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edaphos.engine.errors import InputError, did_you_mean

from .console import errors, print_json
from .rothc_options import Evaporation, EvaporationOption, check_output

if TYPE_CHECKING:
    from edaphos.engine.calibration import Parameter
    from edaphos.engine.rothc_calibration_report import CalibratedSites
    from edaphos.engine.rothc_calibration_site import CalibrationSite

EXAMPLE = (
    "Example: edaphos rothc calibrate RothC_input.dat --measured stocks.csv "
    "--fit input_factor=0.2:5 --out results"
)


class Start(StrEnum):
    """How the run of a site begins."""

    stock = "stock"
    equilibrium = "equilibrium"


def rothc_calibrate(
    fit: Annotated[
        list[str],
        typer.Option(
            "--fit",
            metavar="NAME=LOW:HIGH",
            help="A parameter to fit and the bounds it is searched between, both above 0. Repeat.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Input in the official layout, of a single site."),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(
            help="Stocks of that site: a CSV with columns year, soc (t C/ha at the end of that "
            "year) and, if known, error (their standard deviation)."
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=INPUT,MEASURED",
            help="Instead of FILE and --measured, a site with its two files. Repeat; sites share "
            "the parameters.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter to hold at a value. Repeat."),
    ] = None,
    start: Annotated[
        Start,
        typer.Option(
            help="stock: scale the carbon of the first twelve months so that their equilibrium is "
            "the first measured stock, which is then not fitted to; equilibrium: take them as "
            "they are."
        ),
    ] = Start.stock,
    evaporation: EvaporationOption = Evaporation.pan,
    error: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of a stock, t C/ha, where the CSV has none. Without either "
            "it is estimated from the misfit."
        ),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Searches, from different values.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of where searches start.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Fit parameters of RothC to measured stocks, and say whether the data determine them.

    What can be fitted or held (standard values in brackets):

    \b
    mu_max, km      microbial rates: after the start, every rate constant is
                    multiplied by mu_max BIO / (km + BIO), BIO and km in
                    t C/ha. They go together: fit both, or hold one. [off]
    input_factor    multiplies all carbon that enters after the start [1]
    initial_factor  multiplies all pools at the start, but IOM [1]
    dpm_rpm         ratio of decomposable to resistant plant material, in
                    every month after the start [as in the file]
    k_dpm, k_rpm, k_bio, k_hum
                    rate constants, 1/yr [10, 0.3, 0.66, 0.02]

    Each site is spun up on the first twelve months of its input, solved for
    exactly and at standard rates; --start says whether that equilibrium is
    scaled to the first stock. `stock` is what is recommended: few inputs of
    the past are known well enough for an equilibrium of their own.

    The fit is that of most likelihood, errors of stocks being independent and
    Gaussian. The 95 % interval of a parameter is where holding it there, with
    all others fitted anew, loses little likelihood. Where an interval reaches
    the bounds of the search, or two parameters make up for each other, the
    report says so: such values are not to be read one by one. mu_max and km
    need sites of very different stocks, or stocks that change much.

    DIR gets calibration.json, stocks.csv (every year, simulated and measured)
    and calibration.png (likelihood and stocks).
    """  # noqa: D301 - click wants the backspace itself
    with errors():
        from edaphos.engine.progress import Reporter
        from edaphos.engine.rothc_calibration_report import calibrate_sites
        from edaphos.engine.rothc_forcing import EVAPORATION

        parameters, held = _parameters(fit), _fixed(fixed or [])
        if error is not None and not 0 < error < math.inf:
            raise InputError(f"--error {error:g}: expected a number of t C/ha above 0")
        fits_start = any(p.name == "initial_factor" for p in parameters)
        sites = [
            _site(*named, start, evaporation, error, fits_start=fits_start)
            for named in _files(file, measured, site or [])
        ]
        check_output(out)
        found = calibrate_sites(
            sites,
            parameters,
            fixed=held,
            evaporation_factor=EVAPORATION[evaporation.value],
            starts=starts,
            seed=seed,
            reporter=Reporter(quiet=quiet or as_json),
        )
        _report(found, out, as_json=as_json)


def _report(found: CalibratedSites, folder: Path, *, as_json: bool) -> None:
    import json

    from edaphos.engine.rothc_calibration_plot import calibration_picture
    from edaphos.engine.store import write_atomically

    result = found.to_json()
    texts = {
        "calibration.json": json.dumps(result, indent=1, allow_nan=False) + "\n",
        "stocks.csv": found.table().to_csv(index=False, lineterminator="\n"),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text)
    written = [folder / name for name in texts]
    picture = calibration_picture(found)
    picture.save(folder)
    written.append(folder / f"{picture.name}.png")
    if as_json:
        del result["surface"]  # the file has it
        print_json({**result, "files": [str(path) for path in written]})
        return
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(found.to_text())
    typer.echo("")
    for path in written:
        typer.echo(path)


def _site(
    name: str,
    file: Path,
    measured: Path,
    start: Start,
    evaporation: Evaporation,
    error: float | None,
    *,
    fits_start: bool,
) -> CalibrationSite:
    from edaphos.engine.rothc_calibration_site import calibration_site
    from edaphos.engine.rothc_input import read_site_input
    from edaphos.engine.rothc_measured import read_measured

    return calibration_site(
        name,
        read_site_input(file),
        read_measured(measured),
        start=start.value,
        evaporation=evaporation.value,
        error=error,
        fits_start=fits_start,
    )


def _files(
    file: Path | None, measured: Path | None, named: list[str]
) -> list[tuple[str, Path, Path]]:
    """Return name, input and measurements of each site, from either way to give them."""
    if named and (file is not None or measured is not None):
        raise InputError("give FILE and --measured for one site, or --site for each; not both")
    if not named:
        if file is None or measured is None:
            raise InputError(
                "no site to calibrate at; give FILE and --measured, or --site "
                "NAME=INPUT.dat,MEASURED.csv for each of several"
            )
        return [(file.stem, file, measured)]
    found: list[tuple[str, Path, Path]] = []
    for text in named:
        name, sign, files = text.partition("=")
        parts = [part.strip() for part in files.rsplit(",", 1)]
        if not (sign and name.strip() and len(parts) == 2 and all(parts)):
            raise InputError(
                f'--site "{text}": expected NAME=INPUT,MEASURED, such as '
                "field=RothC_input.dat,stocks.csv"
            )
        if name.strip() in [other for other, _, _ in found]:
            raise InputError(f'--site "{text}": a site {name.strip()} is given already; rename it')
        found.append((name.strip(), Path(parts[0]), Path(parts[1])))
    return found


def _parameters(texts: list[str]) -> list[Parameter]:
    from edaphos.engine.calibration import Parameter

    found: list[Parameter] = []
    for text in texts:
        name, value = _named(text, "--fit", "NAME=LOW:HIGH, such as mu_max=0.1:10")
        ends = value.split(":")
        if len(ends) != 2:
            raise InputError(f'--fit "{text}": expected NAME=LOW:HIGH, such as mu_max=0.1:10')
        low, high = (_positive(end, text, "--fit") for end in ends)
        if low >= high:
            raise InputError(
                f'--fit "{text}": the lower bound, {low:g}, is not below the upper, {high:g}; give '
                "the lower first"
            )
        if name in [other.name for other in found]:
            raise InputError(f'--fit "{text}": {name} is given twice; give it once')
        found.append(Parameter(name, low, high))
    return found


def _fixed(texts: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, value = _named(text, "--fixed", "NAME=VALUE, such as km=0.5")
        if name in found:
            raise InputError(f'--fixed "{text}": {name} is given twice; give it once')
        found[name] = _positive(value, text, "--fixed")
    return found


def _named(text: str, option: str, form: str) -> tuple[str, str]:
    """Return a known parameter's name and what stands behind its sign."""
    from edaphos.engine.rothc_calibration import KNOBS

    name, sign, value = text.partition("=")
    name = name.strip().replace("-", "_").lower()
    if not (sign and value.strip()):
        raise InputError(f'{option} "{text}": expected {form}')
    if name not in KNOBS:
        hint = did_you_mean(name, KNOBS)
        raise InputError(f'{option} "{text}": RothC has no parameter "{name}" to fit; {hint}')
    return name, value


def _positive(word: str, text: str, option: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise InputError(f'{option} "{text}": found "{word}", expected a number') from None
    if not 0 < value < math.inf:
        raise InputError(f'{option} "{text}": found {value:g}, expected a number above 0')
    return value
