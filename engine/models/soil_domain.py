"""Soils that RothC was not made for: left out of maps with a reason, or flagged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..errors import InputError
from ..status import Status

Array = NDArray[Any]


@dataclass(frozen=True)
class SoilDomain:
    """Where a process model of aerated mineral soils does not hold.

    Parameters
    ----------
    organic_above
        Stock (t/ha, in the layer) from which a soil counts as organic.
    frozen_below
        Mean annual temperature, °C, below which the ground counts as frozen.
    wetland, mangrove, paddy
        ``variable = classes`` of the cube; paddy is mapped and flagged, the others are left out.
    drained
        ``variable = classes`` that are no wetland even where `wetland` says so, such as cropland
        on a river plain.
    """

    organic_above: float = 200.0
    frozen_below: float = -2.0
    wetland: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    drained: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    mangrove: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    paddy: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def variables(self) -> tuple[str, ...]:
        """Cube variables it looks at."""
        return (*self.wetland, *self.drained, *self.mangrove, *self.paddy)


def outside(
    domain: SoilDomain,
    values: Mapping[str, Array],
    temperature: Array | None,
    stock: Array | None,
) -> NDArray[np.uint8]:
    """Return why cells lie outside the domain, ``(n,)``: organic, mangrove, wetland, frozen, or 0.

    Parameters
    ----------
    domain
        What counts as which.
    values
        Classes of ``domain.variables``, ``(n,)`` each.
    temperature
        Mean annual, °C, ``(n,)``; None where it is not known.
    stock
        t/ha, ``(n,)``; None where it is not known.
    """
    size = len(next(a for a in (temperature, stock, *values.values()) if a is not None))
    code = np.zeros(size, np.uint8)

    def mark(where: Array, reason: Status) -> None:
        code[where & (code == 0)] = reason

    if stock is not None:
        mark(stock > domain.organic_above, Status.ORGANIC_OUTSIDE)
    mark(in_classes(domain.mangrove, values, size), Status.MANGROVE)
    drained = in_classes(domain.drained, values, size)
    mark(in_classes(domain.wetland, values, size) & ~drained, Status.WETLAND)
    if temperature is not None:
        mark(temperature < domain.frozen_below, Status.FROZEN)
    return code


def in_classes(
    wanted: Mapping[str, tuple[int, ...]], values: Mapping[str, Array], size: int
) -> NDArray[np.bool_]:
    """Return where one of the variables has one of its classes, ``(n,)``."""
    found = np.zeros(size, bool)
    for name, classes in wanted.items():
        found |= np.isin(values[name], classes)
    return found


def check_classes(cube: Cube, names: tuple[str, ...]) -> None:
    """Refuse amounts where classes are meant."""
    for name in names:
        if cube.variable(name).kind != "class":
            raise InputError(
                f'{cube.path}: "{name}" is an amount, and classes are taken from it; build it '
                'with kind = "class"'
            )
