"""What process models with fitted parameters share: draws, files, checks of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import InputError


class Drawable:
    """A frozen dataclass with two fitted parameters, and what calibration left open of them.

    Beside its parameters it has ``spread`` (pairs of them that are equally likely),
    ``input_factor`` and ``input_sd`` (standard deviation of the factor's logarithm).
    """

    fitted: ClassVar[tuple[str, str]]

    def draws(self, count: int, seed: int) -> list[Self]:
        """Return `count` models: parameters out of ``spread``, input by ``input_sd``.

        Rows of the spread are drawn without return as long as there are enough. The same models
        for the same seed.
        """
        told: Any = self
        rng = np.random.default_rng(seed)
        changes: list[dict[str, Any]] = [{} for _ in range(count)]
        if told.spread:
            rows = rng.choice(len(told.spread), count, replace=count > len(told.spread))
            pairs = [dict(zip(self.fitted, told.spread[row], strict=True)) for row in rows]
            changes = [{**pair, "spread": ()} for pair in pairs]
        if told.input_sd > 0:
            sizes = told.input_factor * np.exp(told.input_sd * rng.standard_normal(count))
            for change, size in zip(changes, sizes, strict=True):
                change |= {"input_factor": float(size), "input_sd": 0.0}
        return [replace(told, **change) if change else self for change in changes]

    def to_json(self) -> dict[str, Any]:
        """Return the settings and what was fitted, fit for ``json.dumps``."""
        told: Any = self
        return {**vars(self), "spread": [list(row) for row in told.spread]}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """Return the model of what :meth:`to_json` gave."""
        spread = tuple((float(one), float(other)) for one, other in settings.get("spread", ()))
        return cls(**{**settings, "spread": spread})


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
