"""What models of nets have in common beside their nets."""

from __future__ import annotations

from collections.abc import Sequence

from .protocol import Depth, ModelSpec


def calibrated_words(level: float) -> str:
    """Return what a quantile of a net is called: all but the median have been calibrated."""
    return f"{100 * level:g} % quantile" + ("" if level == 0.5 else ", calibrated")


def depth_alone(
    quantiles: Sequence[float], depths: Sequence[Depth], transform: str, seed: int
) -> ModelSpec:
    """Return what stands beside a net in an assessment: a forest that sees depth alone."""
    settings = {
        "covariates": (),
        "trees": 20,  # there is nothing but top and bottom to learn from
        "quantiles": tuple(quantiles),
        "depths": tuple(depths),
        "transform": transform,
        "seed": seed,
    }
    return ModelSpec("forest", settings)
