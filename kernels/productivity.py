"""Net primary productivity of vegetation from climate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The most that the Miami model lets grow, g dry matter m⁻² yr⁻¹.
MIAMI_MAXIMUM = 3000.0


def miami_npp(mat: ArrayLike, map_: ArrayLike) -> NDArray[np.floating]:
    r"""Return net primary productivity by the Miami model.

    .. math:: NPP = \min\left(\frac{3000}{1 + e^{1.315 - 0.119 T}},
              \; 3000 (1 - e^{-0.000664 P})\right)

    Parameters
    ----------
    mat
        Mean annual temperature T, °C; the model was fitted between about -13 and 27 °C.
    map_
        Annual precipitation P, mm; fitted up to about 4000 mm. Negative rain counts as none.

    Returns
    -------
    array
        Dry matter above and below ground, **g m⁻² yr⁻¹** (0.45 to 0.48 of it carbon), broadcast
        shape, float type of the inputs; NaN where either is NaN.

    Notes
    -----
    Source: Lieth 1975, *Modeling the primary productivity of the world*, in Lieth & Whittaker
    (eds), Primary Productivity of the Biosphere, Springer, 237-263 (first shown at Miami, 1971).
    """
    temperature, rain = np.asarray(mat), np.asarray(map_)
    by_heat = MIAMI_MAXIMUM / (1 + np.exp(1.315 - 0.119 * temperature))
    by_water = -MIAMI_MAXIMUM * np.expm1(-0.000664 * np.maximum(rain, 0))
    return np.asarray(np.minimum(by_heat, by_water))
