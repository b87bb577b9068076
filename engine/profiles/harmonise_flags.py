"""What is told of depths made from layers: flags on rows, counts, what became of layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.depth import CLIPPED, LIMITED
from edaphos.kernels.depth_means import IntervalMeans

from .depth_layers import Depths, Fitted, Method, MineralLayers
from .harmonise_report import DepthCount
from .qa_report import QALine, lines_by_source
from .schema import COLUMNS

#: A share of a depth may fall short of what is asked for by so much, which rounding explains.
ROUNDING = 1e-9

#: What the flags of this step mean.
WHY = {
    "partly_sampled": "depths sampled in part, whose mean stands for the whole",
    "bridged": "depths that lie between layers, on the straight line that joins them",
    "one_layer": "depths within the only layer of a profile, whose value is taken throughout",
    "limited": "the spline is drawn towards its layer's mean, to stay within what is possible",
    "clipped": "the smoothed mean of a layer lies beyond what is possible and is set to the limit",
}


def own_flags(fit: Fitted) -> dict[str, NDArray[np.bool_]]:
    """Return where each of :data:`WHY` holds, ``(profiles, depths)``."""
    means = fit.means
    reached = means.covered > 0
    return {
        "partly_sampled": (means.sampled > 0) & (means.sampled < 1 - ROUNDING),
        "bridged": reached & (means.sampled == 0),
        "one_layer": reached & (fit.layers == 1)[:, None],
        "limited": (means.state & LIMITED) > 0,
        "clipped": (means.state & CLIPPED) > 0,
    }


def flag_text(layers: MineralLayers, depths: Depths, fit: Fitted) -> NDArray[np.object_]:
    """Return the flags of the layers that reach into each depth, then those of this step.

    Separated by blanks, ``(profiles, depths)``.
    """
    code, texts = pd.factorize(layers.table["flags"])
    words = [str(text).split() for text in texts]
    found = np.full(fit.means.value.shape, "", dtype=object)
    top, bottom, number = layers.values("top_cm"), layers.values("bottom_cm"), layers.number
    for name in dict.fromkeys(name for each in words for name in each):
        has = np.array([name in each for each in words])[code]
        for t, (upper, lower) in enumerate(depths):
            reach = has & (top < lower) & (bottom > upper)
            found[np.bincount(number[reach], minlength=layers.profiles) > 0, t] += f" {name}"
    for name, mask in own_flags(fit).items():
        found[mask] += f" {name}"
    stripped = [text.strip() for text in found.ravel()]
    return np.array(stripped, dtype=object).reshape(found.shape)


def depth_counts(
    depths: Depths, means: IntervalMeans, kept: NDArray[np.bool_]
) -> tuple[DepthCount, ...]:
    """Return for each depth how many profiles fill it, in part or not, and how many do not."""
    reached, whole = means.covered > 0, means.sampled >= 1 - ROUNDING
    return tuple(
        DepthCount(
            top_cm=float(top),
            bottom_cm=float(bottom),
            rows=int(kept[:, t].sum()),
            partly=int((kept & ~whole)[:, t].sum()),
            too_little=int((reached & ~kept)[:, t].sum()),
            not_reached=int((~reached)[:, t].sum()),
        )
        for t, (top, bottom) in enumerate(depths)
    )


def what_became(
    layers: MineralLayers,
    surface: pd.DataFrame,
    depths: Depths,
    fit: Fitted,
    kept: NDArray[np.bool_],
    column: str,
    method: Method,
) -> tuple[QALine, ...]:
    """Return by source what became of layers, then of profiles, then of depths (as rows)."""
    table, number = layers.table, layers.number
    value, top, bottom = (layers.values(name) for name in (column, "top_cm", "bottom_cm"))
    known = np.isfinite(value)
    outside = known.copy()
    for upper, lower in depths:
        outside &= (top >= lower) | (bottom <= upper)
    shapes = ", but shapes the curve" if method == "spline" else ""
    without: NDArray[np.bool_] = np.all(~kept, axis=1)
    lines = lines_by_source(
        surface, "surface_layer", "noted", "above the mineral soil, kept as it is"
    )
    lines += lines_by_source(
        table[~known], "no_value", "dropped", f"no value of {COLUMNS.get(column, column)}"
    )
    lines += lines_by_source(
        table[fit.overlapping[number] & known],
        "overlap_averaged",
        "converted",
        "layers of profiles in which some overlap or repeat, averaged where they coincide",
    )
    lines += lines_by_source(
        table[outside], "outside_depths", "noted", f"reaches into none of the depths{shapes}"
    )
    lines += lines_by_source(
        table[without[number]],
        "profile_without_depth",
        "dropped",
        "its profile fills none of the depths",
    )
    uppermost, reached = layers.uppermost, fit.means.covered > 0
    lines += lines_by_source(
        uppermost.iloc[np.nonzero(reached & ~kept)[0]],
        "sampled_too_little",
        "dropped",
        "depths that a profile reaches, too little of which was sampled",
    )
    for name, mask in own_flags(fit).items():
        rows = uppermost.iloc[np.nonzero(mask & kept)[0]]
        lines += lines_by_source(rows, name, "flagged", WHY[name])
    return tuple(lines)
