"""Maps of many years as a moving picture, for slides and messages: a GIF, which opens everywhere.

All frames share one palette: the steps of the colour scale, and what a page is drawn with. Pixels
that do not change from one year to the next take no room.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..place import Place
from ..store import write_atomically
from .colours import ACCENT, INK, MUTED, PAPER, RULE
from .colours import SEA as SEA_COLOUR
from .figures import draw_colour_bar
from .pictures import Labels, blank, style
from .scales import ColourScale, number
from .yearly_maps import COAST, LAND, SEA, YearlyMaps

#: Bytes of a moving picture; it is drawn smaller where it would take more.
MOST_BYTES = 8_000_000
#: Milliseconds for each year, and for the last.
PAUSE, LAST_PAUSE = 500, 2500
#: Pixels across; the height follows.
WIDTH = 1200
#: Pixels of a map's height at most.
MOST_TALL = 640
#: Steps of the colour scale.
STEPS = 96
#: Mixtures of ink and paper.
_INKS = 40
_DPI = 130
_MARGIN = 18
_BLANK, _STRIPE, _SHORE = (196, 200, 204), (180, 185, 190), (120, 128, 135)

Shown = Literal["value", "change"]
Indices = NDArray[np.uint8]


@dataclass(frozen=True)
class Animation:
    """A finished moving picture.

    Parameters
    ----------
    name
        File name without suffix.
    title
        Also drawn on it.
    alt
        What it shows, for those who cannot see it.
    gif
        The file.
    """

    name: str
    title: str
    alt: str
    gif: bytes

    def save(self, folder: Place) -> None:
        """Write the GIF below `folder`, under the picture's name."""
        write_atomically(folder / f"{self.name}.gif", self.gif)


def animate(
    maps: YearlyMaps, shown: Shown, labels: Labels, most_bytes: int = MOST_BYTES
) -> Animation:
    """Draw every year's maps side by side, on one colour scale.

    Parameters
    ----------
    maps
        Of all years.
    shown
        Values, or their change since the first year.
    labels
        Banner and caption.
    most_bytes
        Of the file: it is drawn at four fifths of the size until it fits, down to a quarter.

    Returns
    -------
    Animation
        Frames are one byte a pixel while it is made, at most 60 of 1200 pixels across.
    """
    scale = maps.scale() if shown == "value" else maps.change_scale()
    title = maps.title
    if shown == "change":
        title += f": change since {maps.years[min(maps.begins.values())]}"
    width = WIDTH
    while True:
        made = _encode(_Film(maps, shown, scale, title, labels, width))
        if len(made) <= most_bytes or width < WIDTH / 4:
            break
        width = int(width * 0.8)
    name = f"{maps.name}_by_year" if shown == "value" else f"{maps.name}_change_by_year"
    banner = f" {labels.banner}." if labels.banner else ""
    alt = (
        f"Moving picture: {title}, {maps.years[0]} to {maps.years[-1]}, "
        f"{' and '.join(maps.panels)}; colours from {number(scale.low)} to {number(scale.high)} "
        f"({scale.label}).{banner}"
    )
    return Animation(name, title, alt, made)


