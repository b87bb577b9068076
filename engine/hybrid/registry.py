"""Process models by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .process import Process

_BUILT_IN = {
    "rothc": "edaphos.engine.hybrid.rothc_process:RothCProcess",
    "icbm": "edaphos.engine.hybrid.icbm_process:ICBMProcess",
}


def process_class(kind: str) -> type[Any]:
    """Return a process model's class: built in, or ``package.module:Class``.

    Raises
    ------
    InputError
        It is unknown, or cannot be imported.
    """
    module, sign, name = _BUILT_IN.get(kind, kind).partition(":")
    if not sign:
        raise InputError(
            f'process.kind "{kind}": expected {", ".join(_BUILT_IN)}, or your own '
            '"package.module:Class"'
        )
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f'process.kind "{kind}" cannot be imported: {error}') from error
    return found


def process_named(kind: str, settings: Mapping[str, Any] | None = None) -> Process:
    """Return the process model of a kind, made with its settings and not calibrated.

    Raises
    ------
    InputError
        The kind is unknown, the settings are not its own, or it does not follow
        :class:`~.process.Process`.
    """
    found = process_class(kind)
    try:
        made = found(**(settings or {}))
    except TypeError as error:
        raise InputError(f'process.settings of "{kind}": {error}') from error
    if not isinstance(made, Process):
        raise InputError(
            f'process.kind "{kind}" has no kind, or lacks simulate, calibrate or draws: see '
            "edaphos.engine.hybrid.process"
        )
    return made
