"""What models of nets have in common beside their nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..conv.learning_rows import Floats
from ..conv.predictive import Pair, Predictive, Said
from .columns import quantile_name
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


def named_outputs(
    name: str,
    predictive: Predictive,
    said: Said,
    depth: Any,
    pairs: Sequence[Pair],
    quantiles: Sequence[float],
) -> dict[str, Floats]:
    """Return mean and quantiles of what nets say, by the names of a model's outputs.

    `depth` is the position of each value's depth, or that of all of them.
    """
    found = {f"{name}_mean": predictive.mean(said, depth)}
    for which, pair in enumerate(pairs):
        for level, bound in zip(pair, predictive.bounds(said, depth, which), strict=True):
            found[quantile_name(name, level)] = bound
    if 0.5 in quantiles:
        found[quantile_name(name, 0.5)] = predictive.median(said, depth)
    return found
