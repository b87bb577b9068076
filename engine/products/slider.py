"""Maps of many years to move through in a page: values of pixels, not pictures of them.

The page holds each pixel's value in each year, so that it can colour values and changes alike, and
show the course of a point. Values are whole numbers of a small step. A year is stored as what it
differs from the year before, which is little, so that 20 years of a map take about as much as
three. Nothing is fetched: script and style are inside, the browser inflates.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from .pictures import Labels
from .scales import ColourScale, nice_ticks, number
from .tables import digits_for
from .yearly_maps import LAND, YearlyMaps

#: Bytes of the values in the page, as text; maps are shown coarser where they would take more.
MOST_BYTES = 6_000_000
#: Steps between the smallest and the largest value at least.
STEPS = 4000
#: Stands for a value that is missing, as a signed 16-bit number.
MISSING = -32768
#: CSS variables that colour the panels' lines, in order.
LINES = ("--accent", "--teal", "--violet", "--gold")  # as those of charts


@dataclass(frozen=True)
class Slider:
    """Yearly maps as HTML.

    Parameters
    ----------
    name
        File name without suffix.
    fragment
        To be put in a page that has the report's style.
    style, script
        What that page must hold besides, once.
    page
        A page of its own.
    """

    name: str
    fragment: str
    style: str
    script: str
    page: str


def make_slider(
    maps: YearlyMaps,
    labels: Labels,
    means: Mapping[str, Mapping[int, float]] | None = None,
    most_bytes: int = MOST_BYTES,
) -> Slider:
    """Return maps as HTML to move through.

    Parameters
    ----------
    maps
        Of all years.
    labels
        Banner and caption.
    means
        Area-weighted mean of the whole map by panel and year, drawn as long as no point is chosen;
        the mean of the pixels by default.
    most_bytes
        Of the values as text.
    """
    scales = {"value": maps.scale(), "change": maps.change_scale()}
    packed = pack(maps)
    while packed.size > most_bytes and min(packed.ground.shape) > 1:
        maps = maps.coarser()
        packed = pack(maps)
    data = _described(maps, scales, packed, means)
    here = resources.files(__package__)
    style, script, template, outer = (
        (here / name).read_text(encoding="utf-8")
        for name in ("slider.css", "slider.js", "slider.html", "slider_page.html")
    )
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    markup = jinja2.filters.Markup
    fragment = environment.from_string(template).render(
        maps=maps,
        labels=labels,
        name=f"{maps.name}_by_year",
        data=markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")),
        # what there is to see without script
        line="; ".join(_in_words(maps, label) for label in maps.panels),
    )
    page = environment.from_string(outer).render(
        title=maps.title,
        banner=labels.banner,
        years=maps.years,
        style=markup((here / "report.css").read_text(encoding="utf-8") + style),
        script=markup(script),
        fragment=markup(fragment),
    )
    return Slider(f"{maps.name}_by_year", fragment, style, script, page)


@dataclass(frozen=True)
class Packed:
    """Values of pixels as text.

    Parameters
    ----------
    step, offset
        A value is ``offset + step * number``.
    ground
        Of the pixels, ``(H, W)``.
    panels
        Base64 of deflated numbers, by label: for each year the low bytes of all land pixels, then
        their high bytes, of the difference to the year before modulo 65,536, folded so that small
        ones of either sign are small: 0, -1, 1, -2, … become 0, 1, 2, 3, …. What comes before the
        first year is, for each pixel, its predecessor in that same year (zero for the first).
    """

    step: float
    offset: float
    ground: NDArray[np.uint8]
    panels: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all panels as text."""
        return sum(len(text) for text in self.panels.values())


