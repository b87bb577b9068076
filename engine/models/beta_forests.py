"""The forests of a beta model: of the topsoil stock, of soil properties, of beta by ecosystem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assess.splits import inner_split
from ..errors import InputError
from ..samples import Samples
from .beta_profiles import WholeProfiles, falling
from .beta_settings import FIT_DEPTHS, SOIL, BetaSettings
from .forest import ForestModel
from .protocol import TileInputs

Floats = NDArray[np.float64]
Soil = Mapping[str, Floats]

#: Middles of ten equal classes of probability: what stands for a distribution.
LEVELS: tuple[float, ...] = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
#: What a forest's own outputs are called.
_SAID = ("said", "1")
_MEAN = "said_mean"
_QUANTILES = tuple(f"said_q{round(100 * level):02d}" for level in LEVELS)


@dataclass(frozen=True)
class Spread:
    """A predicted distribution: its mean ``(n,)``, and values of equal probability ``(n, 10)``."""

    mean: Floats
    values: Floats

    @classmethod
    def sure(cls, mean: Floats) -> Spread:
        """Return the distribution of a value that is taken as known."""
        return cls(mean, np.repeat(mean[:, None], len(LEVELS), axis=1))


@dataclass(frozen=True)
class BetaForests:
    """What a beta model has grown.

    Parameters
    ----------
    settings
        Of the model.
    top
        Of the stock of 0-20 cm; None where that is given.
    soil
        Of soil properties of 0-20 cm, by name.
    beta
        Of beta, by ecosystem.
    """

    settings: BetaSettings
    top: ForestModel | None
    soil: Mapping[str, ForestModel]
    beta: Mapping[str, ForestModel]

    def named(self) -> Iterator[tuple[str, ForestModel]]:
        """Yield the name of each forest, for files, and the forest."""
        if self.top is not None:
            yield "top", self.top
        yield from ((f"soil_{name}", forest) for name, forest in self.soil.items())
        yield from ((f"beta_{name}", forest) for name, forest in self.beta.items())

    @classmethod
    def load(cls, folder: Path, settings: BetaSettings) -> BetaForests:
        """Read what each forest's ``save`` wrote into the folder of its name."""
        top = None if settings.topsoil.variable else ForestModel.load(folder / "top")
        soil = {name: ForestModel.load(folder / f"soil_{name}") for name in settings.soil}
        names = settings.ecosystems.names
        beta = {name: ForestModel.load(folder / f"beta_{name}") for name in names}
        return cls(settings, top, soil, beta)

    # -- places ---------------------------------------------------------------------------------

    def mapped_soil(self, places: Samples) -> dict[str, Floats]:
        """Return soil properties of 0-20 cm as a map has them at places, ``(p,)`` each."""
        return {name: rows_mean(forest, places) for name, forest in self.soil.items()}

    def top_at(self, places: Samples) -> Spread:
        """Return the topsoil stock at places, kg/m²."""
        given = self.settings.topsoil
        if self.top is None:
            return Spread.sure(places.matrix((given.variable,))[:, 0].astype(float) * given.factor)
        return _rows_spread(self.top, places)

    def beta_at(self, places: Samples, soil: Soil) -> Spread:
        """Return beta at places with these soil properties, NaN outside all ecosystems."""
        features = with_soil(places, soil)
        ecosystem = ecosystem_of(places, self.settings)
        mean, values = np.full(len(places), np.nan), np.full((len(places), len(LEVELS)), np.nan)
        for i, forest in enumerate(self.beta.values()):
            rows = np.flatnonzero(ecosystem == i)
            if rows.size:
                found = _rows_spread(forest, features.take(rows))
                mean[rows], values[rows] = found.mean, found.values
        return Spread(mean, values)

    # -- tiles ----------------------------------------------------------------------------------

    def on_tile(self, inputs: TileInputs) -> tuple[Spread, Spread]:
        """Return topsoil stock and beta of a tile's cells, row by row, year by year.

        ``n`` is years times cells; NaN where not wanted, and beta outside all ecosystems.
        """
        given, years = self.settings.topsoil, len(inputs.years)
        if self.top is None:
            mean = inputs.values[given.variable] * np.float32(given.factor)
            whole = np.broadcast_to(mean, (years, *mean.shape[-2:])).astype(np.float64)
            top = Spread.sure(whole.reshape(-1))
        else:
            top = _tile_spread(self.top, inputs)
        soil = {f"soil_{n}": forest.predict(inputs)[_MEAN][0] for n, forest in self.soil.items()}
        inputs = replace(inputs, values={**inputs.values, **soil})
        ecosystem = self.settings.ecosystems.codes(inputs.values[self.settings.ecosystems.variable])
        parts = [
            _tile_spread(forest, replace(inputs, wanted=inputs.wanted & (ecosystem == i)))
            for i, forest in enumerate(self.beta.values())
            if (inputs.wanted & (ecosystem == i)).any()
        ]
        cells = years * inputs.wanted.size
        if not parts:
            return top, Spread.sure(np.full(cells, np.nan))
        mean, values = parts[0].mean, parts[0].values
        for part in parts[1:]:
            here = np.isfinite(part.mean)
            mean[here], values[here] = part.mean[here], part.values[here]
        return top, Spread(mean, values)


