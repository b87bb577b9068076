"""The one Numba decorator of the project, so that compile options are decided in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

#: Fuse a multiplication and an addition into one rounding: faster, and the same wherever the
#: processor has the instruction. NaN and signed zeros keep their meaning.
CONTRACT = frozenset({"contract"})


def kernel(
    *, parallel: bool = False, fastmath: bool | frozenset[str] = False, inline: bool = False
) -> Callable[[F], F]:
    """Compile a function over arrays with Numba: no Python objects, no GIL, NumPy's arithmetic.

    Parameters
    ----------
    parallel
        Let ``numba.prange`` loops use threads. Results must not depend on their number.
    fastmath
        Allow re-association and contraction, or only the LLVM flags named (:data:`CONTRACT`). Off
        by default: maps are promised byte for byte.
    inline
        Inline into callers at compile time, for one-cell functions shared by several loops.

    Notes
    -----
    Division by zero gives inf or NaN as in NumPy (``error_model="numpy"``). Compiled code is
    cached on disk, so that a worker starts in milliseconds; Numba writes cache files atomically.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "cache": True,
        "error_model": "numpy",
        "parallel": parallel,
        "fastmath": set(fastmath) if isinstance(fastmath, frozenset) else fastmath,
    }
    if inline:
        options["inline"] = "always"

    def decorate(function: F) -> F:
        compiled: F = numba.njit(**options)(function)
        return compiled

    return decorate
