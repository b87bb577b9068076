"""Plant cover and litter quality of land cover classes.

RothC knows two things of vegetation: whether it covers the soil in a month, and the ratio of
decomposable to resistant material in what it leaves behind (Coleman & Jenkinson 1996): 1.44 for
crops and improved grassland, 0.67 for unimproved grassland and scrub, savanna included, 0.25 for
deciduous and tropical woodland. Which class counts as which is the choice of the tables below,
as in FAO's *GSOCseq Technical Manual*, table 6.1, where the classes are comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc import DPM_RPM

from ..errors import InputError, did_you_mean
from .rothc_settings import Cover

_CROP, _GRASS, _FOREST = DPM_RPM["crop"], DPM_RPM["grass"], DPM_RPM["forest"]


@dataclass(frozen=True)
class Legend:
    """Classes of a land cover map.

    Parameters
    ----------
    dpm_rpm
        Ratio of each class that can carry soil.
    bare
        Classes without plants all year.
    seasonal
        Classes covered only while crops grow.
    """

    dpm_rpm: dict[int, float]
    bare: tuple[int, ...] = ()
    seasonal: tuple[int, ...] = ()


#: IGBP classes of MODIS MCD12: 1-5 forests, 6-7 shrublands, 8-9 savannas, 10 grassland, 11 wetland,
#: 12 cropland, 13 urban, 14 cropland and natural mosaic, 16 barren.
IGBP = Legend(
    {
        **dict.fromkeys((1, 2, 3, 4, 5), _FOREST),
        **dict.fromkeys((6, 7, 8, 9, 10, 11, 16), _GRASS),
        **dict.fromkeys((12, 14), _CROP),
        13: _GRASS,
    },
    bare=(16,),
    seasonal=(12, 14),
)
#: Potential vegetation of IBIS: 1-8 forests, 9 savanna, 10 grassland, 11-12 shrubland, 13 tundra,
#: 14 desert, 15 polar desert and rock.
IBIS = Legend(
    {
        **dict.fromkeys(range(1, 9), _FOREST),
        **dict.fromkeys(range(9, 16), _GRASS),
    },
    bare=(14, 15),
)
LEGENDS = {"igbp": IGBP, "ibis": IBIS}


def legend_of(cover: Cover) -> Legend:
    """Return the classes as a recipe wants them: a known legend, with its own changes."""
    if cover.legend and cover.legend not in LEGENDS:
        raise InputError(
            f'model.cover.legend "{cover.legend}": {did_you_mean(cover.legend, LEGENDS)}; or leave '
            "it empty and give dpm_rpm for each class"
        )
    base = LEGENDS[cover.legend] if cover.legend else Legend({})
    own = {int(k): float(v) for k, v in cover.dpm_rpm.items()}
    ratios = {k: v for k, v in {**base.dpm_rpm, **own}.items() if v > 0}
    if not ratios:
        raise InputError("model.cover: give a legend, or dpm_rpm for each class of the variable")
    return Legend(
        ratios,
        base.bare if cover.bare is None else cover.bare,
        base.seasonal if cover.seasonal is None else cover.seasonal,
    )


def vegetation(
    cover: Cover, classes: NDArray[np.float32], temperature: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return plant cover of each month and the DPM/RPM ratio.

    Parameters
    ----------
    cover
        How classes are read.
    classes
        Land cover, ``(n,)``.
    temperature
        Monthly means, ``(12, n)`` °C.

    Returns
    -------
    covered, ratio
        ``(12, n)``, 1 or 0; and ``(n,)``, NaN for classes that carry no soil.
    """
    ratios, kinds = _tables(cover)
    codes = np.nan_to_num(classes, nan=-1.0).astype(np.int64)
    codes[(codes < 0) | (codes >= len(ratios) - 1)] = len(ratios) - 1
    kind = kinds[codes]
    growing = temperature > cover.growing_degc
    covered = (kind == _COVERED) | ((kind == _SEASONAL) & growing)
    return covered.astype(np.uint8), ratios[codes]


_BARE, _SEASONAL, _COVERED = range(3)


def _tables(cover: Cover) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return ratio and kind of cover by class code; the last entry is for unknown classes."""
    legend = legend_of(cover)
    size = 2 + max((*legend.dpm_rpm, *legend.bare, *legend.seasonal))
    ratios, kinds = np.full(size, np.nan), np.full(size, _COVERED, np.uint8)
    for code, value in legend.dpm_rpm.items():
        ratios[code] = value
    kinds[list(legend.seasonal)] = _SEASONAL
    kinds[list(legend.bare)] = _BARE
    return ratios, kinds
