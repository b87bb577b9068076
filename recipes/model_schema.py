"""The schema of what learns: one table for each kind of model, and models told by differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError

from .beta_schema import BetaTable
from .config import Table
from .conv_schema import ConvTable
from .gsoilcpm_schema import GsoilcpmTable
from .poml_schema import PomlTable
from .rothc_schema import RothCTable
from .whole_profile_schema import StockForestTable


class ForestTable(Table):
    """Random forest on covariates and depth."""

    kind: Literal["forest"] = Field("forest", description="random forest")
    covariates: tuple[str, ...] = Field(min_length=1, description="cube variables to learn from")
    by_depth: bool = Field(
        False,
        description="a forest for each mapped depth from its layers alone, not one for all depths "
        "with depth as a covariate",
    )
    trees: int = Field(200, ge=1, le=5000, description="trees")
    min_samples_leaf: int = Field(5, ge=1, description="rows in a leaf at least")
    max_features: float | Literal["sqrt"] = Field(
        "sqrt", description="features tried at each split: a share, or sqrt"
    )
    transform: Literal["log1p", "none"] = Field(
        "log1p", description="scale on which trees are grown; predictions are on the original one"
    )
    choose: Literal["all", "filter"] = Field(
        "all",
        description="covariates it learns from: all, or filter: those not weakly correlated with "
        "the target nor strongly with a better one, in the batch of least error; chosen anew in "
        "each training fold",
    )
    intervals: Literal["forest", "conformal"] = Field(
        "forest",
        description="pairs of quantiles as the forest has them, or conformal: moved, by depth, "
        "until they hold their share in spatial blocks left out; six times the fitting",
    )


class BoostingTable(Table):
    """Gradient-boosted trees on covariates and depth."""

    kind: Literal["boosting"] = Field("boosting", description="gradient-boosted trees")
    covariates: tuple[str, ...] = Field(min_length=1, description="cube variables to learn from")
    trees: int = Field(300, ge=1, le=10_000, description="trees that are added up")
    learning_rate: float = Field(0.05, gt=0, le=1, description="share of each tree that is added")
    max_leaf_nodes: int = Field(31, ge=2, le=4096, description="leaves of a tree at most")
    min_samples_leaf: int = Field(20, ge=1, description="rows in a leaf at least")
    max_features: float = Field(
        0.5, gt=0, le=1, description="share of the features tried at each split"
    )


class CustomModelTable(Table):
    """A model of your own."""

    kind: str = Field(pattern=r"^[\w.]+:\w+$", description='its class, as "package.module:Class"')
    settings: dict[str, Any] = Field(default_factory=dict, description="its keyword arguments")


def _model_tag(value: Any) -> str:
    kind = value.get("kind", "forest") if isinstance(value, dict) else getattr(value, "kind", "")
    if ":" in str(kind):
        return "<custom>"
    own = ("boosting", "beta", "conv", "gsoilcpm", "rothc", "poml", "stock_forest")
    return f"<{kind}>" if kind in own else "<forest>"


ModelTable = Annotated[
    Annotated[ForestTable, Tag("<forest>")]
    | Annotated[BoostingTable, Tag("<boosting>")]
    | Annotated[BetaTable, Tag("<beta>")]
    | Annotated[ConvTable, Tag("<conv>")]
    | Annotated[GsoilcpmTable, Tag("<gsoilcpm>")]
    | Annotated[RothCTable, Tag("<rothc>")]
    | Annotated[PomlTable, Tag("<poml>")]
    | Annotated[StockForestTable, Tag("<stock_forest>")]
    | Annotated[CustomModelTable, Tag("<custom>")],
    Discriminator(_model_tag),
]


def other_model(main: Any, changed: Mapping[str, Any]) -> ModelTable:
    """Return a model told by what differs from another one.

    Parameters
    ----------
    main
        A model's table.
    changed
        Keys of the same table, inner tables merged; or, with another ``kind``, a whole table,
        which takes over the covariates unless it names its own.

    Raises
    ------
    ValueError
        Unknown keys or values out of bounds, each named; covariates that `main` does not have.
    """
    own, kind = getattr(main, "covariates", None), str(changed.get("kind", main.kind))
    if kind == main.kind:
        raw = _merged({"kind": kind, **main.model_dump(exclude_unset=True)}, changed)
    else:
        raw = {**({} if own is None or ":" in kind else {"covariates": own}), **changed}
    try:
        found: ModelTable = TypeAdapter(ModelTable).validate_python(raw)
    except ValidationError as error:
        told = [(".".join(map(str, e["loc"][1:])), e["msg"]) for e in error.errors()]
        raise ValueError(
            "; ".join(f"model.{where}: {message}" for where, message in told)
        ) from None
    more = set(getattr(found, "covariates", ()) or ()) - set(own or ())
    if own is not None and more:
        raise ValueError(
            f"model.covariates: {', '.join(sorted(more))} not among those of [model], whose rows "
            "both learn from"
        )
    return found


def _merged(held: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    both = {**held, **changed}
    for key, value in changed.items():
        if isinstance(value, Mapping) and isinstance(held.get(key), Mapping):
            both[key] = _merged(held[key], value)
    return both
