"""Scales: how values become colours and numbers become words, the same on every picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.colors import Colormap, LogNorm, Normalize
from numpy.typing import NDArray

from .colours import CARBON, CHANGE, SIGNED

Scale = Literal["log", "linear", "signed"]


@dataclass(frozen=True)
class ColourScale:
    """How values become colours.

    Parameters
    ----------
    low, high
        Values at the two ends; beyond them the end colours are used.
    kind
        ``log``, ``linear``, or ``signed`` (symmetric around zero).
    colours
        The colour map.
    label
        Quantity and units, under the colour bar.
    """

    low: float
    high: float
    kind: Scale
    colours: Colormap
    label: str

    @property
    def norm(self) -> Normalize:
        """Values to 0..1."""
        made = LogNorm if self.kind == "log" else Normalize
        return made(self.low, self.high, clip=True)


def robust_scale(
    arrays: Sequence[NDArray[Any]],
    kind: Scale,
    colours: Colormap,
    label: str,
) -> ColourScale:
    """Return a scale over the 2nd to 98th percentile of all arrays, so that pictures compare."""
    found = np.concatenate([a[np.isfinite(a)] for a in arrays] or [np.zeros(0)])
    if kind == "log":
        found = found[found > 0]
    if not len(found):
        return ColourScale(0.1 if kind == "log" else 0.0, 1.0, kind, colours, label)
    if kind == "signed":
        reach = float(np.percentile(np.abs(found), 98)) or 1.0
        return ColourScale(-reach, reach, kind, colours, label)
    low, high = (float(v) for v in np.percentile(found, [2, 98]))
    if not high > low:
        low, high = low * 0.9 - 1e-6, high * 1.1 + 1e-6
    if kind == "log":
        low = max(low, high / 1e4)
    return ColourScale(low, high, kind, colours, label)


def carbon_scale(arrays: Sequence[NDArray[Any]], units: str) -> ColourScale:
    """Return the scale of contents and stocks."""
    return robust_scale(arrays, "log", CARBON, f"{pretty_units(units)}, logarithmic scale")


def signed_scale(arrays: Sequence[NDArray[Any]], label: str) -> ColourScale:
    """Return a scale of errors, symmetric around zero."""
    return robust_scale(arrays, "signed", SIGNED, label)


def change_scale(arrays: Sequence[NDArray[Any]], label: str) -> ColourScale:
    """Return a scale of gains and losses, symmetric around zero."""
    return robust_scale(arrays, "signed", CHANGE, label)


def pretty_units(units: str) -> str:
    """Return units as people write them.

    >>> pretty_units("g kg-1"), pretty_units("kg m-2")
    ('g/kg', 'kg/m²')
    """
    known = {"g kg-1": "g/kg", "kg m-2": "kg/m²", "kg m-2 yr-1": "kg/m²/yr", "1": ""}
    return known.get(units, units)


def nice_ticks(scale: ColourScale) -> list[float]:
    """Return round values within a scale: 1, 2 and 5 times powers of ten on a logarithmic one.

    On a logarithmic scale so short that there are fewer than three of those, even steps.
    """
    if scale.kind == "log":
        powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
        found = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        found = [v for v in found if scale.low <= v <= scale.high]
        if len(found) >= 3:
            return found if len(found) <= 9 else [v for v in found if f"{v:e}"[0] == "1"]
    span = scale.high - scale.low
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
    first = math.ceil(scale.low / step) * step
    return [round(first + i * step, 12) for i in range(int((scale.high - first) / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return a number as short as it can be said.

    >>> number(1000.0), number(0.5), number(-2.0)
    ('1,000', '0.5', '−2')
    """
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return text.replace("-", "−")
