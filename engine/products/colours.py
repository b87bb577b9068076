"""Colours of maps and charts: perceptually uniform ramps, a palette for light and dark pages."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike, NDArray

#: Colours that pictures are drawn with, and the CSS variables that replace them in a page.
PALETTE: Final[dict[str, str]] = {
    "#1d2731": "--ink",
    "#66717c": "--muted",
    "#d5dadf": "--rule",
    "#e4ecf0": "--sea",
    "#fefefe": "--paper",
    "#9c4f1c": "--accent",
    "#1c6e7a": "--teal",
    "#b8860c": "--gold",
    "#6c5a8f": "--violet",
    "#e9edf0": "--band",
}
INK, MUTED, RULE, SEA, PAPER, ACCENT, TEAL, GOLD, VIOLET, BAND = PALETTE

_D65 = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def lab_to_rgb(lab: ArrayLike) -> NDArray[np.float64]:
    """Return sRGB in 0..1 for CIE L*a*b* (D65), shape ``(n, 3)``; out-of-gamut values are clipped.

    CIE 15:2004, section 8.2.1 (inverse), and IEC 61966-2-1 for the sRGB matrix and transfer curve.
    """
    light, a, b = np.asarray(lab, float).T
    fy = (light + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _D65
    linear = np.clip(xyz @ _XYZ_TO_RGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def ramp(name: str, anchors: ArrayLike, steps: int = 256) -> ListedColormap:
    """Return a colour map through `anchors` (L*a*b*) whose neighbours differ by equal distances."""
    nodes = np.asarray(anchors, float)
    fine = np.linspace(0, len(nodes) - 1, 4096)
    path = np.stack(
        [np.interp(fine, np.arange(len(nodes)), channel) for channel in nodes.T], axis=1
    )
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.linspace(0, travelled[-1], steps)
    lab = np.stack([np.interp(even, travelled, channel) for channel in path.T], axis=1)
    return ListedColormap(lab_to_rgb(lab), name=name)


#: Carbon content: straw, ochre, rust, humus.
CARBON = ramp(
    "edaphos.carbon",
    [(95, -3, 22), (83, 4, 42), (66, 20, 46), (47, 29, 36), (29, 19, 20), (13, 4, 6)],
)
#: Uncertainty: pale mint to deep blue.
WIDTH = ramp(
    "edaphos.width",
    [(95, -5, 6), (80, -20, 4), (60, -22, -12), (40, -8, -28), (18, 8, -28)],
)
#: Counts: strong from one on.
COUNTS = ramp("edaphos.counts", [(80, 18, 58), (62, 38, 44), (42, 42, 18), (20, 24, -6)])
_TEAL_TO_RUST = [(28, -14, -14), (60, -22, -12), (95, -1, 2), (64, 26, 36), (32, 32, 28)]
#: Signed errors: teal below, rust above.
SIGNED = ramp("edaphos.signed", _TEAL_TO_RUST)
#: Changes: rust where carbon is lost, teal where it is gained, as layers of sure changes have it.
CHANGE = ramp("edaphos.change", _TEAL_TO_RUST[::-1])
