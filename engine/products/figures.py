"""Maps as pictures: values, uncertainty, status, where the profiles are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pyproj import Transformer

from ..grid import Grid
from ..status import MAPPED, Status
from .cog import STATUS_COLOURS
from .colours import ACCENT, COUNTS, INK, MUTED, RULE, SEA
from .frame import GLOBE, Frame
from .pictures import Labels, Picture, blank, finish, style
from .preview import Preview, block_means
from .scales import ColourScale, nice_ticks, number

MAP_WIDTH = 7.4
#: Columns of pixels across a sheet of several maps, about, where the maps have as many.
SHEET_PIXELS = 1300
LEGEND_COLUMNS = 3
_COAST = (92, 102, 110, 190)
_BLANK_LAND = (140, 147, 154, 120)
_BLANK_STRIPE = (120, 127, 134, 150)
_MARK = (29, 39, 49, 255)
_DOT_STEP = 7


def draw_map(
    preview: Preview,
    frame: Frame,
    values: NDArray[np.float32],
    scale: ColourScale,
    *,
    name: str,
    title: str,
    labels: Labels,
) -> Picture:
    """Draw one layer: coloured where it has values, hatched where land has none, the sea tinted."""
    with style():
        figure, ax = _map_figure(frame, title, labels, foot=0.62)
        ax.imshow(
            _painted(preview, frame, values, scale),
            extent=frame.extent,
            interpolation="none",
            zorder=2,
        )
        draw_colour_bar(figure, scale)
        return finish(figure, name, title, _map_alt(title, values, scale, labels))


def draw_multiples(
    preview: Preview,
    frame: Frame,
    panels: Mapping[str, NDArray[np.float32]],
    scale: ColourScale,
    *,
    name: str,
    title: str,
    labels: Labels,
    across: int = 2,
    marked: Mapping[str, NDArray[np.float32]] | None = None,
) -> Picture:
    """Draw several layers on one sheet, with one scale, so that they compare.

    Parameters
    ----------
    panels
        Values by label, ``(y, x)`` of the preview's cells.
    across
        Panels in a row.
    marked
        For some of the labels the share of each cell that is marked, NaN where that is unknown:
        squares of pixels of which more than half is marked get a dot.
    """
    left, right, bottom, top = frame.extent
    wide = (MAP_WIDTH - 0.1 * (across + 1)) / across
    tall = min(wide * (top - bottom) / (right - left), 3.5)
    foot, head = 0.62, 0.6 if labels.banner else 0.4
    down = -(-len(panels) // across)
    height = head + down * (tall + 0.3) + foot
    with style():
        figure = blank(MAP_WIDTH, height)
        for i, (label, values) in enumerate(panels.items()):
            x = 0.1 + (i % across) * (wide + 0.1)
            y = foot + (down - 1 - i // across) * (tall + 0.3)
            ax = figure.add_axes((x / MAP_WIDTH, y / height, wide / MAP_WIDTH, tall / height))
            _prepare(ax, frame)
            step = max(1, frame.rows.shape[1] * across // SHEET_PIXELS)
            image = _painted(preview, frame, values, scale)[::step, ::step]
            if marked and label in marked:
                _mark(image, frame.lay(marked[label])[::step, ::step])
            ax.imshow(image, extent=frame.extent, interpolation="none", zorder=2)
            place = (x / MAP_WIDTH, (y + tall + 0.13) / height)
            figure.text(*place, label, fontsize=8.5, color=INK, va="center")
        write_headings(figure, title, labels)
        draw_colour_bar(figure, scale)
        words = "; ".join(
            f"{label}: median {number(float(np.nanmedian(values)))}"
            for label, values in panels.items()
            if np.isfinite(values).any()
        )
        return finish(figure, name, title, f"Maps side by side: {title}. {words} ({scale.label}).")


def draw_status(preview: Preview, frame: Frame, *, labels: Labels) -> Picture:
    """Draw why each cell has a value or none."""
    present = [s for s in Status if (preview.status == s).any()]
    shown = [s for s in present if s is not Status.SEA]
    with style():
        figure, ax = _map_figure(
            frame, "Status of each cell", labels, foot=0.4 + 0.2 * -(-len(shown) // LEGEND_COLUMNS)
        )
        lookup = np.zeros((256, 4), np.uint8)
        for s in shown:
            lookup[int(s)] = (*STATUS_COLOURS[s], 255)
        image = lookup[frame.lay(preview.status)]
        image[~frame.inside] = 0
        image[frame.coast(preview.status)] = _COAST
        ax.imshow(image, extent=frame.extent, interpolation="none", zorder=2)
        _legend(figure, shown)
        words = ", ".join(s.words for s in present)
        return finish(figure, "status", "Status of each cell", f"Map of cell status: {words}.")


def draw_profiles(
    preview: Preview,
    frame: Frame,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    *,
    labels: Labels,
    cell_degrees: float = 2.0,
) -> Picture:
    """Draw where the profiles on the map are, as counts in cells of `cell_degrees`."""
    there = preview.grid.locate(lon, lat)[2]  # a region's files may hold profiles of the world
    lon, lat = lon[there], lat[there]
    counted = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), cell_degrees)
    row, col, inside = counted.locate(lon, lat)
    counts = np.zeros(counted.shape, np.float32)
    np.add.at(counts, (row[inside], col[inside]), 1)
    title = f"Where the {len(lon):,} profiles are"
    scale = ColourScale(
        1.0, max(2.0, float(counts.max())), "log", COUNTS, f"profiles in {cell_degrees:g}° cells"
    )
    with style():
        figure, ax = _map_figure(frame, title, labels, foot=0.62)
        land = np.zeros((*frame.rows.shape, 4), np.uint8)
        land[frame.inside & (frame.lay(preview.status) != Status.SEA)] = (140, 147, 154, 90)
        land[frame.coast(preview.status)] = _COAST
        ax.imshow(land, extent=frame.extent, interpolation="none", zorder=2)
        ax.imshow(
            _count_image(counts, counted, preview.grid, frame, scale),
            extent=frame.extent,
            interpolation="none",
            zorder=3,
        )
        draw_colour_bar(figure, scale)
        empty = f"{int((counts > 0).sum()):,} cells of {cell_degrees:g} degrees hold a profile"
        return finish(figure, "profiles", title, f"Map: {title}; {empty}.")


def _count_image(
    counts: NDArray[np.float32], counted: Grid, grid: Grid, frame: Frame, scale: ColourScale
) -> NDArray[np.uint8]:
    x, y = np.meshgrid(grid.whole.x, grid.whole.y)
    if grid.is_geographic:
        lon, lat = x, y
    else:
        lon, lat = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    row, col, ok = counted.locate(lon, lat)
    cells = np.where(ok, counts[np.clip(row, 0, None), np.clip(col, 0, None)], 0)
    pixels = frame.lay(cells)
    image = _colours(np.where(pixels > 0, pixels, np.nan), scale)
    image[~frame.inside] = 0
    return image


def _map_figure(frame: Frame, title: str, labels: Labels, foot: float) -> tuple[Figure, Axes]:
    left, right, bottom, top = frame.extent
    wide = MAP_WIDTH - 0.16
    tall = min(wide * (top - bottom) / (right - left), 6.5)
    head = 0.58 if labels.banner else 0.36
    height = head + tall + foot
    figure = blank(MAP_WIDTH, height)
    ax = figure.add_axes((0.08 / MAP_WIDTH, foot / height, wide / MAP_WIDTH, tall / height))
    _prepare(ax, frame)
    write_headings(figure, title, labels)
    return figure, ax


def _prepare(ax: Axes, frame: Frame) -> None:
    left, right, bottom, top = frame.extent
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.set_axis_off()
    _graticule(ax, frame)


def write_headings(figure: Figure, title: str, labels: Labels) -> None:
    """Write title and banner at the top of a figure, and the caption at its foot."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.17 / height, title, fontsize=11, fontweight="bold", va="center")
    if labels.banner:
        figure.text(
            0.012,
            1 - 0.41 / height,
            labels.banner,
            fontsize=9,
            fontweight="bold",
            color=ACCENT,
            va="center",
        )
    figure.text(0.012, 0.09 / height, labels.caption, fontsize=7.5, color=MUTED, va="center")


