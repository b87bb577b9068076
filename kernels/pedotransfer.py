r"""Bulk density from organic carbon: six published functions, their refit, and organic soils apart.

As the FAO's *Soil organic carbon mapping cookbook* (2018) lists them, with organic matter
:math:`OM = 1.724\,SOC` **in per cent**: Saini (1966), Drew (1973), Jeffrey (1970), Grigal et al.
(1989), Adams (1973), Honeysett & Ratkowsky (1989). Two go wrong in scripts that circulate, and are
put right here: Jeffrey's logarithm is to the base 10 (with the natural one 3 % of organic matter
would make 0.74 g/cm³), and the mineral density of Adams' is that of a *packed mineral soil*, not of
quartz (2.65 would make 2.05 g/cm³): it is fitted, or else 1.64 (Post & Kwon 2000, *Glob. Change
Biol.* 6, 317-327).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Organic matter (%) by organic carbon (g/kg): van Bemmelen's factor.
OM_OF_SOC = 0.1724
#: Organic carbon, g/kg, from which a soil is organic and has a fit of its own.
ORGANIC = 120.0
#: Range that densities are kept in, g/cm³.
LIMITS = (0.05, 2.2)
#: Layers that a fit needs for each coefficient.
FEWEST_FOR_EACH = 5
#: Least organic matter (%) that a logarithm is taken of.
_LEAST_OM = 1e-3


@dataclass(frozen=True)
class Function:
    """A pedotransfer function of bulk density.

    Parameters
    ----------
    form
        Bulk density (g/cm³) of organic matter (%) and coefficients.
    published
        The coefficients.
    words
        The equation, for people.
    """

    form: Callable[[Floats, Floats], Floats]
    published: tuple[float, ...]
    words: str


def _saini(om: Floats, c: Floats) -> Floats:
    return np.asarray(c[0] - c[1] * om)


def _reciprocal(om: Floats, c: Floats) -> Floats:
    return np.asarray(1 / (c[0] + c[1] * om))


def _jeffrey(om: Floats, c: Floats) -> Floats:
    return np.asarray(c[0] - c[1] * np.log10(np.maximum(om, _LEAST_OM)))


def _grigal(om: Floats, c: Floats) -> Floats:
    return np.asarray(c[0] + c[1] * np.exp(-c[2] * om))


def _adams(om: Floats, c: Floats) -> Floats:
    return np.asarray(100 / (om / c[0] + (100 - om) / c[1]))


FUNCTIONS: Mapping[str, Function] = {
    "saini": Function(_saini, (1.62, 0.06), "1.62 - 0.06 OM"),
    "drew": Function(_reciprocal, (0.6268, 0.0361), "1 / (0.6268 + 0.0361 OM)"),
    "jeffrey": Function(_jeffrey, (1.482, 0.6786), "1.482 - 0.6786 log10 OM"),
    "grigal": Function(_grigal, (0.669, 0.941, 0.06), "0.669 + 0.941 exp(-0.06 OM)"),
    "adams": Function(_adams, (0.244, 1.64), "100 / (OM / 0.244 + (100 - OM) / 1.64)"),
    "honeysett": Function(_reciprocal, (0.564, 0.0556), "1 / (0.564 + 0.0556 OM)"),
}


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of a function for mineral soils and for organic ones.

    Parameters
    ----------
    mineral
        Below :data:`ORGANIC` g/kg.
    organic
        From there on; by default as `mineral`, which no organic soil was fitted for.
    """

    mineral: tuple[float, ...]
    organic: tuple[float, ...] | None = None


def bulk_density(
    name: str, soc_g_kg: ArrayLike, coefficients: Coefficients | None = None
) -> tuple[Floats, Bools]:
    """Return bulk density, g/cm³, and which values were brought within :data:`LIMITS`.

    Parameters
    ----------
    name
        Of :data:`FUNCTIONS`.
    soc_g_kg
        Organic carbon, 0 to 580, of any shape; NaN stays NaN.
    coefficients
        Fitted ones (:func:`fit`); the published by default.

    Raises
    ------
    ValueError
        There is no such function.
    """
    if name not in FUNCTIONS:
        raise ValueError(f"function {name!r}: expected one of {', '.join(FUNCTIONS)}")
    function = FUNCTIONS[name]
    soc = np.asarray(soc_g_kg, np.float64)
    om = np.clip(soc * OM_OF_SOC, 0, 100)
    used = coefficients or Coefficients(function.published)
    density = function.form(om, np.array(used.mineral))
    if used.organic is not None:
        organic = function.form(om, np.array(used.organic))
        density = np.where(soc >= ORGANIC, organic, density)
    with np.errstate(invalid="ignore"):
        outside = (density < LIMITS[0]) | (density > LIMITS[1])
    return np.clip(density, *LIMITS), np.asarray(outside)


def fit(name: str, soc_g_kg: ArrayLike, bulk_density_g_cm3: ArrayLike) -> Coefficients:
    """Fit a function's coefficients to measured densities, of mineral and organic soils apart.

    Least squares with a soft loss (linear beyond 0.3 g/cm³), since some densities are in error.
    Organic soils too few to be fitted (:data:`FEWEST_FOR_EACH` by coefficient) get none.

    Parameters
    ----------
    name
        Of :data:`FUNCTIONS`.
    soc_g_kg, bulk_density_g_cm3
        Measured, ``(n,)``; rows with NaN are left out.

    Raises
    ------
    ValueError
        Too few mineral layers.
    """
    function = FUNCTIONS[name]
    soc = np.asarray(soc_g_kg, np.float64)
    density = np.asarray(bulk_density_g_cm3, np.float64)
    known = np.isfinite(soc) & np.isfinite(density)
    soc, density = soc[known], density[known]
    fewest = FEWEST_FOR_EACH * len(function.published)
    parts: list[tuple[float, ...] | None] = []
    for rows in (soc < ORGANIC, soc >= ORGANIC):
        enough = int(rows.sum()) >= fewest
        parts.append(_fitted(function, soc[rows], density[rows]) if enough else None)
    mineral, organic = parts
    if mineral is None:
        raise ValueError(
            f"{name}: {int((soc < ORGANIC).sum())} mineral layers with a density are too few to "
            f"fit {len(function.published)} coefficients ({fewest} needed)"
        )
    return Coefficients(mineral, organic)


def _fitted(function: Function, soc: Floats, density: Floats) -> tuple[float, ...]:
    from scipy.optimize import least_squares  # takes longer to import than most uses of this file

    om = np.clip(soc * OM_OF_SOC, 0, 100)
    start = np.array(function.published)

    def misfit(scale: Floats) -> Floats:
        return np.asarray(function.form(om, start * scale) - density)

    # coefficients by what is published, so that all are of one size; none changes its sign
    found = least_squares(
        misfit, np.ones(len(start)), bounds=(0.02, 50), loss="soft_l1", f_scale=0.3
    )
    return tuple(float(v) for v in start * found.x)
