r"""A stock's mean and interval from those of content, density and fragments, by Monte Carlo.

Quantiles of a product are not products of quantiles: with independent factors the product's
interval is narrower than the product of theirs, and content and density, which fall and rise
together with a negative correlation, narrow it further. So all three are drawn together, from a
Gaussian copula,

.. math:: z = L \epsilon, \quad x_k = F_k^{-1}(\Phi(z_k)), \quad
    \text{stock} = x_1 \, x_2 \, (1 - x_3) \, \text{thickness} / 100

and each draw's stock is worked out before anything is summarised. The draws are points of a
scrambled Sobol sequence (Owen 1998), the same for all cells and layers: 1,024 of them tell what
some 10⁵ random ones do, and a cell's result cannot depend on its neighbours or on its tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtr, ndtri

from .stock import DensityOf, stock_kg_m2

Floats = NDArray[np.float64]

#: Standard normal deviate of the 95 % quantile.
Z95 = 1.6448536269514722
#: Points of the sequence: a power of 2.
POINTS = 1024
#: Numbers held at once in a block of cells.
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class Marginal:
    """What is known of one factor in each cell.

    Parameters
    ----------
    kind
        ``lognormal`` (`a` the mean of logarithms, `b` their standard deviation), ``normal`` (mean
        and standard deviation) or ``beta`` (a fraction: the two shape parameters; where `b` is
        infinite, the fraction is `a`).
    a, b
        Parameters, ``(n,)``.
    """

    kind: Literal["lognormal", "normal", "beta"]
    a: Floats
    b: Floats

    @classmethod
    def lognormal(cls, low: ArrayLike, high: ArrayLike) -> Marginal:
        """Return what has these 5 and 95 % quantiles, both above 0: for content."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bottom, top = (np.log(np.atleast_1d(np.asarray(v, np.float64))) for v in (low, high))
        return cls("lognormal", (bottom + top) / 2, (top - bottom) / (2 * Z95))

    @classmethod
    def lognormal_of_mean(cls, mean: ArrayLike, cv: ArrayLike) -> Marginal:
        """Return what has this mean and coefficient of variation."""
        center, spread = np.broadcast_arrays(np.atleast_1d(mean).astype(float), cv)
        variance = np.log1p(np.asarray(spread, np.float64) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls("lognormal", np.log(center) - variance / 2, np.sqrt(variance))

    @classmethod
    def normal(cls, mean: ArrayLike, sd: ArrayLike) -> Marginal:
        """Return what has this mean and standard deviation: for density."""
        center, spread = np.broadcast_arrays(np.atleast_1d(mean).astype(float), sd)
        return cls("normal", center, np.asarray(spread, np.float64))

    @classmethod
    def fraction(cls, mean: ArrayLike, sd: ArrayLike) -> Marginal:
        """Return a beta distribution of this mean and standard deviation: for fragments.

        A spread of 0, or a mean of 0 or 1, is a certain fraction. The spread is at most nine tenths
        of the largest that the mean allows.
        """
        center, spread = np.broadcast_arrays(np.atleast_1d(mean).astype(float), sd)
        if np.any((center < 0) | (center > 1)):
            raise ValueError("a mean fraction must lie within 0 to 1")
        variance = np.minimum(np.asarray(spread, np.float64) ** 2, 0.81 * center * (1 - center))
        certain = variance <= 0
        size = np.where(certain, 1.0, center * (1 - center) / np.where(certain, 1, variance)) - 1
        return cls(
            "beta",
            np.where(certain, center, center * size),
            np.where(certain, np.inf, (1 - center) * size),
        )

    def quantile(self, z: Floats) -> Floats:
        """Return values ``(n, draws)`` at standard normal deviates ``(draws,)``."""
        a, b = self.a[:, None], self.b[:, None]
        if self.kind == "lognormal":
            return np.asarray(np.exp(a + b * z))
        if self.kind == "normal":
            return np.asarray(a + b * z)
        certain = np.isinf(self.b)
        out = np.broadcast_to(a, (len(self.a), len(z))).copy()
        if not certain.all():
            out[~certain] = betaincinv(a[~certain], b[~certain], ndtr(z))
        return out

    def part(self, rows: slice) -> Marginal:
        """Return some of the cells; one parameter for all stays as it is."""
        if len(self.a) == 1:
            return self
        return Marginal(self.kind, self.a[rows], self.b[rows])


def normal_points(
    count: int = POINTS, correlation: ArrayLike | None = None, seed: int = 0
) -> Floats:
    """Return standard normal deviates of content, density and fragments, ``(count, 3)``.

    Parameters
    ----------
    count
        A power of 2.
    correlation
        Of the three, ``(3, 3)``; independent by default. That of the underlying normal deviates.
    seed
        Of the scrambling.

    Raises
    ------
    ValueError
        `correlation` is no correlation matrix.
    """
    from scipy.stats.qmc import Sobol  # slow to import

    points = Sobol(3, scramble=True, rng=np.random.default_rng(seed)).random(count)
    z = ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    if correlation is None:
        return np.asarray(z)
    matrix = np.asarray(correlation, np.float64)
    good = (
        matrix.shape == (3, 3) and np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1)
    )
    if not good or np.linalg.eigvalsh(matrix).min() <= 0:
        raise ValueError(
            "expected a positive definite 3 x 3 correlation matrix with 1 on its diagonal"
        )
    return np.asarray(z @ np.linalg.cholesky(matrix).T)


