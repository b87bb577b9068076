"""The stock of carbon of a soil layer, from content, bulk density and coarse fragments.

``stock = SOC x mass of fine earth by volume of soil x thickness``: g/kg times g/cm³ times cm is a
hundredth of kg/m². What varies is what the bulk density is of (Poeplau, Vos & Don 2017, *SOIL* 3,
61-66): multiplying by ``1 - fragments`` is right for the density of the fine earth, wrong for the
others, where fragments would be counted twice or in part.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
DensityOf = Literal["fine_earth", "whole_soil", "fine_earth_by_soil"]

#: From g/kg times g/cm³ times cm to kg/m².
KG_M2 = 0.01
#: Density of rock fragments, g/cm³ (quartz; Poeplau et al. take 2.6).
FRAGMENT_DENSITY = 2.65
#: Organic carbon of organic matter by mass: van Bemmelen's 1 / 1.724, which is 0.58. Measured
#: shares are nearer to 0.5 (Pribyl 2010, *Geoderma* 156, 75-83).
SOC_OF_SOM = 1 / 1.724


def fine_earth_density(
    bulk_density_g_cm3: ArrayLike,
    coarse_fraction: ArrayLike = 0.0,
    density_of: DensityOf = "fine_earth",
    fragment_density_g_cm3: float = FRAGMENT_DENSITY,
) -> Floats:
    """Return the mass of fine earth by volume of soil, g/cm³.

    Parameters
    ----------
    bulk_density_g_cm3
        What was measured.
    coarse_fraction
        Fragments by volume, 0 to 1. NaN (unknown) stays unknown: whoever takes it as 0 says so.
    density_of
        ``fine_earth``: mass of fine earth by *its own* volume (WoSIS ``bdfi*``), which is
        multiplied by ``1 - coarse_fraction``. ``whole_soil``: mass of everything by the volume of
        everything (WoSIS ``bdws*``), of which the fragments' mass is taken off.
        ``fine_earth_by_soil``: mass of fine earth by volume of soil, which is the result already.
    fragment_density_g_cm3
        Of the fragments, for ``whole_soil``.

    Returns
    -------
    ndarray
        NaN where fragments alone would weigh more than the whole soil, or their fraction is not
        within 0 to 1: the two measurements contradict each other.
    """
    density = np.asarray(bulk_density_g_cm3, np.float64)
    coarse = np.asarray(coarse_fraction, np.float64)
    if density_of == "fine_earth":
        fine = density * (1 - coarse)
    elif density_of == "whole_soil":
        fine = density - fragment_density_g_cm3 * coarse
    elif density_of == "fine_earth_by_soil":
        fine = density + 0 * coarse
    else:
        raise ValueError(
            f"density_of = {density_of!r}: expected fine_earth, whole_soil or fine_earth_by_soil"
        )
    return np.where((coarse >= 0) & (coarse <= 1) & (fine >= 0), fine, np.nan)


def stock_kg_m2(
    soc_g_kg: ArrayLike,
    bulk_density_g_cm3: ArrayLike,
    thickness_cm: ArrayLike,
    coarse_fraction: ArrayLike = 0.0,
    density_of: DensityOf = "fine_earth",
) -> Floats:
    """Return the stock of a layer in kg/m² (1 kg/m² is 10 t/ha).

    Parameters
    ----------
    soc_g_kg
        Organic carbon of the fine earth.
    bulk_density_g_cm3, coarse_fraction, density_of
        As :func:`fine_earth_density` takes them.
    thickness_cm
        Of the layer.

    Returns
    -------
    ndarray
        Of the shape that the arguments broadcast to, NaN where one is unknown.
    """
    fine = fine_earth_density(bulk_density_g_cm3, coarse_fraction, density_of)
    soc, thickness = np.asarray(soc_g_kg, np.float64), np.asarray(thickness_cm, np.float64)
    return np.asarray(soc * fine * thickness * KG_M2)


def stock_of_mass(
    soc_g_kg: ArrayLike, fine_earth_kg_m2: ArrayLike, reference_kg_m2: ArrayLike
) -> Floats:
    r"""Return stocks down to an equal mass of fine earth: of dates whose density changed.

    A fixed depth holds more soil after compaction and less after loosening, so its stock changes
    though no carbon came or went (Wendt & Hauser 2013, *Eur. J. Soil Sci.* 64, 58-65). Cumulative
    carbon is taken at `reference_kg_m2` of cumulative fine earth, straight between layers' ends.

    Parameters
    ----------
    soc_g_kg
        Of layers from the surface down, ``(n, layers)``.
    fine_earth_kg_m2
        Mass of their fine earth, above 0, ``(n, layers)``: density times thickness times 10.
    reference_kg_m2
        Mass that stocks are wanted of, ``(n,)`` or one for all.

    Returns
    -------
    ndarray
        kg/m², ``(n,)``; NaN where a profile holds less fine earth than the reference.
    """
    mass = np.cumsum(np.atleast_2d(np.asarray(fine_earth_kg_m2, np.float64)), axis=1)
    soc = np.atleast_2d(np.asarray(soc_g_kg, np.float64))
    reference = np.broadcast_to(np.asarray(reference_kg_m2, np.float64), (len(mass),))
    above = np.concatenate([np.zeros((len(mass), 1)), mass[:, :-1]], axis=1)
    part = np.clip(reference[:, None] - above, 0, mass - above)
    stock = np.where(part > 0, soc, 0.0) * part / 1000
    enough = reference <= mass[:, -1] * (1 + 1e-12)
    return np.where(enough, stock.sum(axis=1), np.nan)
