r"""False-discovery control over as many tests as a map has cells, from a histogram of p-values.

The step-up procedure of Benjamini & Hochberg (1995, *J. R. Stat. Soc. B* 57) rejects all
:math:`p \le p_{(k)}`, with :math:`k` the largest rank for which

.. math:: p_{(k)} \le \frac{k}{m} \frac{q}{c(m)}

and :math:`c = 1`. The expected share of false rejections among all is then at most :math:`q` if the
tests are independent or positively dependent. Benjamini & Yekutieli (2001, *Ann. Stat.* 29) show
that :math:`c(m) = \sum_{i \le m} 1/i` makes it hold under any dependence.

Here p-values are first rounded up to the edges of fixed bins. A p-value that is rounded up is still
a p-value, so the guarantee holds, and every cell that is rejected would be rejected without the
rounding too. Counts of bins are integers that add up over tiles in any order, and edges are sums of
powers of two, the same on every machine: how a map is cut cannot change the outcome.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

#: Bins in each power of two; a p-value is rounded up by at most this share of itself.
PER_OCTAVE = 64
#: The smallest edge is two to minus this, about 1e-12; what is smaller counts as that.
OCTAVES = 40

Method = Literal["bh", "by"]


def p_edges() -> NDArray[np.float64]:
    """Return the upper edges of the bins, ascending, the last of them 1.

    Bin 0 holds what is at most the first edge, bin ``k`` what lies above edge ``k - 1`` and not
    above edge ``k``.
    """
    fraction = 1 + np.arange(PER_OCTAVE) / PER_OCTAVE
    octaves = [np.ldexp(fraction, -power) for power in range(OCTAVES, 0, -1)]
    return np.concatenate([*octaves, [1.0]])


def p_bins(p: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return the bin of each p-value, of any shape.

    Raises
    ------
    ValueError
        If a p-value is NaN or lies outside 0 to 1.
    """
    exact = np.asarray(p, np.float64)
    if exact.size and not (exact.min() >= 0 and exact.max() <= 1):
        raise ValueError(f"p-values must lie in 0..1, found {exact.min():g} to {exact.max():g}")
    return np.searchsorted(p_edges(), exact, side="left")


def p_histogram(p: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Count p-values by bin, ``(bins,)``; NaN is no test and is not counted.

    Raises
    ------
    ValueError
        If a p-value lies outside 0 to 1.
    """
    found = np.asarray(p)
    return np.bincount(p_bins(found[~np.isnan(found)]), minlength=len(p_edges()))


def threshold(counts: NDArray[np.int64], q: float, method: Method = "bh") -> float:
    """Return the largest p-value that is rejected, or -1 where none is.

    Parameters
    ----------
    counts
        Tests in each bin, as :func:`p_histogram` counts them, added up over tiles.
    q
        Share of false rejections among all rejections that is accepted, in 0..1.
    method
        ``"bh"``: Benjamini-Hochberg; ``"by"``: Benjamini-Yekutieli.

    Raises
    ------
    ValueError
        If there are not as many counts as bins, `q` is not between 0 and 1, or for another method.
    """
    edges = p_edges()
    if counts.shape != edges.shape:
        raise ValueError(f"expected counts of {len(edges)} bins, found shape {counts.shape}")
    if not 0 < q < 1:
        raise ValueError(f"q must lie between 0 and 1, found {q}")
    if method not in ("bh", "by"):
        raise ValueError(f'expected method "bh" or "by", found "{method}"')
    tests = int(counts.sum())
    if tests == 0:
        return -1.0
    level = q / harmonic(tests) if method == "by" else q
    rejected = np.cumsum(counts)
    passed = (edges * tests <= level * rejected) & (rejected > 0)
    return float(edges[np.flatnonzero(passed)[-1]]) if passed.any() else -1.0


def harmonic(n: int) -> float:
    """Return the sum of ``1 / i`` for ``i`` from 1 to `n`: digamma(n + 1) + Euler's constant."""
    return float(digamma(n + 1.0) + np.euler_gamma)