def stock_summary(
    content: Marginal,
    density: Marginal,
    fragments: Marginal,
    thickness_cm: ArrayLike,
    *,
    points: Floats | None = None,
    levels: Sequence[float] = (0.05, 0.5, 0.95),
    density_of: DensityOf = "fine_earth",
    density_at: Callable[[Floats], Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Return the mean of each cell's stock and its quantiles, kg/m².

    Parameters
    ----------
    content, density, fragments
        g/kg, g/cm³ and volume fraction, of ``(n,)`` cells each, or of one for all.
    thickness_cm
        Of the layer, ``(n,)`` or one for all.
    points
        As :func:`normal_points` returns them.
    levels
        Of the quantiles.
    density_of
        As :func:`~edaphos.kernels.stock.fine_earth_density` takes it. Densities drawn below 0 count
        as 0.
    density_at
        Density of a drawn content, as a pedotransfer function tells it; `density` is then its
        error, which is added.

    Returns
    -------
    mean, quantiles
        ``(n,)`` and ``(levels, n)``, NaN where an input is.
    """
    z = normal_points() if points is None else points

    def stock(soc: Floats, bd: Floats, cf: Floats, cm: Floats) -> Floats:
        told = bd if density_at is None else density_at(soc) + bd
        return stock_kg_m2(soc, np.maximum(told, 0), cm, cf, density_of)

    return _summary(
        (content, density, fragments),
        z,
        np.atleast_1d(np.asarray(thickness_cm, np.float64)),
        levels,
        stock,
    )


def _summary(
    factors: tuple[Marginal, Marginal, Marginal],
    z: Floats,
    thickness: Floats,
    levels: Sequence[float],
    stock: Callable[[Floats, Floats, Floats, Floats], Floats],
) -> tuple[Floats, Floats]:
    n = max(len(thickness), *(len(one.a) for one in factors))
    mean, quantiles = np.full(n, np.nan), np.full((len(levels), n), np.nan)
    step = max(1, _BLOCK // len(z))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        drawn = [one.part(rows).quantile(z[:, k]) for k, one in enumerate(factors)]
        cm = thickness if len(thickness) == 1 else thickness[rows]
        values = stock(drawn[0], drawn[1], drawn[2], cm[:, None])
        values = np.broadcast_to(values, (rows.stop - rows.start, len(z)))
        mean[rows] = values.mean(axis=1)
        quantiles[:, rows] = np.quantile(values, levels, axis=1)
    return mean, quantiles
