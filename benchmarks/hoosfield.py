"""RothC against the plots of Hoosfield, 1852-1998, from published inputs; nothing is tuned here.

``python -m benchmarks.hoosfield --write`` writes the table and the figure of ``HOOSFIELD.md``.
Needs the open data beside the repository, and is left out, saying so, without them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.products.colours import ACCENT, GOLD, INK, MUTED, TEAL
from edaphos.engine.products.pictures import Picture, blank, finish, style
from edaphos.engine.rothc_input import SiteInput
from edaphos.engine.rothc_site import SiteOptions, run_site

from .open_data import DATA, has_open_data
from .result import Result

HERE = Path(__file__).parent
FIGURE = HERE / "figures" / "hoosfield.png"
TABLE = HERE / "HOOSFIELD.md"

FIRST, LAST = 1852, 1998
#: Rothamsted's average year: °C, mm, mm from an open pan.
TEMPERATURE = (3.4, 3.6, 5.1, 7.3, 11.0, 13.9, 16.0, 16.0, 13.5, 10.2, 6.1, 4.6)
RAIN = (74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71)
PAN = (8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8)
CLAY, DEPTH, IOM = 23.4, 23.0, 2.7
DPM_RPM = 1.44
#: Before 1852: 1.70 t C/ha a year, in the months under a crop.
BEFORE = tuple(0.2125 if month in (1, 2, 3, 4, 5, 6, 7, 12) else 0.0 for month in range(1, 13))
BEFORE_COVER = tuple(int(c > 0) for c in BEFORE)
#: Barley's share of the year's carbon, April to July, when it covers the soil.
BARLEY = (0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0, 0)
BARLEY_COVER = tuple(int(share > 0) for share in BARLEY)
FALLOW = (1912, 1933, 1943, 1967)
UNMANURED, MANURED = 1.6, 2.8  # t C/ha from barley in a year
MANURE, MANURE_MONTH = 3.0, 2  # t C/ha, in February
LAST_MANURE = 1871  # of plot 71
MEASURED_1852 = 30.7

DESCRIPTION = "RothC-26.3 model description, section 2"
AUTHORS = "the model's authors, who tuned it on this experiment"
SOURCES = (
    (
        "temperature, rain, open-pan evaporation",
        "Rothamsted's average year, every year",
        DESCRIPTION,
    ),
    ("clay, depth", f"{CLAY} %, {DEPTH:g} cm", DESCRIPTION),
    ("inert organic matter", f"{IOM} t C/ha", AUTHORS),
    (
        "plant carbon before 1852",
        "1.70 t C/ha a year: 0.2125 in each of eight months (December to July), covered then",
        f"{DESCRIPTION}; tuned there to the stock",
    ),
    ("plant carbon, unmanured", f"{UNMANURED} t C/ha a year", AUTHORS),
    ("plant carbon, manured", f"{MANURED} t C/ha a year", AUTHORS),
    ("farmyard manure", f"{MANURE:g} t C/ha each February", AUTHORS),
    (
        "months of barley",
        "April 10 %, May 20 %, June 30 %, July 40 % of its carbon; covered then, else bare",
        AUTHORS,
    ),
    ("DPM/RPM", f"{DPM_RPM}", "the model's value for crops"),
    (
        "fallow years",
        f"{', '.join(map(str, FALLOW))}: no plant carbon, bare soil all year",
        "notes of the measurements",
    ),
    ("manure in fallow years", "given", "our reading of those notes (applied each year)"),
    (
        "plot 71 after 1871",
        f"plant carbon {UNMANURED} t C/ha a year, as on the plot that never had manure",
        f"our assumption; with {MANURED} it is the dotted line",
    ),
)


@dataclass(frozen=True)
class Plot:
    """One plot: years with manure, and barley's carbon in years with and after manure."""

    name: str
    number: str
    column: int
    manured_until: int
    after: float = UNMANURED

    def plant(self, year: int) -> float:
        """Return barley's carbon of a year, t C/ha."""
        if year in FALLOW:
            return 0.0
        return MANURED if year <= self.manured_until else self.after


PLOTS = (
    Plot("unmanured", "11", 2, manured_until=FIRST - 1),
    Plot("manured every year", "72", 3, manured_until=LAST),
    Plot("manured 1852-1871", "71", 4, manured_until=LAST_MANURE),
)
RESIDUE = Plot("manured 1852-1871, 2.8 t C/ha after", "71", 4, LAST_MANURE, after=MANURED)
STARTS = ("equilibrium", "measured")


