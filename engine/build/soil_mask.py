"""Where soil can be: the class layer that production masks by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..cube.layout import Kind
from ..errors import InputError
from ..status import Status
from .fields import Counts, Field, latitudes
from .native import Rect
from .regrid import Regridded
from .spec import SoilMaskSpec


@dataclass(frozen=True)
class SoilMaskField:
    """Codes of :class:`Status`, on the land mask's grid, or land cover's where there is none.

    A cell is sea where less than half of it is land. Land takes its status from the land cover
    class at its centre; land without any class is soil.
    """

    spec: SoilMaskSpec
    land: Field | None
    cover: Field | None
    geobox: GeoBox

    @property
    def kind(self) -> Kind:
        """Classes."""
        return "class"

    @property
    def steps(self) -> int:
        """Static."""
        return 1

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Nothing is filled or cut here."""
        del step, rect, values
        return Counts()

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window of codes."""
        codes = np.full(rect.shape, Status.SOIL, np.float32)
        if self.cover is not None:
            cover = self.cover.read(step, rect)
            for status, classes in self._classes():
                codes[np.isin(cover, classes)] = status
            if self.land is None:
                codes[np.isnan(cover)] = Status.SEA
        if self.spec.exclude_south_of > -90:
            codes[latitudes(self.geobox, rect) < self.spec.exclude_south_of] = Status.ICE
        if self.land is not None:
            land = self.land.read(step, rect)
            codes[~(land >= 0.5)] = Status.SEA
        return codes

    def _classes(self) -> list[tuple[Status, tuple[int, ...]]]:
        spec = self.spec
        return [
            (Status.WATER, spec.water),
            (Status.ICE, spec.ice),
            (Status.URBAN, spec.urban),
            (Status.BARE, spec.bare),
        ]


def soil_mask(spec: SoilMaskSpec, land: Field | None, cover: Field | None) -> SoilMaskField:
    """Return the soil mask of a land mask, land cover or both."""
    if land is None and cover is None:
        raise InputError("soil_mask: name a land mask (land), land cover (landcover), or both")
    first = land if land is not None else cover
    assert first is not None
    if spec.exclude_south_of > -90 and not first.geobox.crs.geographic:
        raise InputError(
            "soil_mask.exclude_south_of is a latitude, but the layers lie on a projected grid "
            f"({first.geobox.crs}); remove it"
        )
    if land is None:
        assert cover is not None
        return SoilMaskField(spec, None, cover, cover.geobox)
    if cover is not None and cover.geobox != land.geobox:
        cover = Regridded(cover, land.geobox)
    return SoilMaskField(spec, land, cover, land.geobox)
