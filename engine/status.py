"""Why a cell has a value or has none: the codes of the ``status`` layer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Status of a map cell.

    Codes up to 9 come from the soil mask, those from 10 from production, those from 20 from models
    that know where they do not hold (``TileInputs`` in, ``"status"`` out).
    """

    SEA = 0
    SOIL = 1
    WATER = 2
    ICE = 3
    URBAN = 4
    BARE = 5
    ORGANIC = 10
    INVALID_INPUT = 11
    IMPUTED_INPUT = 12
    OUTSIDE_APPLICABILITY = 13
    LIMITED = 14
    OUTSIDE_BOUNDARY = 15
    ORGANIC_OUTSIDE = 20
    WETLAND = 21
    FROZEN = 22
    INVALID_CLIMATE = 23
    INVALID_CLAY = 24
    INVALID_STOCK = 25
    NO_EQUILIBRIUM = 26
    MANGROVE = 27
    PADDY = 28
    INPUT_ABOVE_NPP = 29
    OUTSIDE_BIOME = 30
    NO_ECOSYSTEM = 31
    NOT_COMPUTED = 255

    @property
    def meaning(self) -> str:
        """CF flag meaning."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """What legends and tables say."""
        return _WORDS.get(self, self.meaning.replace("_", " "))


_WORDS: Mapping[Status, str] = {
    Status.LIMITED: "kept within the range learned from",
    Status.OUTSIDE_BOUNDARY: "outside the boundary of the map",
    Status.OUTSIDE_APPLICABILITY: "outside the area of applicability",
    Status.ORGANIC_OUTSIDE: "organic soil left out",
    Status.FROZEN: "frozen soil",
    Status.INVALID_CLIMATE: "climate invalid",
    Status.INVALID_CLAY: "clay invalid",
    Status.INVALID_STOCK: "initial stock invalid",
    Status.NO_EQUILIBRIUM: "no equilibrium",
    Status.PADDY: "paddy, flagged",
    Status.OUTSIDE_BIOME: "outside the biome",
    Status.INPUT_ABOVE_NPP: "needs more input than grows, flagged",
    Status.NO_ECOSYSTEM: "in no ecosystem that is mapped",
}

#: Codes of cells that carry predictions.
MAPPED: frozenset[int] = frozenset(
    {
        Status.SOIL,
        Status.ORGANIC,
        Status.IMPUTED_INPUT,
        Status.OUTSIDE_APPLICABILITY,
        Status.LIMITED,
        Status.PADDY,
        Status.INPUT_ABOVE_NPP,
    }
)

#: Codes of cells that a model maps although it hardly holds there; totals come without them, too.
FLAGGED: frozenset[int] = frozenset({Status.PADDY, Status.INPUT_ABOVE_NPP})


def flag_attributes() -> dict[str, Any]:
    """Return CF ``flag_values`` and ``flag_meanings`` for the status layer."""
    return {
        "flag_values": [int(s) for s in Status],
        "flag_meanings": " ".join(s.meaning for s in Status),
    }