def _graticule(ax: Axes, frame: Frame) -> None:
    if not frame.world:
        left, right, bottom, top = frame.extent
        ax.fill([left, right, right, left], [bottom, bottom, top, top], color=SEA, lw=0, zorder=0)
        return
    forward = Transformer.from_crs("EPSG:4326", GLOBE, always_xy=True)
    bottom, top = frame.extent[2:]
    south, north = (float(forward.transform(0.0, v, direction="INVERSE")[1]) for v in (bottom, top))
    lat = np.linspace(south, north, 91)
    right, y = forward.transform(np.full(91, 180.0), lat)
    ax.fill([*right, *-right[::-1]], [*y, *y[::-1]], color=SEA, lw=0, zorder=0)
    for lon in range(-150, 180, 30):
        ax.plot(*forward.transform(np.full(91, float(lon)), lat), color=RULE, lw=0.4, zorder=1)
    for parallel in (-60, -30, 0, 30, 60):
        if south < parallel < north:
            ends = forward.transform([-180.0, 180.0], [parallel, parallel])
            ax.plot(*ends, color=RULE, lw=0.4, zorder=1)


def _painted(
    preview: Preview, frame: Frame, values: NDArray[np.float32], scale: ColourScale
) -> NDArray[np.uint8]:
    """RGBA of each pixel: values, hatched land without a value, coast, clear sea."""
    pixels, status = frame.lay(values), frame.lay(preview.status)
    image = _colours(pixels, scale)
    blank_land = ~np.isfinite(pixels) & (status != Status.SEA)
    down, across = np.indices(pixels.shape)
    image[blank_land] = _BLANK_LAND
    image[blank_land & ((down + across) % 7 < 2)] = _BLANK_STRIPE
    image[frame.coast(preview.status) & ~np.isfinite(pixels)] = _COAST
    image[~frame.inside] = 0
    return image


