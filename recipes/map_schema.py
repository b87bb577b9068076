"""The schema of what a recipe maps: depths, quantiles, years, and what layers integrate to."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from .config import Table

GLOBALSOILMAP = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200))
DepthPair = tuple[Annotated[float, Field(ge=0, le=1000)], Annotated[float, Field(gt=0, le=1000)]]


class MapTable(Table):
    """What is mapped."""

    depths: tuple[DepthPair, ...] = Field(
        GLOBALSOILMAP, min_length=1, description="intervals in cm, from the top down"
    )
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.05, 0.5, 0.95), description="levels mapped beside the mean"
    )
    year: int = Field(2020, ge=1000, le=3000, description="year that the map is labelled with")
    years: tuple[Annotated[int, Field(ge=1000, le=3000)], ...] | None = Field(
        None, min_length=1, description="years mapped, in their order; instead of year"
    )

    depth: Literal["as_predicted", "consistent"] = Field(
        "as_predicted",
        description="layers as predicted, or consistent: scaled so that they integrate to the "
        "stocks of 0-30 and 0-100 cm that are published, or else to what the model itself says of "
        "0-30 and 30-100 cm (contents: to their mean)",
    )
    published: tuple[str, str] | None = Field(
        None, description="cube variables of the published stocks of 0-30 and 0-100 cm"
    )
    published_units: Literal["t ha-1", "kg m-2"] = Field("t ha-1", description="their units")

    @model_validator(mode="after")
    def _published(self) -> MapTable:
        if self.published and self.depth != "consistent":
            raise ValueError('published stocks are for depth = "consistent"')
        return self

    @field_validator("years")
    @classmethod
    def _ascending(cls, years: tuple[int, ...] | None) -> tuple[int, ...] | None:
        for earlier, later in pairwise(years or ()):
            if later <= earlier:
                raise ValueError(f"years must ascend, each once, found {later} after {earlier}")
        return years

    @field_validator("depths")
    @classmethod
    def _ordered(cls, depths: tuple[DepthPair, ...]) -> tuple[DepthPair, ...]:
        for top, bottom in depths:
            if top >= bottom:
                raise ValueError(f"depth interval {top}-{bottom} cm has its top below its bottom")
        for (_, above), (below, _) in pairwise(depths):
            if below < above:
                raise ValueError(f"depths must run from the top down, found {below} after {above}")
        return depths
