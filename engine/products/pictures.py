"""Pictures: drawn once with matplotlib, kept as a PNG for folders and as themed SVG for pages."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..place import Place
from ..store import write_atomically
from .colours import INK, MUTED, PALETTE, PAPER, RULE

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "hatch.color": MUTED,
}
PNG_DPI = 160

#: matplotlib writes fonts as one property or as several, by version.
_FONTS = (
    (r"(font:[^;\"]*?)([\d.]+px) [^;\"]+", r"\1calc(\2 * var(--text, 1)) var(--sans, sans-serif)"),
    (r"font-size: ([\d.]+px)", r"font-size: calc(\1 * var(--text, 1))"),
    (r"font-family: [^;\"]+", "font-family: var(--sans, sans-serif)"),
)


@dataclass(frozen=True)
class Labels:
    """What every picture says besides its own title.

    Parameters
    ----------
    banner
        Such as ``VIRTUAL SOIL – not a real map``; empty for real maps.
    caption
        Nominal and covariate resolution.
    """

    banner: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A finished picture.

    Parameters
    ----------
    name
        File name without suffix.
    title
        Also drawn on it.
    alt
        What it shows, for those who cannot see it.
    png, svg
        The same drawing; the SVG takes its colours and font from the page it is put in.
    """

    name: str
    title: str
    alt: str
    png: bytes
    svg: str

    def save(self, folder: Place) -> None:
        """Write the PNG below `folder`, under the picture's name."""
        write_atomically(folder / f"{self.name}.png", self.png)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the one style of all pictures."""
    with mpl.rc_context(_STYLE):
        yield


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, bound to no window system."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure, name: str, title: str, alt: str) -> Picture:
    """Render a figure to PNG and themed SVG; must be called inside :func:`style`."""
    png = io.BytesIO()
    figure.savefig(
        png,
        format="png",
        dpi=PNG_DPI,
        facecolor=PAPER,
        pil_kwargs={"compress_level": 4},
        metadata={"Title": title, "Description": alt},
    )
    svg = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(name, title, alt, png.getvalue(), themed(svg.getvalue(), name, alt))


def themed(svg: str, name: str, alt: str) -> str:
    """Return an SVG for a page: ids of its own, colours by CSS variable, page font, alt text."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    images: list[str] = []
    body = re.sub(r"data:image/png;base64,\s*[A-Za-z0-9+/=\s]+", _set_aside(images), body)
    # Nothing refers to an image, and equal ones are named alike.
    body = re.sub(r'(<image\b[^>]*?) id="[^"]+"', r"\1", body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', body)
    for pattern, replacement in _FONTS:
        body = re.sub(pattern, replacement, body)
    for colour, variable in PALETTE.items():
        body = re.sub(colour, f"var({variable}, {colour})", body, flags=re.IGNORECASE)
    body = re.sub(r"image-(\d+)-set-aside", lambda m: images[int(m.group(1))], body)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)[0]
    opening = (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1).strip()


def smaller_png(data: bytes) -> bytes:
    """Return a PNG as palette image where it has at most 256 colours, else unchanged."""
    image = Image.open(io.BytesIO(data))
    pixels = np.ascontiguousarray(np.asarray(image.convert("RGBA")))
    colours, index = np.unique(pixels.view("<u4")[..., 0], return_inverse=True)
    if len(colours) > 256:
        return data
    palette = colours.astype("<u4").view(np.uint8).reshape(-1, 4)
    flat = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
    flat.putpalette(palette[:, :3].tobytes())
    made = io.BytesIO()
    flat.save(made, "PNG", transparency=palette[:, 3].tobytes())
    return made.getvalue() if len(made.getvalue()) < len(data) else data


def _set_aside(images: list[str]) -> Callable[[re.Match[str]], str]:
    """Return a substitution that keeps embedded images out of the way of the ones that follow."""

    def replace(match: re.Match[str]) -> str:
        data = smaller_png(base64.b64decode(match.group(0).partition(",")[2]))
        images.append(f"data:image/png;base64,{base64.b64encode(data).decode()}")
        return f"image-{len(images) - 1}-set-aside"

    return replace