def site(plot: Plot, spin_up_input: float = 1.0) -> SiteInput:
    """Return a plot as the official program would be told of it.

    `spin_up_input` multiplies the plant carbon of the years before 1852.
    """
    years = np.arange(FIRST, LAST + 1)
    plant = [np.multiply(BEFORE, spin_up_input)]
    manure, cover = [np.zeros(12)], [np.array(BEFORE_COVER, float)]
    for year in years:
        plant.append(np.multiply(BARLEY, plot.plant(year)))
        cover.append(np.zeros(12) if year in FALLOW else np.array(BARLEY_COVER, float))
        february = np.arange(1, 13) == MANURE_MONTH
        manure.append(np.where(february & (year <= plot.manured_until), MANURE, 0.0))
    n = len(years) + 1
    return SiteInput(
        clay=CLAY,
        depth=DEPTH,
        iom=IOM,
        year=np.repeat(np.concatenate([[1], years]), 12),
        month=np.tile(np.arange(1, 13), n),
        modern=np.full(12 * n, 100.0),
        temperature=np.tile(TEMPERATURE, n),
        rain=np.tile(np.array(RAIN, float), n),
        evaporation=np.tile(np.array(PAN, float), n),
        plant_input=np.concatenate(plant),
        manure=np.concatenate(manure),
        cover=np.concatenate(cover),
        dpm_rpm=np.full(12 * n, DPM_RPM),
    )


def simulated(plot: Plot, start: str) -> NDArray[np.float64]:
    """Return the stock at the end of 1851, then of each year, t C/ha.

    From the model's own equilibrium, or from the stock measured in 1852: the equilibrium of the
    plant carbon, in the same months, that leads to just that stock (the model is linear in it).
    """
    exact = SiteOptions(spin_up="exact")
    run = run_site(site(plot), exact)
    if start == "measured":
        factor = (MEASURED_1852 - IOM) / float(run.start.sum())
        run = run_site(site(plot, factor), exact)
    return np.concatenate([[run.start.sum() + IOM], run.soc[11::12]])


def measured(data: Path) -> dict[int, tuple[float, float, float]]:
    """Return measured stocks by year, in the order of :data:`PLOTS`."""
    found = {}
    with (data / "rothamsted" / "HBSOC1852" / "data.csv").open(encoding="latin-1") as file:
        for row in csv.reader(file):
            if len(row) > 4 and row[1].strip().isdigit():
                found[int(row[1])] = (float(row[2]), float(row[3]), float(row[4]))
    return found


@dataclass(frozen=True)
class Score:
    """Simulated minus measured, over the years that were measured after 1852, t C/ha."""

    bias: float
    rmse: float


def score(found: NDArray[np.float64], truth: dict[int, float]) -> Score:
    """Compare the ends of years with stocks measured in them; 1852 is the start, no evidence."""
    misfit = np.array([found[y - FIRST + 1] - v for y, v in truth.items() if y > FIRST])
    return Score(float(misfit.mean()), float(np.sqrt((misfit**2).mean())))


def _truth(data: Path, plot: Plot) -> dict[int, float]:
    return {year: values[plot.column - 2] for year, values in measured(data).items()}


def measure(*, small: bool) -> Iterator[Result]:
    """Yield RMSE of each plot from the model's equilibrium, over that of no change at all."""
    del small  # it takes a second
    if not has_open_data("hoosfield"):
        return
    for plot in PLOTS:
        truth = _truth(DATA, plot)
        scores = {start: score(simulated(plot, start), truth) for start in STARTS}
        still = score(np.full(LAST - FIRST + 2, truth[FIRST]), truth)
        own = scores["equilibrium"]
        details = {
            "bias": round(own.bias, 2),
            "bias_from_measured": round(scores["measured"].bias, 2),
            "rmse_from_measured": round(scores["measured"].rmse, 2),
            "years": len(truth) - 1,
        }
        yield Result(
            f"hoosfield-plot-{plot.number}",
            round(own.rmse, 3),
            "t C/ha RMSE",
            "the stock of 1852 for ever",
            own.rmse / still.rmse,
            details,
        )