@dataclass(frozen=True)
class _Film:
    """What frames are drawn from; sizes are in pixels."""

    maps: YearlyMaps
    shown: Shown
    scale: ColourScale
    title: str
    labels: Labels
    width: int

    @property
    def zoom(self) -> float:
        return self.width / WIDTH

    def px(self, size: float) -> int:
        """Return a length of the full size as it is here."""
        return round(size * self.zoom)

    @property
    def across(self) -> int:
        """Panels in a row: wide maps stand in two rows."""
        rows, cols = self.maps.ground.shape
        count = len(self.maps.panels)
        return count if count < 3 or cols < 1.4 * rows else math.ceil(count / 2)

    @property
    def panel(self) -> tuple[int, int]:
        """Height and width of a map."""
        rows, cols = self.maps.ground.shape
        gaps = (self.across + 1) * self.px(_MARGIN)
        wide = (self.width - gaps) / self.across
        tall = min(wide * rows / cols, self.px(MOST_TALL))
        return max(1, round(tall)), max(1, round(tall * cols / rows))

    @property
    def head(self) -> int:
        return self.px(94 if self.labels.banner else 76)

    @property
    def height(self) -> int:
        down = -(-len(self.maps.panels) // self.across)
        return self.head + down * (self.panel[0] + self.px(40)) + self.px(92)

    def corner(self, place: int) -> tuple[int, int]:
        """Return the top row and left column of a panel; an unfilled last row is centred."""
        tall, wide = self.panel
        row, col = divmod(place, self.across)
        here = min(self.across, len(self.maps.panels) - row * self.across)
        gap = (self.width - here * wide) // (here + 1)
        top = self.head + row * (tall + self.px(40)) + self.px(34)
        return top, gap + col * (wide + gap)


def _encode(film: _Film) -> bytes:
    palette = _palette(film.scale)
    back = _backdrop(film, palette)
    frames = _frames(film, back, palette)
    first = next(frames)
    pauses = [PAUSE] * (len(film.maps.years) - 1) + [LAST_PAUSE]
    file = io.BytesIO()
    first.save(
        file,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=pauses,
        loop=0,
        optimize=False,
        disposal=1,
        comment=f"{film.title}. {film.labels.banner} {film.labels.caption}".encode(),
    )
    return file.getvalue()


def _palette(scale: ColourScale) -> NDArray[np.uint8]:
    """Return 256 colours: steps of the scale, ground, and mixtures of ink and paper for text."""
    steps = np.asarray(scale.colours(np.linspace(0, 1, STEPS), bytes=True), np.uint8)[:, :3]
    ground = [_BLANK, _STRIPE, _SHORE, _bytes(SEA_COLOUR), _bytes(RULE), _bytes(PAPER)]
    mixed = [
        np.asarray(_bytes(PAPER)) * (1 - share) + np.asarray(_bytes(colour)) * share
        for colour, count in ((INK, _INKS), (MUTED, 24), (ACCENT, 24))
        for share in np.linspace(0, 1, count + 1)[1:]
    ]
    found = np.concatenate([steps, np.array(ground, np.uint8), np.rint(mixed).astype(np.uint8)])
    full = np.zeros((256, 3), np.uint8)
    full[: len(found)] = found
    full[len(found) :] = found[-1]
    return full


def _bytes(colour: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * c) for c in to_rgb(colour))
    return red, green, blue


_AT = {
    name: STEPS + i for i, name in enumerate(("blank", "stripe", "shore", "sea", "rule", "paper"))
}


def _backdrop(film: _Film, palette: NDArray[np.uint8]) -> Image.Image:
    """Draw what all frames share: title, banner, names of the maps, colour bar, caption."""
    with style():
        figure = blank(film.width / _DPI, film.height / _DPI)
        figure.set_dpi(_DPI)
        at = _Writer(figure, film)
        at.write(_MARGIN, 28, film.title, 15, INK, bold=True)
        if film.labels.banner:
            at.write(_MARGIN, 62, film.labels.banner, 12, ACCENT, bold=True)
        for place, label in enumerate(film.maps.panels):
            top, left = film.corner(place)
            if len(film.maps.panels) > 1:
                name = _since(film, label)
                at.write(left / film.zoom, top / film.zoom - 15, name, 12, INK)
        full = film.height / film.zoom
        at.write(_MARGIN, full - 16, film.labels.caption, 9, MUTED)
        draw_colour_bar(
            figure,
            film.scale,
            (0.3, (film.px(64)) / film.height, 0.4, film.px(15) / film.height),
            size=10 * film.zoom,
        )
        figure.set_facecolor(PAPER)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette.tobytes())
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGB")
    return image.quantize(palette=holder, dither=Image.Dither.NONE)


