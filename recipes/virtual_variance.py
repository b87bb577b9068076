"""How much of the virtual soil's variation comes from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .virtual_truth import Strengths, VirtualSoil

Floats = NDArray[np.float64]

#: The sources of variation in the order they are switched on, and what each is called.
SOURCES: tuple[tuple[str, str], ...] = (
    ("clay", "hidden clay field"),
    ("wetness", "drainage (hidden but for relief)"),
    ("rooting", "hidden rooting depth"),
    ("broad", "hidden broad field"),
    ("regional", "hidden regional field"),
    ("local", "variation within a cell"),
    ("pedon", "nugget between pedons"),
)
CLIMATE = "climate"
MEASUREMENT = "measurement noise"


def variance_shares(
    soil: VirtualSoil,
    lon: Floats,
    lat: Floats,
    climate: Mapping[str, NDArray[Any]],
    depth: tuple[float, float] = (0.0, 30.0),
    weight: Floats | None = None,
) -> dict[str, float]:
    """Split the variance of ln(measured SOC) over points and a layer among its sources.

    The sources are switched on one after the other, so the shares add up to 1; each is the gain
    in variance, which may fall below 0 where a source counteracts those before it.

    Parameters
    ----------
    lon, lat
        Points in degrees, ``(n,)``; as many as give a stable variance (thousands).
    climate
        As :meth:`VirtualSoil.soc` takes it.
    depth
        Top and bottom in cm.
    weight
        Of each point; default equal.
    """
    off = Strengths(**{f.name: 0.0 for f in fields(Strengths)})
    strengths, variances, labels = off, [0.0], [CLIMATE]

    def variance() -> float:
        virtual = replace(soil, strengths=strengths)
        log_soc = np.log(virtual.soc(lon, lat, *depth, climate))
        return float(np.cov(log_soc, aweights=weight))

    variances.append(variance())
    for name, label in SOURCES:
        strengths = replace(strengths, **{name: getattr(soil.strengths, name)})
        variances.append(variance())
        labels.append(label)
    variances.append(variances[-1] + np.log1p(soil.strengths.measurement**2))
    labels.append(MEASUREMENT)
    gains = np.diff(variances) / variances[-1]
    return dict(zip(labels, gains.tolist(), strict=True))
