"""What process models with fitted parameters share: checks of settings, and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError

M = TypeVar("M", bound=Any)


def drawn(model: M, names: Sequence[str], count: int, seed: int) -> list[M]:
    """Return models with parameters out of ``model.spread`` and an input factor by ``input_sd``.

    Parameters
    ----------
    model
        A frozen dataclass with `names`, ``spread``, ``input_factor`` and ``input_sd``.
    names
        Of the columns of the spread.
    count
        How many; rows of the spread are drawn without return as long as there are enough.
    seed
        The same models for the same seed.
    """
    rng = np.random.default_rng(seed)
    changes: list[dict[str, Any]] = [{} for _ in range(count)]
    if model.spread:
        rows = rng.choice(len(model.spread), count, replace=count > len(model.spread))
        changes = [{**dict(zip(names, model.spread[r], strict=True)), "spread": ()} for r in rows]
    if model.input_sd > 0:
        sizes = model.input_factor * np.exp(model.input_sd * rng.standard_normal(count))
        for change, size in zip(changes, sizes, strict=True):
            change |= {"input_factor": float(size), "input_sd": 0.0}
    return [replace(model, **change) if change else model for change in changes]


def check_numbers(model: Any, who: str, *names: str) -> None:
    """Refuse what is given and not above 0, and an ``input_sd`` below 0."""
    for name in names:
        value = getattr(model, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{who}: {name} is {value}, expected a number above 0")
    if not (np.isfinite(model.input_sd) and model.input_sd >= 0):
        raise InputError(f"{who}: input_sd is {model.input_sd}, expected 0 or more")


def check_choice(model: Any, who: str, name: str, choices: Sequence[str]) -> None:
    """Refuse what is not one of the choices."""
    value = getattr(model, name)
    if value not in choices:
        raise InputError(f'{who}: {name} is "{value}", expected {" or ".join(choices)}')


def check_bounds(model: Any, who: str, *names: str) -> None:
    """Refuse bounds that are not positive and ascending; lists, as of JSON, become tuples."""
    for name in names:
        low, high = getattr(model, name)
        if not 0 < low < high < np.inf:
            raise InputError(f"{who}: {name} are {low} and {high}, expected 0 < low < high")
        object.__setattr__(model, name, (float(low), float(high)))
