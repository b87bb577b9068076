"""Soil layers as they were sampled, turned into the depths of a map.

A spline through the layers of a profile, or the shares of the layers that lie in a depth. Learning
from depths rather than layers gives one number for each depth to models that want that, and the
same weight to a profile however finely it was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.depth import Floats, left_out_errors
from edaphos.kernels.depth_means import IntervalMeans

from ..errors import InputError, did_you_mean
from ..progress import QUIET, Reporter
from .depth_layers import Depths, Fitted, Method, MineralLayers, fit_property, mineral_layers
from .harmonise_flags import ROUNDING, depth_counts, flag_text, what_became
from .harmonise_report import HarmoniseReport
from .profiles import Profiles
from .schema import PROPERTIES

Mass = Literal["smoothed", "exact"]

#: Every property that may be measured in a layer.
MEASURED = ("soc_g_kg", *PROPERTIES)
#: λ that :func:`choose_lambda` tries.
LAMBDAS: tuple[float, ...] = (0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def harmonise(
    table: pd.DataFrame,
    depths: Depths,
    *,
    column: str = "soc_g_kg",
    also: Sequence[str] | None = None,
    lam: float = 0.1,
    method: Method = "spline",
    mass: Mass = "smoothed",
    min_cover: float = 0.5,
) -> tuple[pd.DataFrame, HarmoniseReport]:
    """Turn the layers of each profile and year into means over depths.

    Layers that overlap or repeat are averaged where they coincide. Layers above the mineral soil
    (litter, negative depth) take no part: they stay as they are, beside the others.

    Parameters
    ----------
    table
        A clean profile table (``Profiles.table``).
    depths
        Upper and lower end of each, cm.
    column
        The property that decides: a row is made where it has a value.
    also
        Further properties; by default all that the table holds. One that is missing from a depth
        is NaN there.
    lam
        Smoothing of the spline. Where it is chosen from data (:func:`choose_lambda`), these must be
        the training profiles alone.
    method
        ``spline``: the mass-preserving spline, kept within the property's bounds, straight across
        gaps. ``overlap``: the mean of the layers in the depth, weighted by their shares of it.
    mass
        ``smoothed``: the spline as λ says, whose layer means differ from those measured (the report
        tells by how much). ``exact``: without smoothing, λ = 0, so that every layer keeps its mean;
        sharp drops then swing further.
    min_cover
        Share of a depth that must have been sampled for a row to be made, 0 to 1. A row stands for
        its whole depth though it rests on the sampled share, which its column ``sampled`` tells.
        With 0, depths within gaps are bridged, too.

    Returns
    -------
    table, report
        The columns of `table` and ``sampled``. One row for each profile, year and depth: what is
        not measured comes from the profile's uppermost layer, ``flags`` from the layers that reach
        into the depth, with those of this step (``partly_sampled``, ``bridged``, ``one_layer``,
        ``limited``, ``clipped``). Sorted as `table` is. The report counts what became of the rows.

    Raises
    ------
    InputError
        A column is missing, depths or options cannot be used, a layer has no thickness, or no
        profile fills a depth.
    """
    also = [name for name in MEASURED if name in table] if also is None else also
    wanted = list(dict.fromkeys((column, *also)))
    _check(table, depths, wanted, lam=lam, method=method, mass=mass, min_cover=min_cover)
    layers, surface = mineral_layers(table)
    smoothing = 0.0 if mass == "exact" else lam
    fits = {name: fit_property(layers, name, depths, smoothing, method) for name in wanted}
    enough = {name: _enough(fit.means, min_cover) for name, fit in fits.items()}
    kept = enough[column]
    if not kept.any():
        raise InputError(
            f'none of {layers.profiles:,} profiles has "{column}" over {min_cover:.0%} of any of '
            f"the depths {_listed(depths)} cm: give depths that were sampled, or a lower min_cover"
        )
    rows = _rows(layers, depths, fits, enough, column)
    result = pd.concat([rows, surface.assign(sampled=1.0)], ignore_index=True)
    order = ["source", "profile_id", "year", "top_cm", "bottom_cm"]
    result = result.sort_values(order, kind="stable", ignore_index=True)
    main = fits[column]
    report = HarmoniseReport(
        column=column,
        method=method,
        lam=smoothing,
        min_cover=min_cover,
        layers=len(layers.table),
        profiles=layers.profiles,
        rows=len(rows),
        surface=len(surface),
        depths=depth_counts(depths, main.means, kept),
        values={name: int(np.isfinite(rows[name]).sum()) for name in wanted},
        moved_median=_quantile(main.moved, 0.5),
        moved_p95=_quantile(main.moved, 0.95),
        lines=what_became(layers, surface, depths, main, kept, column, method),
    )
    return result[[*table.columns, "sampled"]], report


def at_depths(
    profiles: Profiles, depths: Depths, column: str, method: Method, reporter: Reporter = QUIET
) -> Profiles:
    """Return profiles with their layers turned into depths; errors of :func:`harmonise`."""
    table, report = harmonise(profiles.table, depths, column=column, method=method)
    reporter.say(report.summary())
    return replace(profiles, table=table, harmonised=report)


@dataclass(frozen=True)
class LambdaChoice:
    """The λ that predicts layers left out best, and how all did.

    Parameters
    ----------
    lam
        The best.
    errors
        Mean absolute error over the profile's mean, for each λ tried.
    layers
        Layers that were left out, one at a time.
    """

    lam: float
    errors: Mapping[float, float]
    layers: int


def choose_lambda(
    table: pd.DataFrame, column: str = "soc_g_kg", candidates: Sequence[float] = LAMBDAS
) -> LambdaChoice:
    """Choose λ by leaving out each inner layer in turn and predicting it from the rest.

    The misfit of fitted layers, which is also in use, cannot choose: it grows with λ in every
    profile. Errors are absolute and relative to the profile's mean, so that neither peat nor a few
    buried horizons decide alone. It tells shapes between layers apart, not how well the thickness
    of layers hides a steep topsoil: the first and last layer of a profile are never left out.

    Parameters
    ----------
    table
        Layers of training profiles.
    column
        Property.
    candidates
        λ to try.

    Raises
    ------
    InputError
        No profile has three layers.
    """
    _check(table, [(0.0, 1.0)], [column], lam=0.1, method="spline", mass="smoothed", min_cover=0)
    layers, _ = mineral_layers(table)
    top, bottom, value, offsets, _ = layers.separated(column)
    errors = left_out_errors(top, bottom, value, offsets, candidates)
    number = np.repeat(np.arange(layers.profiles), np.diff(offsets))
    total = np.bincount(number, value, minlength=layers.profiles)
    scale = (total / np.maximum(np.diff(offsets), 1))[number]
    used = np.isfinite(errors).all(axis=1) & (scale > 0)
    if not used.any():
        raise InputError(
            f'lambda cannot be chosen: no profile has three layers with "{column}"; give lam'
        )
    score = (np.abs(errors[used]) / scale[used, None]).mean(axis=0)
    found = {float(lam): float(s) for lam, s in zip(candidates, score, strict=True)}
    return LambdaChoice(min(found, key=lambda lam: found[lam]), found, int(used.sum()))


def _check(
    table: pd.DataFrame,
    depths: Depths,
    wanted: Sequence[str],
    *,
    lam: float,
    method: str,
    mass: str,
    min_cover: float,
) -> None:
    for name in ("profile_id", "source", "year", "top_cm", "bottom_cm", *wanted):
        if name not in table:
            raise InputError(f'profiles have no column "{name}": {did_you_mean(name, table)}')
    if len(table) == 0:
        raise InputError("no soil layer to harmonise; the QA report tells why")
    for top, bottom in depths:
        if not (np.isfinite(top) and np.isfinite(bottom) and 0 <= top < bottom):
            raise InputError(
                f"depths: {top:g} to {bottom:g} cm is no depth; expected 0 or more, and the lower "
                "end below the upper"
            )
    if not depths:
        raise InputError("depths: at least one was expected, none was given")
    for option, value, known in (("method", method, Method), ("mass", mass, Mass)):
        if value not in get_args(known):
            raise InputError(f'{option} = "{value}": expected {" or ".join(get_args(known))}')
    if not (np.isfinite(lam) and lam >= 0):
        raise InputError(f"lam = {lam}: expected 0 or more")
    if not 0 <= min_cover <= 1:
        raise InputError(f"min_cover = {min_cover}: expected a share, 0 to 1")
    top, bottom = (table[name].to_numpy(np.float64) for name in ("top_cm", "bottom_cm"))
    wrong = ~(np.isfinite(top) & np.isfinite(bottom) & (top < bottom))
    if wrong.any():
        i = int(np.argmax(wrong))
        where = ", ".join(str(table[name].iloc[i]) for name in ("file", "row") if name in table)
        raise InputError(
            f"profile {table['profile_id'].iloc[i]}{f' ({where})' if where else ''}: a layer from "
            f"{top[i]:g} to {bottom[i]:g} cm has no thickness; check the profiles first "
            "(edaphos profiles check)"
        )


def _enough(means: IntervalMeans, min_cover: float) -> NDArray[np.bool_]:
    return np.asarray((means.covered > 0) & (means.sampled >= min_cover - ROUNDING))


def _rows(
    layers: MineralLayers,
    depths: Depths,
    fits: Mapping[str, Fitted],
    enough: Mapping[str, NDArray[np.bool_]],
    column: str,
) -> pd.DataFrame:
    """Return one row for each profile and depth that is sampled enough."""
    profile, depth = np.nonzero(enough[column])
    ends = np.array(depths, np.float64)
    rows = layers.table.iloc[layers.offsets[:-1][profile]].reset_index(drop=True)
    new: dict[str, Any] = {"top_cm": ends[depth, 0], "bottom_cm": ends[depth, 1]}
    new |= {name: np.nan for name in MEASURED if name in rows}  # what is harmonised, below
    for name, fit in fits.items():
        value = np.where(enough[name], fit.means.value, np.nan)
        new[name] = value[profile, depth]
    if "replicates" in rows:
        new["replicates"] = np.ones(len(rows), np.int64)
    if "flags" in rows:
        new["flags"] = flag_text(layers, depths, fits[column])[profile, depth]
    return rows.assign(**new, sampled=fits[column].means.sampled[profile, depth])


def _quantile(values: Floats, q: float) -> float:
    return float(np.quantile(values, q)) if len(values) else 0.0


def _listed(depths: Depths) -> str:
    touching = all(a[1] == b[0] for a, b in pairwise(depths))
    if touching:
        return "-".join(f"{d:g}" for d in [depths[0][0], *(bottom for _, bottom in depths)])
    return ", ".join(f"{top:g}-{bottom:g}" for top, bottom in depths)
