"""The one family of errors that edaphos raises on purpose.

Each message says what was expected, what was found, where, and what to do. The command line
prints it without a traceback and exits with :attr:`EdaphosError.exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdaphosError(Exception):
    """Base of all errors a user can do something about."""

    exit_code = 1


class InputError(EdaphosError):
    """Something the user gave (file, field, option) cannot be used as it is."""

    exit_code = 2


class RunError(EdaphosError):
    """A run that was well specified could not be completed."""

    exit_code = 1


class Stopped(RunError):
    """A run that was asked to stop: what was begun is finished, the rest waits for the next run."""


class StoreError(RunError):
    """A folder or bucket could not be read or written, though it was tried again."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint naming the known word nearest to `word`, or the list of known words.

    >>> did_you_mean("covariats", ["covariates", "depths"])
    'did you mean "covariates"?'
    """
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"known: {', '.join(known)}" if known else "none are known"