def table(data: Path) -> str:
    """Return the text of ``HOOSFIELD.md``, every number computed."""
    runs = {(p.number, start): simulated(p, start) for p in PLOTS for start in STARTS}
    lines = [
        "# Hoosfield, 1852-1998",
        "",
        "Written by `python -m benchmarks.hoosfield --write`; a test recomputes it.",
        "",
        "RothC-26.3 against the soil organic carbon measured on three plots of the Hoosfield",
        "continuous barley experiment (0-23 cm). This is verification, not validation: plant",
        "carbon and inert organic matter were chosen by the model's authors so that it fits",
        "these plots. Nothing was tuned here.",
        "",
        "![Simulated lines and measured points, three plots](figures/hoosfield.png)",
        "",
        "Lines are simulations from the model's own equilibrium (solid) and from the stock",
        "measured in 1852 (dashed), at the end of each year; points are measurements.",
        "",
        "## Inputs",
        "",
        "| input | value | source |",
        "|---|---|---|",
        *(f"| {what} | {value} | {source} |" for what, value, source in SOURCES),
        "",
        "The authors' values are those of the golden runs g01 and g02 (`tests/golden/rothc`).",
        "",
        "Measurements: Rothamsted Research, Hoosfield Barley SOC 1852-1998 (CC BY 4.0); Jenkinson",
        "& Johnston 1977; Johnston, Poulton & Coleman 2009. The value of 1852 is estimated there.",
        "",
        "## Stocks, t C/ha",
        "",
        "Each plot: measured, simulated from equilibrium, simulated from the measured start.",
        "",
        "| year | " + " | ".join(f"plot {p.number}, {p.name} | eq. | meas." for p in PLOTS) + " |",
        "|---|" + "---|---|---|" * len(PLOTS),
    ]
    for year, values in measured(data).items():
        at = 0 if year == FIRST else year - FIRST + 1
        cells = [
            f"{values[p.column - 2]:.1f} | {runs[p.number, 'equilibrium'][at]:.1f} | "
            f"{runs[p.number, 'measured'][at]:.1f}"
            for p in PLOTS
        ]
        lines.append(f"| {year} | {' | '.join(cells)} |")
    lines += ["", "1852 is the start. Simulated minus measured, over the seven later years:", ""]
    lines += ["| plot | start | bias | RMSE | largest miss |", "|---|---|---|---|---|"]
    for plot in (*PLOTS, RESIDUE):
        truth = _truth(data, plot)
        for start in STARTS:
            found = simulated(plot, start)
            own = score(found, truth)
            year, miss = _largest(found, truth)
            lines.append(
                f"| {plot.number}, {plot.name} | {start} | {own.bias:+.1f} | {own.rmse:.1f} | "
                f"{miss:+.1f} in {year} |"
            )
    lines += ["", "## Where it misses", ""]
    lines += [f"- {_misses(plot, runs[plot.number, 'equilibrium'], data)}" for plot in PLOTS]
    return "\n".join(lines) + "\n"


def _misses(plot: Plot, found: NDArray[np.float64], data: Path) -> str:
    """Say in words how a run from equilibrium differs from what was measured after 1852."""
    truth = {y: v for y, v in _truth(data, plot).items() if y > FIRST}
    misfit = {y: float(found[y - FIRST + 1] - v) for y, v in truth.items()}
    above = sum(m > 0 for m in misfit.values())
    worst = max(misfit, key=lambda y: abs(misfit[y]))
    change = {"simulated": found[LAST - FIRST + 1] - found[0]}
    change["measured"] = truth[LAST] - _truth(data, plot)[FIRST]
    return (
        f"Plot {plot.number}, {plot.name}: above the measurements in {above} of {len(misfit)} "
        f"years, misses from {min(misfit.values()):+.1f} to {max(misfit.values()):+.1f} t C/ha, "
        f"the largest in {worst}. From 1852 to 1998 it changes by {change['simulated']:+.1f} "
        f"(measured {change['measured']:+.1f}) t C/ha."
    )


def _largest(found: NDArray[np.float64], truth: dict[int, float]) -> tuple[int, float]:
    misses = {y: float(found[y - FIRST + 1] - v) for y, v in truth.items() if y > FIRST}
    year = max(misses, key=lambda y: abs(misses[y]))
    return year, misses[year]


def picture(data: Path) -> Picture:
    """Draw simulated lines and measured points of the three plots."""
    years = np.arange(FIRST - 1, LAST + 1) + 1.0
    title = "Hoosfield, 1852-1998: soil organic carbon, 0-23 cm"
    with style():
        figure = blank(7.2, 4.2)
        ax = figure.add_axes((0.075, 0.13, 0.9, 0.77))
        for plot, colour in zip(PLOTS, (TEAL, ACCENT, GOLD), strict=True):
            label = f"{plot.name} (plot {plot.number})"
            ax.plot(years, simulated(plot, "equilibrium"), color=colour, lw=1.5, label=label)
            ax.plot(years, simulated(plot, "measured"), color=colour, lw=1.0, ls="--")
            truth = _truth(data, plot)
            points = np.array(list(truth)) + 0.5
            ax.plot(points, list(truth.values()), "o", color=colour, mec=INK, mew=0.6, ms=5)
        ax.plot(years, simulated(RESIDUE, "equilibrium"), color=GOLD, lw=1.0, ls=":")
        ax.set_ylim(0, 105)
        ax.set_xlim(FIRST - 3, LAST + 4)
        ax.set_ylabel("t C/ha")
        ax.grid(axis="y")
        ax.set_axisbelow(True)
        ax.legend(loc="upper left")
        figure.text(0.015, 0.955, title, fontsize=10, fontweight="bold", va="center")
        note = "points measured; lines RothC-26.3, solid from equilibrium, dashed from 30.7 t C/ha"
        figure.text(0.015, 0.025, note, fontsize=7, color=MUTED, va="center")
        return finish(figure, "hoosfield", title, f"{title}. {note}.")


def main() -> int:
    """Print the table, or write it with its figure."""
    if not has_open_data("hoosfield"):
        return 1
    if "--write" in sys.argv[1:]:
        TABLE.write_text(table(DATA), encoding="utf-8")
        picture(DATA).save(FIGURE.parent)
    else:
        print(table(DATA), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