def _mark(image: NDArray[np.uint8], shares: NDArray[np.float32]) -> None:
    """Put a dot in the middle of each square of pixels where most is marked, in an RGBA image."""
    row, col = np.nonzero(block_means(shares, _DOT_STEP) > 0.5)
    middle = _DOT_STEP // 2
    row, col = row * _DOT_STEP + middle, col * _DOT_STEP + middle
    inside = (row < shares.shape[0]) & (col < shares.shape[1])
    row, col = row[inside], col[inside]
    known = np.isfinite(shares[row, col])
    for down in (-1, 0):
        for across in (-1, 0):
            image[row[known] + down, col[known] + across] = _MARK


def _colours(values: NDArray[Any], scale: ColourScale) -> NDArray[np.uint8]:
    """RGBA of values in at most 240 colours, so that pictures stay small; clear where missing."""
    filled = np.where(np.isfinite(values), values, scale.low)
    if scale.kind == "log":
        filled = np.maximum(filled, scale.low)
    level = np.rint(np.asarray(scale.norm(filled), float) * 239) / 239
    image = np.asarray(scale.colours(level, bytes=True), np.uint8).copy()
    image[~np.isfinite(values)] = 0
    return image


def draw_colour_bar(
    figure: Figure,
    scale: ColourScale,
    box: tuple[float, float, float, float] | None = None,
    size: float = 8,
) -> None:
    """Draw the colours of a scale, its ticks below and its label to the right.

    Parameters
    ----------
    box
        Left, bottom, width and height as shares of the figure; above the caption by default.
    size
        Of the text, in points.
    """
    height = figure.get_figheight()
    left, bottom, wide, tall = box or (0.3, 0.44 / height, 0.4, 0.11 / height)
    ax = figure.add_axes((left, bottom, wide, tall))
    steps = np.linspace(0, 1, 240)[None, :]
    image = np.asarray(scale.colours(steps, bytes=True), np.uint8)
    ax.imshow(image, extent=(0, 1, 0, 1), aspect="auto", interpolation="none")
    ticks = nice_ticks(scale)
    ax.set_xticks([float(scale.norm(t)) for t in ticks], [number(t) for t in ticks])
    ax.set_yticks([])
    ax.tick_params(length=2, pad=1.5, labelsize=size)
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.5)
    place = left + wide + 0.015, bottom + tall / 2
    figure.text(*place, scale.label, fontsize=size, color=MUTED, va="center")


def _legend(figure: Figure, shown: Sequence[Status]) -> None:
    height = figure.get_figheight()
    across = LEGEND_COLUMNS
    for i, s in enumerate(shown):
        x = 0.012 + (i % across) * (0.976 / across)
        y = (0.2 * -(-len(shown) // across) + 0.2 - 0.2 * (i // across)) / height
        colour = tuple(v / 255 for v in STATUS_COLOURS[s])
        figure.patches.append(_swatch(figure, x, y, colour, height))
        suffix = "" if s in MAPPED else " (no value)"
        figure.text(x + 0.022, y, s.words + suffix, fontsize=7.5, color=INK, va="center")


def _swatch(figure: Figure, x: float, y: float, colour: Any, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (x, y - 0.05 / height),
        0.016,
        0.1 / height,
        transform=figure.transFigure,
        facecolor=colour,
        edgecolor=RULE,
        linewidth=0.5,
    )


def _map_alt(title: str, values: NDArray[np.float32], scale: ColourScale, labels: Labels) -> str:
    found = values[np.isfinite(values)]
    if not len(found):
        return f"Map: {title}; no cell has a value."
    low, middle, high = (float(v) for v in np.percentile(found, [5, 50, 95]))
    banner = f" {labels.banner}." if labels.banner else ""
    return (
        f"Map: {title}. Median {number(middle)}, 5 to 95 percent of cells "
        f"{number(low)} to {number(high)} ({scale.label}).{banner}"
    )
