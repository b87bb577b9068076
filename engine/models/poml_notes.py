"""What happened while a hybrid map was fitted that its reader must know, in sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hybrid.cohorts import MOST_GROWTH
from ..hybrid.first_samples import from_first
from ..hybrid.process import Process
from ..hybrid.site_years import SiteYears
from ..status import Status
from .poml_settings import PomlSettings

#: Share of samples below which those of the first year are few.
FEW = 0.1


def notes_on_fit(
    told: PomlSettings, sampled: NDArray[np.bool_], status: NDArray[np.uint8], data: SiteYears,
    calibrated: Process,
) -> tuple[str, ...]:  # fmt: skip
    """Return sites left out, sites without simulations, what was not calibrated, years beyond.

    Parameters
    ----------
    told
        The settings.
    sampled, status
        Of all sites: whether they have a stock, and why they teach nothing (0: they do).
    data
        Of the sites that teach.
    calibrated
        The process.
    """
    notes = [*_left_out(sampled, status)]
    if "po" in told.emit or "poml" in told.emit:
        notes += [*_not_carried(data, calibrated), *_calibration(calibrated)]
    if told.runs_process:
        notes += _begins(data)
    if "poml" in told.emit and told.coupling == "poml":
        notes += _beyond(told, data)
    return tuple(notes)


def _left_out(sampled: NDArray[np.bool_], status: NDArray[np.uint8]) -> list[str]:
    reasons = Counter(status[sampled & (status != 0)].tolist())
    if not reasons:
        return []
    why = ", ".join(f"{Status(code).words}: {n:,}" for code, n in reasons.most_common())
    return [
        f"{sum(reasons.values()):,} of {int(sampled.sum()):,} sampled sites teach nothing ({why})."
    ]


def _not_carried(data: SiteYears, process: Process) -> list[str]:
    """Tell of sites whose first stock the process carries nowhere."""
    first, last = data.first, len(data.years) - 1
    begun = (first >= 0) & (first < last)
    carried = from_first(process, data)
    after = np.minimum(first + 1, last)
    lost = int((begun & np.isnan(carried[np.arange(len(first)), after])).sum())
    if not lost:
        return []
    return [
        f"{lost:,} of {int(begun.sum()):,} sites have no simulation: their driver is 0 at their "
        f"first sample, or grows more than {MOST_GROWTH:g} times from there, or no input holds "
        "their stock."
    ]


def _begins(data: SiteYears) -> list[str]:
    """Tell of a first year that few samples know, which the process begins with everywhere."""
    counts = data.sampled.sum(axis=0)
    first, every = int(counts[np.flatnonzero(counts)[0]]), int(counts.sum())
    if first >= FEW * every:
        return []
    year = int(data.years[np.flatnonzero(counts)[0]])
    return [
        f"The process begins everywhere in {year}, of which {first:,} of {every:,} samples are, "
        "from what the forest makes of that year; with a later model.first it begins later."
    ]


def _calibration(process: Any) -> list[str]:
    """Tell of a process that was not calibrated, or that samples contradict or hardly know."""
    report = getattr(process, "report", None) or {}
    if "note" in report:
        return [f"The process has its standard rates: {report['note']}."]
    if not report.get("warnings"):
        return []
    return [
        f"The process was calibrated on {report['sites']:,} sites, whose later stocks it has with "
        f"a bias of {report['bias']:+.2f} and an RMSE of {report['rmse']:.2f} kg/m²; "
        f"{'; '.join(report['warnings'])}."
    ]


def _beyond(told: PomlSettings, data: SiteYears) -> list[str]:
    sampled = data.years[data.sampled.any(axis=0)]
    first, last = int(sampled[0]), int(sampled[-1])
    beyond = [year for year in told.years if not first <= year <= last]
    if not beyond:
        return []
    return [
        f"Simulations train the hybrid from {first} to {last}, the first and the last year with "
        f"samples; {len(beyond)} of the {len(told.years)} years mapped lie beyond, and rest on "
        'what the forest makes of their covariates (coupling = "guarded" goes on with the trend).'
    ]
