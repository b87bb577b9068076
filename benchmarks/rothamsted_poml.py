"""Process, forest and their hybrids on measured plots through time, the years between hidden.

Plots of the ley-arable experiments of Rothamsted, 1948-2014. ``between``: models see each plot's
first and last date, and are asked for the dates between. ``ahead``: they see the dates up to 1975,
and are asked for the later ones. One farm, one climate: this tests time, not space. ``--write``
writes ``ROTHAMSTED_POML.md``. Needs the open data beside the repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edaphos.engine.hybrid.couplings import make_arm
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Floats, SiteYears

from .open_data import DATA, has_open_data
from .result import Result
from .rothamsted_plots import Plots, read_plots

TABLE = Path(__file__).with_name("ROTHAMSTED_POML.md")
#: Last year that models see where they are asked for what lies ahead.
LAST_SEEN = 1975
#: Range in which the input of a land use, relative to that of the start, is sought.
LEAST, MOST = 0.2, 4.0
REPLICATES, SEED = 2000, 7


def persistence(seen: SiteYears) -> Floats:
    """Return each plot's last seen stock for ever, its first before that."""
    return np.stack([_held(row) for row in seen.stock])


def straight(seen: SiteYears) -> Floats:
    """Return straight lines between seen dates; beyond the last, the line through all of them."""
    return np.stack([_line(seen.years.astype(float), row) for row in seen.stock])


def _held(row: Floats) -> Floats:
    return np.asarray(pd.Series(row).ffill().bfill(), float)


def _line(years: Floats, row: Floats) -> Floats:
    known = np.flatnonzero(np.isfinite(row))
    values = np.interp(years, years[known], row[known])
    if len(known) > 1:
        ahead = np.arange(known[-1] + 1, len(years))
        slope = np.polyfit(years[known], row[known], 1)[0]
        values[ahead] += slope * (years[ahead] - years[known[-1]])
    return np.asarray(values)


def with_inputs(seen: SiteYears, plots: Plots) -> SiteYears:
    """Return the sites with an input for each field and land use that meets what is seen.

    The carbon that enters is not known. It is sought for each field and use, as a constant share of
    that of the start, so that RothC begun from each plot's first date comes closest to the dates
    seen: two numbers for each of nine groups, none of a hidden date.
    """
    driver = np.array(seen.drivers.input_driver)
    process = RothCProcess(calibrates=False)
    for group in np.unique([f"{f}|{u}" for f, u in zip(plots.field, plots.use, strict=True)]):
        field, use = group.split("|")
        rows = np.flatnonzero((plots.field == field) & (plots.use == use))
        own = seen.take(rows)

        def misfit(ratio: float, own: SiteYears = own) -> float:
            return float(np.nansum((_own_start(process, _scaled(own, ratio)) - own.stock) ** 2))

        ratio = minimize_scalar(misfit, bounds=(LEAST, MOST), method="bounded").x
        driver[:, rows] = _scaled(own, ratio).drivers.input_driver
    return replace(seen, drivers=replace(seen.drivers, input_driver=driver))


def _scaled(data: SiteYears, ratio: float) -> SiteYears:
    """Return the sites with an input of `ratio` from the year after each one's first date on."""
    after = np.arange(len(data.years))[:, None] > data.first
    return replace(data, drivers=replace(data.drivers, input_driver=np.where(after, ratio, 1.0)))


def _own_start(process: RothCProcess, data: SiteYears) -> Floats:
    first = data.first
    return process.simulate(data.drivers, first, data.stock[np.arange(len(first)), first])


Way = Callable[[SiteYears], Floats]


def ways(trees: int) -> dict[str, Way]:
    """Return every way of filling in stocks, by name; each sees what is seen and nothing else."""

    def arm(name: str, **options: object) -> Way:
        def run(seen: SiteYears) -> Floats:
            learner = ForestLearner(trees=trees, min_samples_leaf=2, seed=SEED)
            made = make_arm(name, RothCProcess(calibrates=False), learner, **options)
            return made.fit(seen).predict(seen)

        return run

    return {
        "persistence": persistence,
        "straight line": straight,
        "RothC, own start (PO)": lambda seen: _own_start(RothCProcess(calibrates=False), seen),
        "forest (ML)": arm("ml"),
        "forest + trend": arm("forest_trend"),
        "POML, w_p 0.3": arm("poml", w_p=0.3),
        "POML, w_p 0.5": arm("poml", w_p=0.5),
        "POML, guarded": arm("poml", w_p=0.5, rows="guarded"),
    }


