"""The one Numba decorator of the project, so that compile options are decided in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

#: Fuse a multiplication and an addition into one rounding: faster, and the same wherever the
#: processor has the instruction. NaN and signed zeros keep their meaning.
CONTRACT = frozenset({"contract"})


@cache
def sources_digest() -> str:
    """Return a digest of the source of all kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _stamp(compiled: Any) -> None:
    """Add the digest of all kernels to what Numba compares before it takes cached code."""
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:  # none where nothing can be cached, or without the compiler
        file._source_stamp = (file._source_stamp, sources_digest())


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
        Inline into callers at compile time, for one-cell functions shared by several loops; and
        for every function with fused operations that another kernel calls. Compiled apart, there
        are two copies of it, fused in different ways; which one runs depends on whether this
        process compiled it or found it in the cache.

    Notes
    -----
    Division by zero gives inf or NaN as in NumPy (``error_model="numpy"``). Compiled code is
    cached on disk, so that a worker starts in milliseconds; Numba writes cache files atomically.
    Numba takes cached code for current while the function's own file is unchanged, though it holds
    code inlined from others; here any change of a kernel's file makes all be compiled anew.
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
        _stamp(compiled)
        return compiled

    return decorate
