"""Maps of several models side by side: in chosen years, and how they change.

In the manner of figures 7 and 8 of Zhang L. et al. (2024), the paper of POML, for one's own data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .canvas import Canvas, depth_words
from .figures import draw_multiples
from .layers import Layer, layers, mean_layers, years_of
from .pictures import Picture
from .preview import coarse_layers
from .scales import carbon_scale, change_scale, pretty_units
from .words import ARMS, arm_of, family_title

Values = NDArray[np.float32]


@dataclass(frozen=True)
class ArmMaps:
    """Coarse maps of the stock of each model in some years.

    Parameters
    ----------
    title, units
        Of the stock.
    values
        ``(y, x)`` by model and year; years in which a model has no value are left out.
    """

    title: str
    units: str
    values: Mapping[str, Mapping[int, Values]]

    @property
    def since(self) -> dict[str, int]:
        """The first year in which each model has values."""
        return {arm: min(years) for arm, years in self.values.items()}


def read_arm_maps(
    ds: xr.Dataset, canvas: Canvas, years: Sequence[int], begins: Mapping[str, int]
) -> ArmMaps:
    """Read the stocks of all models in some years, as coarse as the canvas.

    Parameters
    ----------
    years
        Those to be shown.
    begins
        First year of a model that begins later than the map does, which is read, too.
    """
    mine = [la for la in mean_layers(ds) if arm_of(la.quantity)]
    mine = [la for la in mine if la.depth == mine[0].depth]
    held = canvas.preview.values
    values: dict[str, dict[int, Values]] = {arm: {} for arm in ARMS}
    for layer in mine:
        arm = arm_of(layer.quantity)
        if layer.year not in {*years, begins.get(arm, years[0])}:
            continue
        found = held.get(layer.name)
        if found is None:
            found = coarse_layers(ds, [layer], canvas.preview.factor)[layer.name]
        if np.isfinite(found).any():
            values[arm][layer.year] = found
    title = f"{family_title(mine[0].quantity)}, {depth_words(mine[0].depth)}"
    told = {arm: by_year for arm, by_year in values.items() if by_year}
    return ArmMaps(title, pretty_units(mine[0].units), told)


def chosen_years(ds: xr.Dataset) -> list[int]:
    """Return the first, the middle and the last year of a map."""
    years = years_of(ds)
    return list(dict.fromkeys((years[0], years[(len(years) - 1) // 2], years[-1])))


def side_by_side(maps: ArmMaps, canvas: Canvas, years: Sequence[int]) -> Picture:
    """Draw the models side by side, a row for each year, on one scale."""
    blank = np.full(canvas.preview.status.shape, np.nan, np.float32)
    panels = {
        f"{year}: {ARMS[arm]}": maps.values[arm].get(year, blank)
        for year in years
        for arm in maps.values
    }
    return draw_multiples(
        canvas.preview,
        canvas.frame,
        panels,
        carbon_scale(list(panels.values()), maps.units),
        name="arms_by_year",
        title=f"{maps.title}, by model",
        labels=canvas.labels,
        across=len(maps.values),
    )


def changes(maps: ArmMaps, canvas: Canvas, last: int, sure: Mapping[str, Values]) -> Picture:
    """Draw each model's change to the last year, on one scale, marked where it is significant.

    Parameters
    ----------
    last
        The last year.
    sure
        By model, the share of each cell whose change is significant, ``(y, x)``; for some models
        or none.
    """
    panels, marked = {}, {}
    for arm, since in maps.since.items():
        if last in maps.values[arm]:
            label = f"{ARMS[arm]}, {since} to {last}"
            panels[label] = maps.values[arm][last] - maps.values[arm][since]
            if arm in sure:
                marked[label] = sure[arm]
    return draw_multiples(
        canvas.preview,
        canvas.frame,
        panels,
        change_scale(list(panels.values()), f"change, {maps.units}"),
        name="arms_change",
        title=f"{maps.title}: change by model",
        labels=canvas.labels,
        across=len(panels),
        marked=marked,
    )


def of_last_year(
    ds: xr.Dataset, noted: Sequence[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return what was found significant of the change to the last year, by model.

    Parameters
    ----------
    noted
        As a run's manifest holds it: ``Discovery.to_json()`` for each layer of changes.
    """
    last = years_of(ds)[-1]
    return {
        arm_of(one["variable"]): one
        for one in noted
        if one["year"] == last and arm_of(one["variable"])
    }


def significant(
    ds: xr.Dataset, canvas: Canvas, found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Values]:
    """Return the share of each coarse cell's tested cells whose change is significant, by model."""
    sure = {}
    for arm, one in found.items():
        largest = float(one["threshold"])

        def passed(p: Values, largest: float = largest) -> Values:
            return np.where(np.isnan(p), np.nan, p <= largest).astype(np.float32)

        layer = _last(ds, f"{one['variable']}_p", one["depth"])
        sure[arm] = coarse_layers(ds, [layer], canvas.preview.factor, of=passed)[layer.name]
    return sure


def _last(ds: xr.Dataset, variable: str, depth: str) -> Layer:
    mine = [la for la in layers(ds) if la.variable == variable and la.depth_label == depth]
    return mine[-1]
