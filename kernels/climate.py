"""Climate classes and indices from monthly normals.

The Köppen-Geiger classifier follows Peel, Finlayson & McMahon 2007 (HESS 11, 1633-1644) as
applied by Beck et al. 2018 (Scientific Data 5, 180214, Table 2), whose class numbers it uses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import kernel

_BECK = """
    Af Am Aw BWh BWk BSh BSk Csa Csb Csc Cwa Cwb Cwc Cfa Cfb Cfc
    Dsa Dsb Dsc Dsd Dwa Dwb Dwc Dwd Dfa Dfb Dfc Dfd ET EF
"""
#: Class symbols by code, in the order of Beck et al. 2018: ``KOEPPEN_NAMES[1] == "Af"``.
KOEPPEN_NAMES: dict[int, str] = dict(enumerate(_BECK.split(), start=1))

_ALPHABETICAL = """
    Af Am As Aw BSh BSk BWh BWk Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc
    Dfa Dfb Dfc Dfd Dsa Dsb Dsc Dsd Dwa Dwb Dwc Dwd EF ET Ocean
"""
#: Symbols of the 32-class maps distributed with ``kgc``: alphabetical, with As and ocean.
KOEPPEN_NAMES_32: dict[int, str] = dict(enumerate(_ALPHABETICAL.split(), start=1))

#: Major groups, by first letter.
KOEPPEN_GROUPS: dict[str, str] = {
    "A": "tropical",
    "B": "arid",
    "C": "temperate",
    "D": "cold",
    "E": "polar",
}

#: Code where a month is missing.
KOEPPEN_MISSING = -1


def koeppen(temperature: ArrayLike, rain: ArrayLike) -> NDArray[np.int16]:
    """Classify monthly normals into the 30 Köppen-Geiger classes.

    Parameters
    ----------
    temperature
        Mean temperature of each month, January first, °C, shape ``(12, ...)``.
    rain
        Precipitation of each month, mm, same shape.

    Returns
    -------
    array of int16, shape ``(...)``
        Codes 1 to 30 as in :data:`KOEPPEN_NAMES`; -1 where any month is NaN.

    Raises
    ------
    ValueError
        If the shapes differ or the first axis is not twelve months.
    """
    t, p = np.asarray(temperature), np.asarray(rain)
    if t.shape != p.shape or t.ndim == 0 or t.shape[0] != 12:
        raise ValueError(
            "temperature and rain must both have shape (12, ...), months first; "
            f"found {t.shape} and {p.shape}"
        )
    shape = t.shape[1:]
    # Cells in rows: a cell's twelve months lie side by side, in one cache line or two.
    cells_t = np.ascontiguousarray(t.reshape(12, -1).T, np.float64)
    cells_p = np.ascontiguousarray(p.reshape(12, -1).T, np.float64)
    codes = np.empty(len(cells_t), np.int16)
    _koeppen_cells(cells_t, cells_p, codes)
    return codes.reshape(shape)


@kernel()
def _koeppen_cells(
    temperature: NDArray[np.float64], rain: NDArray[np.float64], out: NDArray[np.int16]
) -> None:
    """Fill `out` ``(n,)`` from temperature and rain ``(n, 12)``."""
    for i in range(len(out)):
        out[i] = _koeppen_cell(temperature[i], rain[i])


@kernel()
def _koeppen_cell(t: NDArray[np.float64], p: NDArray[np.float64]) -> int:
    """Return the class of one cell from its twelve months, testing for B first as Beck does."""
    mat, rain_year = t.mean(), p.sum()
    if np.isnan(mat) or np.isnan(rain_year):
        return -1
    # Summer is the warmer half-year; April to September (northern) where both are equal.
    half_t, half_p = t[3:9].sum(), p[3:9].sum()
    north = half_t >= t.sum() - half_t
    summer = half_p if north else rain_year - half_p
    winter = rain_year - summer

    threshold = 2.0 * mat + 14.0
    if winter > 0.7 * rain_year:
        threshold = 2.0 * mat
    elif summer > 0.7 * rain_year:
        threshold = 2.0 * mat + 28.0
    if rain_year < 10.0 * threshold:
        code = 4 if rain_year < 5.0 * threshold else 6
        return code if mat >= 18.0 else code + 1

    t_cold, t_hot, p_dry = t.min(), t.max(), p.min()
    if t_hot <= 10.0:
        return 29 if t_hot > 0.0 else 30
    if t_cold >= 18.0:
        if p_dry >= 60.0:
            return 1
        return 2 if p_dry >= 100.0 - rain_year / 25.0 else 3
    return _koeppen_seasonal(t, p, north, summer, winter)


@kernel()
def _koeppen_seasonal(
    t: NDArray[np.float64], p: NDArray[np.float64], north: bool, summer: float, winter: float
) -> int:
    """Return the class of a temperate (C) or cold (D) cell: its dry season, its warmth."""
    p_summer_dry = p_winter_dry = np.inf
    p_summer_wet = p_winter_wet = -np.inf
    warm_months = 0
    for month in range(12):
        if (3 <= month < 9) == north:
            p_summer_dry, p_summer_wet = min(p_summer_dry, p[month]), max(p_summer_wet, p[month])
        else:
            p_winter_dry, p_winter_wet = min(p_winter_dry, p[month]), max(p_winter_wet, p[month])
        if t[month] >= 10.0:
            warm_months += 1

    dry_summer = p_summer_dry < 40.0 and p_summer_dry < p_winter_wet / 3.0
    dry_winter = p_winter_dry < p_summer_wet / 10.0
    if dry_summer and dry_winter:
        dry_summer = summer <= winter
        dry_winter = not dry_summer
    season = 0 if dry_summer else (1 if dry_winter else 2)

    t_cold = t.min()
    cold = t_cold <= 0.0
    if t.max() >= 22.0:
        warmth = 0
    elif warm_months >= 4:
        warmth = 1
    elif cold and t_cold < -38.0:
        warmth = 3
    else:
        warmth = 2
    return 17 + 4 * season + warmth if cold else 8 + 3 * season + warmth
