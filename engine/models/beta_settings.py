"""What a beta model is set to: its covariates, its ecosystems, its topsoil, its forests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean

#: Depths that profiles are splined to, cm (Wang H. et al., step 1).
FIT_DEPTHS: tuple[tuple[float, float], ...] = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 100))
#: Beta of all soils together, as the paper has it from others.
CONSTANT = 0.9786
#: Soil properties of the topsoil that beta may be learned from, and what their maps are of.
SOIL: Mapping[str, tuple[str, str]] = {
    "soc": ("soc_g_kg", "log1p"),
    "bulk_density": ("bulk_density_g_cm3", "none"),
    "clay": ("clay_pct", "none"),
}
#: IGBP classes: forests 1-5; shrublands 6-7, savannas 8-9 and grassland 10; cropland 12 and its
#: mosaic with natural vegetation 14.
IGBP: Mapping[str, tuple[int, ...]] = {
    "cropland": (12, 14),
    "grassland": (6, 7, 8, 9, 10),
    "forest": (1, 2, 3, 4, 5),
}
#: Of the mosaic half counts as cropland, and half as grassland.
IGBP_SHARES: Mapping[int, Mapping[str, float]] = {14: {"cropland": 0.5, "grassland": 0.5}}


@dataclass(frozen=True)
class Ecosystems:
    """Which classes of a cube variable are which ecosystem.

    Parameters
    ----------
    variable
        The cube variable.
    classes
        Classes of each ecosystem; a class belongs to one.
    shares
        Shares of a class's area by ecosystem, of classes that are a mosaic; in totals only. The
        cell's beta is that of the ecosystem which holds the class.
    """

    variable: str = "landcover"
    classes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: dict(IGBP))
    shares: Mapping[int, Mapping[str, float]] = field(default_factory=lambda: dict(IGBP_SHARES))

    def __post_init__(self) -> None:
        owners: dict[int, str] = {}
        for name, codes in self.classes.items():
            for code in codes:
                if code in owners:
                    raise InputError(
                        f"ecosystems: class {code} is both {owners[code]} and {name}; give it to "
                        "one, and its shares under shares"
                    )
                owners[int(code)] = name
        for code, shares in self.shares.items():
            for name, share in shares.items():
                if name not in self.classes:
                    raise InputError(
                        f"ecosystems.shares of class {code}: {did_you_mean(name, self.classes)}"
                    )
                if not 0 <= share <= 1:
                    raise InputError(
                        f"ecosystems.shares of class {code}: {name} = {share}, expected 0 to 1"
                    )
            if sum(shares.values()) > 1 + 1e-9:
                raise InputError(f"ecosystems.shares of class {code} add up to more than 1")

    @property
    def names(self) -> tuple[str, ...]:
        """The ecosystems, in their order."""
        return tuple(self.classes)

    def codes(self, values: NDArray[np.floating]) -> NDArray[np.int8]:
        """Return the ecosystem of each class, its position in `names`, -1 for none."""
        out = np.full(np.shape(values), -1, np.int8)
        for i, name in enumerate(self.names):
            out[np.isin(values, self.classes[name])] = i
        return out

    def share(self, name: str, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the share of each cell's area that is an ecosystem, by its class."""
        out = np.isin(values, self.classes[name]).astype(np.float64)
        for code, shares in self.shares.items():
            out[np.asarray(values) == code] = shares.get(name, 0.0)
        return out


@dataclass(frozen=True)
class Topsoil:
    """Where the stock that beta spreads over depth comes from.

    Parameters
    ----------
    variable
        A cube variable; "" for a forest of the model's own, of the stock of 0-20 cm.
    factor
        From its units to kg/m².
    bottom_cm
        It is the stock of 0 to this depth.
    """

    variable: str = ""
    factor: float = 1.0
    bottom_cm: float = 20.0


@dataclass(frozen=True)
class BetaSettings:
    """Settings of :class:`~edaphos.engine.models.beta.BetaModel`.

    Parameters
    ----------
    covariates
        Cube variables that forests of topsoil stock and soil properties learn from.
    beta_covariates
        Cube variables that beta is learned from, beside soil properties of the topsoil.
    soil
        Those properties, of :data:`SOIL`: measured ones where profiles are learned from, mapped
        ones where cells are predicted.
    soil_values
        ``measured`` or ``mapped``: what beta forests are grown on. Mapped ones come from forests
        that have not seen the profile's block, and are what a map has.
    form
        ``normalised`` shares of 0-100 cm, or ``raw`` as the paper may be read, which is biased low.
    ecosystems, topsoil
        See there.
    trees, min_samples_leaf, max_features
        Of all forests, as in scikit-learn.
    """

    covariates: tuple[str, ...]
    beta_covariates: tuple[str, ...]
    soil: tuple[str, ...] = ("soc", "bulk_density", "clay")
    soil_values: Literal["measured", "mapped"] = "measured"
    form: Literal["normalised", "raw"] = "normalised"
    ecosystems: Ecosystems = field(default_factory=Ecosystems)
    topsoil: Topsoil = field(default_factory=Topsoil)
    trees: int = 100
    min_samples_leaf: int = 5
    max_features: float = 0.33

    def __post_init__(self) -> None:
        for name in self.soil:
            if name not in SOIL:
                raise InputError(f'beta: soil property "{name}": {did_you_mean(name, SOIL)}')
        if not self.soil and not self.beta_covariates:
            raise InputError("beta needs at least one of soil and beta_covariates to learn from")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return settings from their ``asdict``, as JSON or TOML may have turned it."""
        told = dict(told)
        eco, top = dict(told.pop("ecosystems", {})), dict(told.pop("topsoil", {}))
        if "classes" in eco:
            eco["classes"] = {
                n: tuple(int(c) for c in codes) for n, codes in eco["classes"].items()
            }
        if "shares" in eco:
            eco["shares"] = {int(c): dict(shares) for c, shares in eco["shares"].items()}
        for name in ("covariates", "beta_covariates", "soil"):
            if name in told:
                told[name] = tuple(told[name])
        return cls(**told, ecosystems=Ecosystems(**eco), topsoil=Topsoil(**top))

    @property
    def variables(self) -> tuple[str, ...]:
        """Cube variables that are read."""
        top = (self.topsoil.variable,) if self.topsoil.variable else ()
        own = (*self.covariates, *self.beta_covariates, self.ecosystems.variable, *top)
        return tuple(dict.fromkeys(own))