@dataclass(frozen=True)
class _Writer:
    figure: Figure
    film: _Film

    def write(
        self, x: float, y: float, text: str, size: float, colour: str, bold: bool = False
    ) -> None:
        """Write text with its middle `y` pixels of the full size below the top."""
        film = self.film
        self.figure.text(
            film.px(x) / film.width,
            1 - film.px(y) / film.height,
            text,
            fontsize=size * film.zoom * 0.9,
            fontweight="bold" if bold else "normal",
            color=colour,
            va="center",
        )


def _since(film: _Film, label: str) -> str:
    """Return a panel's name, and since when it changes where that is not the first year."""
    begun = film.maps.begins[label]
    return label if begun == 0 else f"{label}, from {film.maps.years[begun]} on"


def _frames(film: _Film, back: Image.Image, palette: NDArray[np.uint8]) -> Iterator[Image.Image]:
    maps = film.maps
    face = ImageFont.truetype(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight="bold")),
        film.px(46),
    )
    rows, cols = _laid(maps.ground.shape, film.panel)
    ground = _ground(maps.ground[rows][:, cols])
    for position, year in enumerate(maps.years):
        page = np.asarray(back).copy()
        for place, label in enumerate(maps.panels):
            values = (
                maps.panels[label][position]
                if film.shown == "value"
                else maps.changes(label, position)
            )[rows][:, cols]
            top, left = film.corner(place)
            here = page[top : top + len(rows), left : left + len(cols)]
            held = np.isfinite(values)
            np.copyto(here, ground, where=ground > 0)
            here[held] = _steps(values[held], film.scale)
        _write_year(page, film, str(year), face)
        frame = Image.fromarray(page, "P")
        frame.putpalette(palette.tobytes())
        _timeline(ImageDraw.Draw(frame), film, position)
        yield frame


def _write_year(page: Indices, film: _Film, year: str, face: ImageFont.FreeTypeFont) -> None:
    """Write the year in the corner, its edges in mixtures of ink and paper."""
    mask = Image.new("L", (film.px(220), film.px(50)), 0)
    ImageDraw.Draw(mask).text((mask.width, film.px(2)), year, fill=255, font=face, anchor="rt")
    level = np.rint(np.asarray(mask) / 255 * _INKS).astype(np.uint8)
    right, top = film.width - film.px(_MARGIN), film.px(10)
    here = page[top : top + mask.height, right - mask.width : right]
    here[level > 0] = STEPS + len(_AT) - 1 + level[level > 0]


def _timeline(pen: ImageDraw.ImageDraw, film: _Film, position: int) -> None:
    """Draw how far through the years a frame is, under the year."""
    years = film.maps.years
    right, width = film.width - film.px(_MARGIN), film.px(150)
    left, top = right - width, film.px(62)
    share = (years[position] - years[0]) / (years[-1] - years[0])
    thick = max(2, film.px(5))
    pen.rectangle((left, top, right, top + thick), fill=_AT["rule"])
    pen.rectangle(
        (left, top, left + round(share * width), top + thick), fill=STEPS + len(_AT) + _INKS + 47
    )


def _laid(shape: tuple[int, int], wanted: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """Return which row and column of the maps each row and column of a panel shows."""
    return tuple(
        np.minimum((np.arange(w) + 0.5) * n / w, n - 1).astype(np.int64)
        for n, w in zip(shape, wanted, strict=True)
    )


def _ground(kinds: NDArray[np.uint8]) -> Indices:
    """Return the palette's index for each pixel without a value, 0 outside the map."""
    found = np.zeros(kinds.shape, np.uint8)
    down, across = np.indices(kinds.shape)
    found[kinds == SEA] = _AT["sea"]
    found[kinds == COAST] = _AT["shore"]
    found[kinds == LAND] = _AT["blank"]
    found[(kinds == LAND) & ((down + across) % 9 < 3)] = _AT["stripe"]
    return found


def _steps(values: NDArray[np.float32], scale: ColourScale) -> Indices:
    filled = np.maximum(values, scale.low)
    return np.rint(np.asarray(scale.norm(filled), float) * (STEPS - 1)).astype(np.uint8)