def hidden(data: SiteYears, design: str) -> tuple[SiteYears, NDArray[np.bool_]]:
    """Return the sites as models see them, and where a measured stock is hidden, ``(S, Y)``."""
    known = data.sampled
    if design == "ahead":
        keep = known & (data.years <= LAST_SEEN)
    else:
        position = np.arange(known.shape[1])
        last = np.where(known, position, -1).max(axis=1)
        keep = known & ((position == data.first[:, None]) | (position == last[:, None]))
    return replace(data, stock=np.where(keep, data.stock, np.nan)), known & ~keep


@dataclass(frozen=True)
class Line:
    """One way in one design: errors at hidden dates, kg/m², and those beside a straight line."""

    design: str
    way: str
    n: int
    bias: float
    rmse: float
    difference: tuple[float, float, float]


def score(plots: Plots, trees: int) -> Iterator[Line]:
    """Yield every way's errors; intervals of the difference by bootstrap over plots."""
    for design in ("between", "ahead"):
        seen, asked = hidden(plots.data, design)
        seen = with_inputs(seen, plots)
        errors = {
            name: np.where(asked, way(seen) - plots.data.stock, np.nan)
            for name, way in ways(trees).items()
        }
        for name, error in errors.items():
            yield Line(
                design,
                name,
                int(asked.sum()),
                float(np.nanmean(error)),
                _rmse(error),
                _difference(error, errors["straight line"]),
            )


def _rmse(error: Floats) -> float:
    return float(np.sqrt(np.nanmean(error**2)))


def _difference(error: Floats, other: Floats) -> tuple[float, float, float]:
    """Return the difference in RMSE with its 95 % interval over resampled plots."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(error), size=(REPLICATES, len(error)))
    found = [_rmse(error[rows]) - _rmse(other[rows]) for rows in drawn]
    low, high = np.quantile(found, (0.025, 0.975))
    return _rmse(error) - _rmse(other), float(low), float(high)


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield RMSE of each way at hidden dates, over that of straight lines."""
    if not has_open_data("rothamsted_poml"):
        return
    plots = read_plots(DATA / "rothamsted")
    lines = list(score(plots, trees=20 if small else 200))
    for line in lines:
        straight_line = line.rmse - line.difference[0]
        yield Result(
            f"rothamsted {line.design}: {line.way}",
            round(line.rmse, 3),
            "kg/m2 RMSE",
            "straight lines between each plot's own dates",
            round(line.rmse / straight_line, 3),
            {
                "bias": round(line.bias, 3),
                "n": line.n,
                "difference": [round(v, 3) for v in line.difference],
            },
        )
    if write:
        TABLE.write_text(table(plots, lines), encoding="utf-8")


def table(plots: Plots, lines: list[Line]) -> str:
    """Return the text of ``ROTHAMSTED_POML.md``."""
    text = [
        "# Hidden years on the plots of Rothamsted",
        "",
        "Written by `python -m benchmarks rothamsted_poml --write`.",
        "",
        f"{len(plots.name)} plots of the ley-arable experiments Highfield and Fosters, 1948-2014",
        "(Blyth et al. 2023, CC BY 4.0), 0-23 cm, at constant soil mass. Models see some dates of",
        "each plot and are asked for the others: `between` hides all dates but the first and the",
        f"last, `ahead` all after {LAST_SEEN}. One farm and one climate: this tests time, not",
        "space, and plots share fields, so intervals (95 %, over plots) are rather too narrow than",
        "too wide. Methods of sampling changed over the years: some of the error is theirs.",
        "",
        "RothC begins from each plot's first date; the carbon that enters after it is sought for",
        "each field and land use from the dates seen. Forests learn from field, land use and year.",
        "",
        "| design | way | dates hidden | bias | RMSE, kg/m² | against straight lines |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        off, low, high = line.difference
        against = "" if line.way == "straight line" else f"{off:+.3f} [{low:+.3f}, {high:+.3f}]"
        text.append(
            f"| {line.design} | {line.way} | {line.n} | {line.bias:+.2f} | {line.rmse:.3f} | "
            f"{against} |"
        )
    return "\n".join([*text, "", *_verdict(lines)]) + "\n"


def _verdict(lines: list[Line]) -> list[str]:
    """Say, for each design, what was better or worse than straight lines."""
    said = []
    for design in dict.fromkeys(line.design for line in lines):
        own = [line for line in lines if line.design == design and line.way != "straight line"]
        better = [line.way for line in own if line.difference[2] < 0]
        worse = [line.way for line in own if line.difference[1] > 0]
        said += [
            f"`{design}`: better than straight lines: {', '.join(better) or 'none'}; worse: "
            f"{', '.join(worse) or 'none'}; the others cannot be told apart from them.",
            "",
        ]
    return said[:-1]
