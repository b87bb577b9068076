"""What a region may not be: each refusal says what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..conv.learning_rows import LearningRows
from ..conv.weights import Seen
from ..errors import InputError
from ..samples import Samples
from .branch_fit import BranchFit
from .fitted import FittedBranches
from .group_set import GroupSet
from .settings import GsoilcpmSettings

#: Factor between units that are easily mistaken, and what the median may differ by to look so.
UNIT_FACTOR, LOOKS_SO = 10.0, (5.0, 20.0)
#: Share of a covariate's cells around the region's places that may lie beyond the world's.
MOST_BEYOND = 0.5


def check_absent(absent: tuple[str, ...], start: BranchFit) -> None:
    """Refuse a region without a group where nets never learned to do without one."""
    if absent and not start.nets.nets[0].shape.group_dropout:
        raise InputError(
            f"the region's cube lacks the group {', '.join(absent)}, and the model of the world "
            "never learned to do without a group: give its covariates, or pre-train with "
            "group_dropout above 0"
        )


def check_units(found: Mapping[str, Seen], wanted: Mapping[str, Seen]) -> None:
    """Refuse covariates that are not what they were in the world."""
    problems = [
        f'{what} of "{name}": "{getattr(wanted[name], what)}" in the world, "{given}" here'
        for name, seen in found.items()
        if name in wanted
        for what, given in (("kind", seen.kind), ("time", seen.time), ("units", seen.units))
        if given != getattr(wanted[name], what)
    ]
    if problems:
        raise InputError(
            f"the region's cube holds other covariates than the model learned: "
            f"{'; '.join(problems)}. Convert them when the cube is built (scale and offset of the "
            "layer), or state their units as they are"
        )


def check_range(beyond: Mapping[str, float], told: GsoilcpmSettings) -> None:
    """Refuse covariates that mostly lie beyond all that the world has of them.

    Parameters
    ----------
    beyond
        The share of cells of each that does.
    """
    far = {name: share for name, share in beyond.items() if share > MOST_BEYOND}
    if far and not told.fine_tuning.trust_units:
        raise InputError(
            "the region's covariates lie beyond all that the world has of them: "
            + ", ".join(f"{name} in {100 * share:.0f} % of cells" for name, share in far.items())
            + ". Are they in the units of the model? Slopes must be made of relief on cells as "
            "large as the world's; a finer one may stand beside it under another name (--own "
            "NAME). Set fine_tuning.trust_units = true if they are right: they count as the "
            "world's extremes"
        )


def check_target(
    samples: Samples,
    world: FittedBranches,
    held: GroupSet,
    rows: LearningRows,
    told: GsoilcpmSettings,
) -> None:
    """Refuse targets that fit the world far better times or over ten: per cent, for one."""
    if told.fine_tuning.trust_units:
        return
    said = world.together(world.of_rows(held, rows.patch, rows.extra)).centre
    log1p = told.transform == "log1p"
    expected = np.maximum(np.expm1(said) if log1p else said, 1e-3)
    off = np.log(expected / np.maximum(samples.y, 1e-3))
    factor = float(np.exp(np.median(off)))
    for times, words in ((UNIT_FACTOR, "per cent"), (1 / UNIT_FACTOR, "tenths of g/kg")):
        mended = off - np.log(times)
        near = LOOKS_SO[0] < (factor if times > 1 else 1 / factor) < LOOKS_SO[1]
        if near and (mended**2).mean() < 0.5 * (off**2).mean():
            raise InputError(
                f"the region's {samples.target[0]} looks as if it were in {words}: its median is "
                f"{np.median(samples.y):.3g}, where the model of the world expects "
                f"{np.median(expected):.3g} {samples.target[1]}. Declare the units of the column "
                '(units = { soc = "%" }, or --unit soc=%), or set fine_tuning.trust_units = true '
                "if it is so"
            )
