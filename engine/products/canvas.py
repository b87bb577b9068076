"""What all maps of a report are drawn on: one coarse copy, one frame, one banner and caption."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .figures import draw_map
from .frame import Frame
from .layers import depth_label
from .pictures import Labels, Picture
from .preview import Preview
from .scales import ColourScale

Depth = tuple[float, float]


@dataclass(frozen=True)
class Canvas:
    """The coarse map, how it is laid on paper, and the quantity that the report opens with."""

    preview: Preview
    frame: Frame
    labels: Labels
    quantity: str
    units: str
    depths: tuple[Depth, ...] = field(default=())

    def draw(self, values: NDArray[Any], scale: ColourScale, name: str, title: str) -> Picture:
        """Draw one map."""
        return draw_map(
            self.preview, self.frame, values, scale, name=name, title=title, labels=self.labels
        )

    def width(
        self, quantity: str, depth: Depth, year: int | None = None
    ) -> NDArray[np.float32] | None:
        """Return the width of the 90 % interval of a layer, None where the map has no bounds."""
        if not self.preview.has("Q0.05", quantity) or not self.preview.has("Q0.95", quantity):
            return None
        low = self.preview.of(quantity, "Q0.05", depth, year)
        return self.preview.of(quantity, "Q0.95", depth, year) - low


def picture_labels(ds: xr.Dataset) -> Labels:
    """Return banner and caption of a map's pictures."""
    nominal = ds.attrs.get("nominal_resolution") or "unknown size"
    covariates = ds.attrs.get("covariate_resolution") or "unknown"
    caption = f"cells {nominal} · covariates {covariates}"
    if ds.attrs.get("scenario"):
        caption += " · scenario run, no hindcast or forecast"
    if not ds.attrs.get("complete", True):
        caption += " · INCOMPLETE: some tiles are not computed yet"
    return Labels(str(ds.attrs.get("banner", "")), caption)


def depth_words(depth: Depth) -> str:
    """Return a depth interval as people write it: ``0–5 cm``."""
    return depth_label(depth).replace("-", "–").replace("cm", " cm")
