"""The schema of studies of whole profiles: the biome, validation data, drivers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from edaphos.engine.measured import MEASURED

from .config import Table


class StockForestTable(Table):
    """Random forest of layer stocks on covariates and depth."""

    kind: Literal["stock_forest"] = Field(
        "stock_forest", description="random forest of the carbon stock of layers"
    )
    covariates: tuple[str, ...] = Field(min_length=1, description="cube variables to learn from")
    learns: Literal["stock", "density"] = Field(
        "stock",
        description="what trees are grown on: stock of the layer, or density, its stock for each "
        "centimetre; stocks are mapped either way",
    )
    trees: int = Field(500, ge=1, le=5000, description="trees")
    min_samples_leaf: int = Field(3, ge=1, description="rows in a leaf at least")
    max_features: float | Literal["sqrt"] = Field(
        1 / 3, description="features tried at each split: a share, or sqrt"
    )
    transform: Literal["log1p", "none"] = Field(
        "none", description="scale on which trees are grown; predictions are on the original one"
    )
    tune: bool = Field(
        False,
        description="choose rows in a leaf and features at a split by five folds of locations "
        "within the rows learned from; some sixty small forests more for each forest",
    )


class BiomeTable(Table):
    """The biome: other profiles are left out, and of a stock_forest's map other cells."""

    classes: dict[str, tuple[int, ...]] = Field(
        default_factory=dict,
        description="cube variables of classes and the codes wanted of each, such as "
        "{ landcover = [10] }",
    )
    polygons: str | None = Field(
        None,
        description="file of polygons that profiles must lie in, in the folder of data unless "
        "absolute; the map is not cut by it",
    )

    @model_validator(mode="after")
    def _something(self) -> BiomeTable:
        if not self.classes and self.polygons is None:
            raise ValueError("give classes, such as { landcover = [10] }, or polygons")
        for name, codes in self.classes.items():
            if not codes:
                raise ValueError(f"classes.{name} is empty: name the codes that are wanted")
        return self


class WholeProfileTable(Table):
    """How skill falls with depth, and what goes with carbon at each depth."""

    drivers: tuple[str, ...] = Field(
        (),
        description="what partial correlations are of: covariates of [model] (monthly ones by "
        "month, as rain_01) or measured properties; the model's covariates that are no classes if "
        "empty",
    )
    measured: tuple[str, ...] = Field(
        (),
        description="properties measured on the layers that further models are told, one by one "
        "more, in cross-validation alone: clay_silt_pct, nitrogen_g_kg, ...",
    )

    @field_validator("measured")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MEASURED:
                raise ValueError(f'no measured property "{name}"; there are {", ".join(MEASURED)}')
        return names
