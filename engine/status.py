"""Why a cell has a value or has none: the codes of the ``status`` layer."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """Status of a map cell. Codes up to 9 come from the soil mask, the rest from production."""

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
    NOT_COMPUTED = 255

    @property
    def meaning(self) -> str:
        """CF flag meaning."""
        return self.name.lower()


#: Codes of cells that carry predictions.
MAPPED: frozenset[int] = frozenset(
    {Status.SOIL, Status.ORGANIC, Status.IMPUTED_INPUT, Status.OUTSIDE_APPLICABILITY}
)


def flag_attributes() -> dict[str, Any]:
    """Return CF ``flag_values`` and ``flag_meanings`` for the status layer."""
    return {
        "flag_values": [int(s) for s in Status],
        "flag_meanings": " ".join(s.meaning for s in Status),
    }
