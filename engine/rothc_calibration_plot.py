"""The picture of a calibration: what the data say of each parameter, and how sites are met."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from scipy.interpolate import RectBivariateSpline

from .calibration import Calibration, Estimate, Floats
from .likelihood_surface import LEVELS, Surface
from .products.colours import ACCENT, BAND, GOLD, INK, MUTED, PAPER, RULE, TEAL
from .products.pictures import Picture, blank, finish, style
from .rothc_calibration_report import CalibratedSites
from .rothc_calibration_site import CalibrationSite

WIDTH, ROW = 8.4, 2.35
#: Panels in a row, and most sites that are drawn.
ACROSS, MOST_SITES = 3, 12
#: Ranges wider than this ratio are drawn on a log scale.
LOG_RATIO = 8.0
_HEAD, _FOOT = 0.4, 0.22  # inches
_NOTE = (
    "Curves: loss of likelihood (twice its logarithm) where a parameter is held and the others are "
    "fitted anew; dashed, the 95 % limit."
)
_JOINT = "Shaded: regions of confidence of both together; cross, the best."
_BARS = " Bars: 95 % of the error given."


def verdict(calibration: Calibration) -> str:
    """Say in one sentence whether the parameters can be read one by one, and if not, why."""
    if calibration.identifiable:
        return f"RothC calibrated: {', '.join(calibration.values)}"
    for text in calibration.warnings:
        if "cannot be told apart" in text:
            return text.partition(" (correlation")[0]
    by_reason: dict[str, list[str]] = {}
    for estimate in sorted(calibration.estimates, key=lambda e: not (e.open_low or e.open_high)):
        if _looseness(estimate):
            by_reason.setdefault(_looseness(estimate), []).append(estimate.name)
    loose = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    reason = ", ".join(loose) or calibration.warnings[0]
    return f"Not determined by these stocks: {reason}"


def _looseness(estimate: Estimate) -> str:
    """Say how an interval is not closed by the data; nothing where it is."""
    if estimate.open_low and estimate.open_high:
        return "no limits"
    if estimate.open_low or estimate.open_high:
        return f"no {'lower' if estimate.open_low else 'upper'} limit"
    return "limited only by another's bounds" if estimate.leaning else ""


def calibration_picture(found: CalibratedSites) -> Picture:
    """Draw profiles, the joint likelihood of two parameters, and stocks over time.

    At most :data:`MOST_SITES` sites are drawn, those that are met worst.
    """
    calibration = found.calibration
    shown = _worst(found)
    count = len(calibration.estimates) + (found.surface is not None)
    upper, lower = (-(-n // _across(n)) for n in (count, len(shown)))
    title = textwrap.fill(verdict(calibration), 88)
    head = _HEAD + 0.17 * title.count("\n")
    height = head + _FOOT + ROW * (upper + lower)
    with style():
        figure = blank(WIDTH, height)
        panels = _panels(figure, count, head)
        for estimate in calibration.estimates:
            _draw_profile(next(panels), estimate, found.threshold)
        if found.surface is not None:
            _draw_surface(next(panels), found.surface, calibration)
        panels = _panels(figure, len(shown), head + ROW * upper)
        for i, ax in zip(shown, panels, strict=True):
            series = np.concatenate([[found.begin(found.sites[i])], found.series[i]])
            _draw_site(ax, found.sites[i], series, legend=i == shown[0])
        colour = INK if calibration.identifiable else ACCENT
        figure.text(
            0.013,
            1 - 0.12 / height,
            title,
            fontsize=10,
            fontweight="bold",
            color=colour,
            va="top",
        )
        figure.text(
            0.013, 0.08 / height, _note(found, len(shown)), fontsize=6.5, color=MUTED, va="bottom"
        )
        return finish(figure, "calibration", verdict(calibration), _alt(found))


def _note(found: CalibratedSites, shown: int) -> str:
    joint = _JOINT if found.surface is not None else ""
    bars = _BARS if found.calibration.error_given else ""
    hidden = len(found.sites) - shown
    few = f" {shown} of {len(found.sites)} sites are drawn, those met worst." if hidden else ""
    return f"{_NOTE}\n{f'{joint}{bars}{few}'.strip()}"


def _worst(found: CalibratedSites) -> list[int]:
    """Return which sites to draw, in their order."""
    by_misfit = sorted(range(len(found.sites)), key=lambda i: -found.scores[i].rmse)
    return sorted(by_misfit[:MOST_SITES])


def _across(count: int) -> int:
    """Return how many of `count` panels stand in a row; four make a square."""
    return 2 if count == 4 else min(count, ACROSS)


def _panels(figure: Figure, count: int, above: float) -> Iterator[Axes]:
    """Yield `count` axes in rows that begin `above` inches below the top, all of one width."""
    height = float(figure.get_size_inches()[1])
    across = _across(count)
    for k in range(count):
        row, column = divmod(k, across)
        bottom = height - above - ROW * (row + 1) + 0.48
        left = 0.065 + 0.985 * column / across
        width = 0.985 / across - 0.078
        yield figure.add_axes((left, bottom / height, width, (ROW - 0.8) / height))


def _draw_profile(ax: Axes, estimate: Estimate, threshold: float) -> None:
    values, deviance = np.array(sorted([*estimate.profile, *_ends(estimate, threshold)])).T
    ax.axvspan(estimate.low, estimate.high, color=BAND, lw=0)
    ax.axhline(threshold, color=MUTED, lw=0.8, ls="--")
    ax.plot(values, np.maximum(deviance, 0), color=TEAL, lw=1.6)
    ax.axvline(estimate.value, color=INK, lw=0.8)
    ax.set_ylim(0, 2.6 * threshold)
    ax.set_xlim(*_open(values[0], values[-1]))
    _scale(ax, "x", values[0], values[-1])
    ax.set_xlabel(estimate.name)
    ax.set_ylabel("loss of likelihood")
    low = f"{'≤ ' if estimate.open_low else ''}{estimate.low:.3g}"
    high = f"{'≥ ' if estimate.open_high else ''}{estimate.high:.3g}"
    ax.set_title(
        f"{estimate.name} {estimate.value:.3g}  [{low}, {high}]",
        fontsize=8.5,
        loc="left",
        color=ACCENT if _looseness(estimate) else INK,
    )


def _ends(estimate: Estimate, threshold: float) -> list[tuple[float, float]]:
    """Return the ends of the interval as points of the curve, which they lie on."""
    ends = [(estimate.low, estimate.open_low), (estimate.high, estimate.open_high)]
    return [(value, threshold) for value, is_open in ends if not is_open]


def _draw_surface(ax: Axes, surface: Surface, calibration: Calibration) -> None:
    x, y, deviance = _smooth(surface)
    shades = [f"{TEAL}{alpha}" for alpha in ("99", "55", "22")]
    ax.contourf(x, y, deviance, levels=[-1.0, *surface.thresholds], colors=shades)
    limit = surface.thresholds[LEVELS.index(0.95)]
    if deviance.max() > limit:
        ax.contour(x, y, deviance, levels=[limit], colors=[INK], linewidths=0.9)
    for estimate, across in zip(calibration.estimates, (True, False), strict=True):
        values = np.array(estimate.profile)[:, 0]
        _scale(ax, "x" if across else "y", values[0], values[-1])
    ax.set_xlim(surface.x[0], surface.x[-1])
    ax.set_ylim(surface.y[0], surface.y[-1])
    first, second = calibration.estimates
    ax.plot(first.value, second.value, "+", color=INK, ms=8, mew=1.4)
    ax.set_xlabel(surface.names[0])
    ax.set_ylabel(surface.names[1])
    share = ", ".join(f"{100 * level:.0f}" for level in LEVELS)
    ax.set_title(f"both together: {share} %", fontsize=8.5, loc="left")


def _smooth(surface: Surface) -> tuple[Floats, Floats, Floats]:
    """Return a finer surface: near its valley it is a parabola, which a spline follows."""
    logs = np.log(surface.x), np.log(surface.y)
    fine = [np.linspace(axis[0], axis[-1], 241) for axis in logs]
    top = 30 * surface.thresholds[-1]
    spline = RectBivariateSpline(logs[1], logs[0], np.minimum(surface.deviance, top))
    found = np.clip(spline(fine[1], fine[0]), 0, None)
    return np.exp(fine[0]), np.exp(fine[1]), np.asarray(found)


def _draw_site(ax: Axes, site: CalibrationSite, series: Floats, *, legend: bool) -> None:
    years = np.arange(site.fitted.first_year - 1, site.last_year + 1)
    ax.plot(years, series, color=TEAL, lw=1.4, label="simulated")
    stocks = np.asarray(site.fitted.stock, np.float64)
    at = np.asarray(site.fitted.years)
    error = None if site.fitted.error is None else 1.96 * np.asarray(site.fitted.error)
    ax.errorbar(
        at,
        stocks,
        yerr=None if error is None else np.broadcast_to(error, stocks.shape),
        fmt="o",
        color=INK,
        mfc=PAPER,
        ms=4.5,
        lw=0.8,
        label="measured",
    )
    if site.start_year is not None:
        start = (site.start_year, site.start_stock)
        ax.plot(*start, "D", color=GOLD, ms=4.5, label="measured, start", zorder=3)
    top = max(float(series.max()), float(stocks.max()))
    ax.set_ylim(0, 1.3 * top)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_ylabel("SOC, t C/ha")
    ax.grid(axis="y", color=RULE)
    ax.set_axisbelow(True)
    ax.set_title(site.name, fontsize=8.5, loc="left")
    if legend:
        ax.legend(loc="best", fontsize=7)


def _open(low: float, high: float) -> tuple[float, float]:
    """Return limits that differ, also around a single value."""
    return (low, high) if high > low else (low / 1.01, high * 1.01)


def _scale(ax: Axes, which: str, low: float, high: float) -> None:
    """Choose a log or plain scale for a range of positive values, with few plain numbers."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    if high / low > LOG_RATIO:
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=12))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def _alt(found: CalibratedSites) -> str:
    parts = [
        f"{e.name} {e.value:.3g}, 95 % interval {e.low:.3g} to {e.high:.3g}"
        for e in found.calibration.estimates
    ]
    return (
        f"{verdict(found.calibration)}. {'; '.join(parts)}. Simulated and measured stocks of "
        f"{len(found.sites)} sites, RMSE {found.calibration.rmse:.2f} t C/ha."
    )