def grow_forests(
    samples: Samples, profiles: WholeProfiles, settings: BetaSettings, seed: int, threads: int
) -> BetaForests:
    """Grow all forests from the rows of whole profiles.

    Raises
    ------
    InputError
        Too few profiles have a value of a soil property, or a beta in an ecosystem.
    """
    s, first = settings, samples.take(profiles.first)
    grower = _Grower(s, seed, threads)
    top = None
    if not s.topsoil.variable:
        top = grower.grow(first, profiles.stock[:, 0], s.covariates, "log1p", "a stock of 0-20 cm")
    soil = {}
    for name in s.soil:
        column, scale = SOIL[name]
        soil[name] = grower.grow(first, measured(first, name), s.covariates, scale, column, ())
    grown = BetaForests(s, top, soil, {})
    known = (
        own_soil(first, grown.mapped_soil(first))
        if s.soil_values == "measured"
        else _unseen_soil(first, grower)
    )
    beta, flags = profiles.beta(s.form)
    features, ecosystem = with_soil(first, known), ecosystem_of(first, s)
    told = (*(f"soil_{name}" for name in s.soil), *s.beta_covariates)
    forests = {}
    for i, name in enumerate(s.ecosystems.names):
        y = np.where(falling(beta, flags) & (ecosystem == i), beta, np.nan)
        forests[name] = grower.grow(features, y, told, "none", f"a beta, in {name}")
    return replace(grown, beta=forests)


@dataclass(frozen=True)
class _Grower:
    settings: BetaSettings
    seed: int
    threads: int

    def grow(
        self,
        places: Samples,
        y: Floats,
        covariates: tuple[str, ...],
        scale: str,
        what: str,
        quantiles: tuple[float, ...] = LEVELS,
    ) -> ForestModel:
        """Grow a forest on the places where `y` is known."""
        s, rows = self.settings, np.isfinite(y)
        least = 2 * s.min_samples_leaf
        if rows.sum() < least:
            raise InputError(
                f"the beta model needs {least} profiles or more with {what}, found {rows.sum()}: "
                "give more profiles, a smaller min_samples_leaf, or other ecosystems"
            )
        model = ForestModel(
            covariates=covariates,
            trees=s.trees,
            min_samples_leaf=s.min_samples_leaf,
            max_features=s.max_features,
            transform=scale,  # type: ignore[arg-type]  # one of SOIL's, or given above
            quantiles=quantiles,
            depths=FIT_DEPTHS[:1],
            seed=self.seed,
            threads=self.threads,
        )
        chosen = _in_topsoil(places.take(rows))
        table = chosen.table.assign(y=y[rows])
        return model.fit(Samples(table, places.features, _SAID))


def measured(first: Samples, name: str) -> Floats:
    """Return a soil property of profiles' 0-20 cm as it was measured, ``(p,)``.

    NaN where a profile's uppermost layer is another: a subsoil is no topsoil.
    """
    column = SOIL[name][0]
    if column not in first.table:
        raise InputError(f'profiles have no column "{column}", which the beta model asks for')
    upper, lower = FIT_DEPTHS[0]
    topsoil = (first.top == upper) & (first.bottom == lower)
    return np.where(topsoil, first.table[column].to_numpy(np.float64), np.nan)


def own_soil(first: Samples, mapped: Soil) -> dict[str, Floats]:
    """Return soil properties as measured, and as mapped where they were not."""
    own = {name: measured(first, name) for name in mapped}
    return {n: np.where(np.isfinite(values), values, mapped[n]) for n, values in own.items()}


def _unseen_soil(first: Samples, grower: _Grower) -> dict[str, Floats]:
    """Return soil properties as mapped by forests that have not seen the profile's block."""
    s = grower.settings
    out = {name: np.empty(len(first)) for name in s.soil}
    split = inner_split(first, folds=5, seed=grower.seed)
    for fold in range(len(split)):
        left_out = split.held_out(fold)
        rest = first.take(~left_out)
        for name in s.soil:
            column, scale = SOIL[name]
            forest = grower.grow(rest, measured(rest, name), s.covariates, scale, column, ())
            out[name][left_out] = rows_mean(forest, first.take(left_out))
    return out


def ecosystem_of(places: Samples, settings: BetaSettings) -> NDArray[np.int8]:
    """Return the ecosystem of places, -1 for none, ``(p,)``."""
    return settings.ecosystems.codes(places.matrix((settings.ecosystems.variable,))[:, 0])


def with_soil(places: Samples, soil: Soil) -> Samples:
    """Return places with soil properties of 0-20 cm among their features."""
    columns = {f"soil_{name}": values.astype(np.float32) for name, values in soil.items()}
    return replace(
        places, table=places.table.assign(**columns), features=(*columns, *places.features)
    )


def rows_mean(forest: ForestModel, places: Samples) -> Floats:
    """Return what a forest predicts at places, ``(p,)``."""
    return forest.predict_rows(_in_topsoil(places))[_MEAN]


def _rows_spread(forest: ForestModel, places: Samples) -> Spread:
    said = forest.predict_rows(_in_topsoil(places))
    return Spread(said[_MEAN], np.stack([said[name] for name in _QUANTILES], axis=1))


def _tile_spread(forest: ForestModel, inputs: TileInputs) -> Spread:
    said = forest.predict(inputs)
    values = np.stack([said[name].reshape(-1) for name in _QUANTILES], axis=1)
    return Spread(said[_MEAN].reshape(-1).astype(np.float64), values.astype(np.float64))


def _in_topsoil(places: Samples) -> Samples:
    """Return places as rows of the topsoil: all forests here are of that one layer."""
    upper, lower = FIT_DEPTHS[0]
    return replace(places, table=places.table.assign(top_cm=float(upper), bottom_cm=float(lower)))
