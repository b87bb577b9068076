r"""Ensembles: scores that average out, and variance between members without Monte Carlo noise.

A member whose forest has few trees scatters about what it would say with infinitely many, and the
variance between members contains that scatter. With members :math:`k = 1..M` of :math:`P` parts
each (independent groups of trees), one-way analysis of variance takes it off:

.. math:: \hat V = \frac{1}{M - 1} \sum_k (\bar y_k - \bar y)^2
          - \frac{1}{M P (P - 1)} \sum_{k, p} (y_{kp} - \bar y_k)^2

not below 0 (the correction of Wager, Hastie & Efron 2014, *JMLR* 15, for bagged forests, in the
form of Sexton & Laake 2009, *Comput. Stat. Data Anal.* 53). Applied to differences between two
years of the same part it is the variance of a paired difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def between_variance(parts: Floats) -> Floats:
    """Return the variance between members, ``(...)``, from parts ``(M, P, ...)``; at least 0.

    With one part each there is nothing to tell scatter by, and nothing is taken off.

    Raises
    ------
    ValueError
        With fewer than two members.
    """
    members, own = parts.shape[:2]
    if members < 2:
        raise ValueError(f"variance between members needs at least two, found {members}")
    means = [_mean(member) for member in parts]
    centre = _mean(means)
    between = _total([(mean - centre) ** 2 for mean in means]) / (members - 1)
    if own > 1:
        off = [(part - m) ** 2 for member, m in zip(parts, means, strict=True) for part in member]
        between = between - _total(off) / (members * own * (own - 1))
    return np.asarray(np.maximum(between, 0.0))


def _total(arrays: Sequence[Floats] | Floats) -> Floats:
    """Return the sum in their order: NumPy's own order depends on how many cells there are."""
    total = np.array(arrays[0], np.float64)
    for array in arrays[1:]:
        total += array
    return total


def _mean(arrays: Sequence[Floats] | Floats) -> Floats:
    return _total(arrays) / len(arrays)


def mirrored_scores(members: int, factors: int, seed: int) -> Floats:
    """Return standard normal scores, ``(members, factors)``: a Latin hypercube and its mirror.

    Every factor averages to exactly zero over the members.

    Raises
    ------
    ValueError
        If the number of members is not even, or below 2.
    """
    from scipy.stats import norm, qmc

    if members < 2 or members % 2:
        raise ValueError(f"mirrored scores need an even number of members, found {members}")
    half = members // 2
    unit = qmc.LatinHypercube(factors, rng=np.random.default_rng(seed)).random(half)
    signs = np.random.default_rng([seed, 1]).random((half, factors)) < 0.5
    scores = norm.ppf(0.5 + unit / 2) * np.where(signs, 1, -1)
    return np.concatenate([scores, -scores])