def pack(maps: YearlyMaps) -> Packed:
    """Return the values of all land pixels as text."""
    held = [v[np.isfinite(v)] for v in maps.panels.values()]
    low, high = (
        min((float(v.min()) for v in held if v.size), default=0.0),
        max((float(v.max()) for v in held if v.size), default=1.0),
    )
    step = _round_step((high - low) / STEPS)
    offset = math.floor(low / step) * step
    land = maps.ground == LAND
    panels = {}
    for label, values in maps.panels.items():
        before = None
        made = zlib.compressobj(6)
        parts = []
        for year in values:
            with np.errstate(invalid="ignore"):
                numbers = np.rint((year[land].astype(np.float64) - offset) / step)
            numbers[~np.isfinite(numbers)] = MISSING
            now = numbers.astype(np.int16)
            if before is None:
                before = np.concatenate([np.zeros(1, np.int16), now[:-1]])
            difference = (now.view(np.uint16) - before.view(np.uint16)).view(np.int16)
            folded = ((difference << 1) ^ (difference >> 15)).view(np.uint16)
            halves = (folded & 0xFF, folded >> 8)
            parts += [made.compress(half.astype(np.uint8).tobytes()) for half in halves]
            before = now
        parts.append(made.flush())
        panels[label] = base64.b64encode(b"".join(parts)).decode()
    return Packed(step, offset, maps.ground, panels)


def _round_step(step: float) -> float:
    """Return the largest of 1, 2 and 5 times powers of ten that is no larger than `step`."""
    if not step > 0:
        return 1e-6
    power = 10.0 ** math.floor(math.log10(step))
    return max(m * power for m in (1, 2, 5) if m * power <= step * (1 + 1e-9))


def _described(
    maps: YearlyMaps,
    scales: Mapping[str, ColourScale],
    packed: Packed,
    means: Mapping[str, Mapping[int, float]] | None,
) -> dict[str, Any]:
    """Return what the script reads."""
    rows, cols = maps.ground.shape
    values, changes = scales["value"], scales["change"]
    begins = maps.begins
    first = min(begins.values())
    return {
        "title": maps.title,
        "units": maps.units,
        "digits": min(3, digits_for([values.high])),
        "years": maps.years,
        "rows": rows,
        "cols": cols,
        "step": packed.step,
        "offset": packed.offset,
        "ground": base64.b64encode(zlib.compress(maps.ground.tobytes(), 9)).decode(),
        "place": _place(maps),
        "views": [
            {"label": _short(maps.title), **_scale_words(values)},
            {"label": f"Change since {maps.years[first]}", **_scale_words(changes)},
        ],
        "panels": [
            {
                "label": label,
                "colour": LINES[i % len(LINES)],
                "since": begins[label],
                "values": packed.panels[label],
                "mean": _course(maps, label, (means or {}).get(label)),
            }
            for i, label in enumerate(maps.panels)
        ],
    }


def _short(title: str) -> str:
    return title.partition(",")[0]


def _place(maps: YearlyMaps) -> list[float] | None:
    """Return west and north edge and cell size in degrees, where pixels have such."""
    if not maps.geographic:
        return None
    left, right, bottom, top = maps.extent
    rows, cols = maps.ground.shape
    return [left, top, (right - left) / cols, (top - bottom) / rows]


def _scale_words(scale: ColourScale) -> dict[str, Any]:
    colours = np.asarray(scale.colours(np.linspace(0, 1, 256), bytes=True), np.uint8)[:, :3]
    return {
        "low": scale.low,
        "high": scale.high,
        "log": scale.kind == "log",
        "words": scale.label,
        "ticks": [[round(float(scale.norm(t)), 4), number(t)] for t in nice_ticks(scale)],
        "colours": base64.b64encode(colours.tobytes()).decode(),
    }


def _course(maps: YearlyMaps, label: str, means: Mapping[int, float] | None) -> list[float | None]:
    """Return a panel's mean in each year."""
    values = maps.panels[label]
    found = []
    for t, year in enumerate(maps.years):
        held = values[t][np.isfinite(values[t])]
        mean = (means or {}).get(year, float(held.mean()) if held.size else math.nan)
        found.append(round(mean, 5) if math.isfinite(mean) else None)
    return found


def _in_words(maps: YearlyMaps, label: str) -> str:
    course = _course(maps, label, None)
    begun = maps.begins[label]
    first, last = course[begun], course[-1]
    if first is None or last is None:
        return label
    ends = f"{maps.years[begun]} {number(first)}, {maps.years[-1]} {number(last)} {maps.units}"
    return f"{label}: mean of the map {ends}"
