"""A small make-believe cube with the interface of the real one, for tests of the virtual soil."""

import numpy as np

from edaphos.engine.status import Status
from edaphos.recipes.virtual_truth import CovariateNames

NAMES = CovariateNames(relief="tpi_20km")
LEGEND = {1: "Af", 2: "BWh", 3: "Cfb", 4: "Dfc", 5: "ET"}


def covariates(lon, lat):
    """Monthly values first; smooth in place, so that cells differ."""
    month = np.arange(12).reshape(12, *([1] * np.ndim(lat)))
    warm = 27 - 0.011 * lat**2 + 0.25 * lat * np.cos((month - 6) / 6 * np.pi)
    rain = (90 + 60 * np.cos(np.radians(3 * lon))) * (1 - 0.8 * np.exp(-(((lat - 25) / 12) ** 2)))
    return {
        "temperature": warm,
        "rain": np.broadcast_to(np.maximum(rain, 1), (12, *np.shape(lat))),
        "tpi_20km": 60 * np.sin(lon * 3) * np.cos(lat * 2),
        "slope": np.abs(4 * np.sin(lon)),
        "koeppen": 1 + np.digitize(np.abs(lat), [20, 35, 50, 66]),
        "soil_mask": np.where(np.sin(np.radians(2 * lon)) > -0.5, Status.SOIL, Status.SEA),
    }


class ToyCube:
    def read(self, window, variables):
        lon, lat = np.meshgrid(window.x, window.y)
        values = covariates(lon, lat)
        return {name: values[name].astype(np.float32) for name in variables}

    def at(self, lon, lat, grid, variables):
        row, col, inside = grid.locate(lon, lat)
        values = covariates(grid.x_of(col), grid.y_of(row))
        return {
            name: np.where(inside, values[name], np.nan).T.astype(np.float32) for name in variables
        }
