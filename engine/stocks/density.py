"""Bulk density where it was not measured: chosen by cross-validation, and filled in with counts.

Candidates are the six pedotransfer functions of :mod:`~edaphos.kernels.pedotransfer`, as published
and refitted, and a forest of content, depth and texture. They are compared on layers with measured
density, whole blocks of land left out at a time, so that neighbours of a layer do not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.pedotransfer import FUNCTIONS, LIMITS, ORGANIC, Coefficients, bulk_density, fit
from edaphos.kernels.stock import DensityOf, fine_earth_density

from ..errors import InputError
from ..profiles.profiles import Profiles
from ..progress import QUIET, Reporter

Floats = NDArray[np.float64]

FOREST = "forest"
#: What the forest learns from; what a table lacks is missing to it.
FOREST_COLUMNS = ("soc_g_kg", "middle_cm", "thickness_cm", "clay_pct", "sand_pct")
#: Layers with density that a choice needs.
FEWEST_LAYERS = 200
#: Side of the blocks that are left out together, degrees.
BLOCK_DEG, LEAST_BLOCK_DEG = 5.0, 0.1
#: Blocks that a choice needs.
FEWEST_BLOCKS = 10
#: Resamples of blocks that intervals are made of.
_RESAMPLES = 1000
PUBLISHED, REFITTED = "published", "refitted"


@dataclass(frozen=True, eq=False)
class DensityModel:
    """A way to tell bulk density of layers.

    Parameters
    ----------
    name
        Of :data:`~edaphos.kernels.pedotransfer.FUNCTIONS`, or ``forest``.
    coefficients
        Of a refitted function; None as published.
    trees
        A fitted forest.
    """

    name: str
    coefficients: Coefficients | None = None
    trees: Any = field(default=None, repr=False)

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.name == FOREST:
            return "a forest of content, depth and texture"
        if self.coefficients is None:
            return f"{self.name}, as published: {FUNCTIONS[self.name].words}"
        mineral = ", ".join(f"{v:.4g}" for v in self.coefficients.mineral)
        organic = self.coefficients.organic
        apart = (
            "" if organic is None else f"; organic soils {', '.join(f'{v:.4g}' for v in organic)}"
        )
        return f"{self.name}, refitted ({mineral}{apart})"

    def predict(self, table: pd.DataFrame) -> tuple[Floats, NDArray[np.bool_]]:
        """Return density (g/cm³) of layers, and which were brought within limits.

        Parameters
        ----------
        table
            A profile table, or any with ``soc_g_kg`` (all that a function needs).
        """
        soc = table["soc_g_kg"].to_numpy(np.float64)
        if self.name != FOREST:
            return bulk_density(self.name, soc, self.coefficients)
        density = np.full(len(table), np.nan)
        known = np.isfinite(soc)
        if known.any():
            density[known] = self.trees.predict(_features(table)[known])
        outside = (density < LIMITS[0]) | (density > LIMITS[1])
        return np.clip(density, *LIMITS), np.asarray(outside)


@dataclass(frozen=True)
class DensityChoice:
    """Which way tells density best.

    Parameters
    ----------
    model
        The best, fitted on all layers.
    scores
        By ``model`` and ``form`` (published, refitted or forest), the best first: ``n``, ``rmse``,
        ``bias`` (predicted minus measured), ``r2``, ``rmse_mineral``, ``rmse_organic``,
        ``clipped``; ``behind`` (RMSE minus the best's), ``behind_low`` and ``behind_high``, its
        95 % interval from a bootstrap over blocks.
    layers, blocks
        How many layers with density, in how many blocks.
    """

    model: DensityModel
    scores: pd.DataFrame
    layers: int
    blocks: int

    def to_text(self) -> str:
        """Return the choice in a sentence."""
        best = self.scores.iloc[0]
        return (
            f"bulk density from {self.model.words}: least error of {len(self.scores)} candidates "
            f"(RMSE {best['rmse']:.3f} g/cm3 over {self.blocks:,} blocks left out in turn, "
            f"{self.layers:,} layers)"
        )


def choose_density(
    table: pd.DataFrame,
    *,
    functions: Sequence[str] = tuple(FUNCTIONS),
    forest: bool = True,
    trees: int = 100,
    folds: int = 10,
    block_deg: float = BLOCK_DEG,
    seed: int = 0,
    workers: int = 1,
) -> DensityChoice:
    """Compare ways to tell bulk density, and fit the one with the least error.

    Published coefficients and refitted ones are candidates of their own.

    Parameters
    ----------
    table
        A clean profile table (units of density already told by source).
    functions, forest
        Candidates.
    trees
        Of the forest.
    folds
        How many groups of blocks are left out in turn.
    block_deg
        Side of blocks, degrees; halved until there are :data:`FEWEST_BLOCKS` of them.
    seed
        Of folds and forest.
    workers
        Threads of the forest.

    Raises
    ------
    InputError
        Too few layers with density, or all of them at a few places.
    """
    known = table["bulk_density_g_cm3"].notna() & table["soc_g_kg"].notna()
    measured = table[known].reset_index(drop=True)
    side, group = block_deg, _blocks(measured, block_deg)
    while len(np.unique(group)) < FEWEST_BLOCKS and side > LEAST_BLOCK_DEG:
        side /= 2
        group = _blocks(measured, side)
    blocks = len(np.unique(group))
    if len(measured) < FEWEST_LAYERS or blocks < FEWEST_BLOCKS:
        raise InputError(
            f"a choice of bulk density takes {FEWEST_LAYERS} layers with measured density in "
            f"{FEWEST_BLOCKS} blocks of land or more; found {len(measured)} in {blocks}. Name a "
            "pedotransfer function instead"
        )
    fold = _folds(group, min(folds, blocks), seed)
    truth = measured["bulk_density_g_cm3"].to_numpy(np.float64)
    organic = measured["soc_g_kg"].to_numpy(np.float64) >= ORGANIC
    rows, squares = [], []
    candidates = [(name, form) for name in functions for form in (PUBLISHED, REFITTED)]
    if forest:
        candidates.append((FOREST, FOREST))
    for name, form in candidates:
        predicted, clipped = np.empty(len(truth)), 0
        for f in np.unique(fold):
            held = fold == f
            model = _fitted(name, form, measured[~held], trees, seed, workers)
            predicted[held], outside = model.predict(measured[held])
            clipped += int(outside.sum())
        rows.append({"model": name, "form": form, **_scores(truth, predicted, organic, clipped)})
        squares.append((predicted - truth) ** 2)
    scores = pd.DataFrame(rows).assign(**_against_best(np.array(squares), group, seed))
    scores = scores.sort_values("rmse", kind="stable").reset_index(drop=True)
    best = scores.iloc[0]
    model = _fitted(str(best["model"]), str(best["form"]), measured, trees, seed, workers)
    return DensityChoice(model, scores, len(measured), blocks)


def fill_density(table: pd.DataFrame, model: DensityModel) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a profile table whose missing bulk densities are filled in, and counts.

    Returns
    -------
    table, counts
        With a column ``density_estimated``; counts of layers ``measured``, ``estimated``,
        ``clipped`` (of the estimated, brought within limits) and ``unknown`` (without content).
    """
    held = table["bulk_density_g_cm3"].to_numpy(np.float64)
    told, outside = model.predict(table)
    fill = np.isnan(held) & np.isfinite(told)
    counts = {
        "measured": int(np.isfinite(held).sum()),
        "estimated": int(fill.sum()),
        "clipped": int((outside & fill).sum()),
        "unknown": int((np.isnan(held) & ~fill).sum()),
    }
    filled = table.assign(bulk_density_g_cm3=np.where(fill, told, held), density_estimated=fill)
    return filled, counts


def _fitted(
    name: str, form: str, table: pd.DataFrame, trees: int, seed: int, workers: int
) -> DensityModel:
    if form == PUBLISHED:
        return DensityModel(name)
    if form == REFITTED:
        return DensityModel(name, fit(name, table["soc_g_kg"], table["bulk_density_g_cm3"]))
    from sklearn.ensemble import RandomForestRegressor

    made = RandomForestRegressor(
        trees, min_samples_leaf=5, max_features=1 / 3, random_state=seed, n_jobs=workers
    )
    made.fit(_features(table), table["bulk_density_g_cm3"].to_numpy(np.float64))
    return DensityModel(FOREST, trees=made)


def _features(table: pd.DataFrame) -> Floats:
    """Return :data:`FOREST_COLUMNS`, NaN where the table has none."""
    top, bottom = (table.get(n, pd.Series(np.nan, table.index)) for n in ("top_cm", "bottom_cm"))
    made = table.assign(middle_cm=(top + bottom) / 2, thickness_cm=bottom - top)
    return made.reindex(columns=list(FOREST_COLUMNS)).to_numpy(np.float64)


def _blocks(table: pd.DataFrame, side: float) -> NDArray[np.int64]:
    row, col = (np.floor(table[n].to_numpy(np.float64) / side) for n in ("lat", "lon"))
    return np.asarray(row * 10_000 + col, np.int64)


def _folds(group: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal blocks to folds at random, the largest first to the smallest fold."""
    blocks, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(blocks))
    order = order[np.argsort(-counts[order], kind="stable")]
    size, fold = np.zeros(folds, np.int64), np.zeros(len(blocks), np.int64)
    for block in order:
        fold[block] = int(np.argmin(size))
        size[fold[block]] += counts[block]
    return fold[place]


def _against_best(squares: Floats, group: NDArray[np.int64], seed: int) -> dict[str, Floats]:
    """Return how far candidates are behind the best, from squared errors ``(candidates, n)``."""
    _, place = np.unique(group, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    by_block = np.array([np.bincount(place, one) for one in squares])
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _RESAMPLES)
    drawn = np.sqrt((times @ by_block.T) / (times @ counts)[:, None])
    whole = np.sqrt(by_block.sum(axis=1) / counts.sum())
    best = int(np.argmin(whole))
    low, high = np.quantile(drawn - drawn[:, [best]], [0.025, 0.975], axis=0)
    return {"behind": whole - whole[best], "behind_low": low, "behind_high": high}


def _scores(
    truth: Floats, predicted: Floats, organic: NDArray[np.bool_], clipped: int
) -> dict[str, Any]:
    error = predicted - truth

    def rmse(rows: NDArray[np.bool_]) -> float:
        return float(np.sqrt(np.mean(error[rows] ** 2))) if rows.any() else float("nan")

    return {
        "n": len(truth),
        "rmse": rmse(np.ones(len(truth), bool)),
        "bias": float(error.mean()),
        "r2": float(1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum()),
        "rmse_mineral": rmse(~organic),
        "rmse_organic": rmse(organic),
        "clipped": clipped,
    }


def profiles_with_density(profiles: Profiles, how: str, reporter: Reporter = QUIET) -> Profiles:
    """Return profiles whose missing bulk densities are told as a recipe says.

    Parameters
    ----------
    how
        ``measured`` leaves gaps, ``choose`` takes the way with the least error on these profiles
        (:func:`choose_density`), a name of a function takes that as published.

    Notes
    -----
    A way that is chosen and fitted has seen all profiles, those too that a validation holds out: a
    few coefficients, or a forest, of densities, never of carbon.
    """
    if how == "measured":
        return profiles
    if how == "choose":
        choice = choose_density(profiles.table)
        model = choice.model
        reporter.say(choice.to_text())
    else:
        model = DensityModel(how)
    table, counts = fill_density(profiles.table, model)
    told = f"{counts['estimated']:,} layers got a bulk density from {model.words}"
    told += f"; {counts['measured']:,} have a measured one"
    if counts["clipped"]:
        low, high = LIMITS
        told += f"; {counts['clipped']:,} estimates were brought within {low:g} to {high:g} g/cm3"
    reporter.say(told)
    return replace(profiles, table=table)


def with_density_of(
    profiles: Profiles, density_of: DensityOf, reporter: Reporter = QUIET
) -> Profiles:
    """Return profiles whose bulk density is that of the fine earth by its own volume.

    All stocks are made of that times ``1 - coarse fraction``: of a density of the whole soil this
    would count stones twice. Unknown fragments are taken as 0, and such a density stays.

    Parameters
    ----------
    density_of
        What the tables' densities are of, as
        :func:`~edaphos.kernels.stock.fine_earth_density` takes it. Layers whose fragments alone
        would weigh more than the soil lose their density.
    """
    if density_of == "fine_earth":
        return profiles
    table = profiles.table
    held = table["bulk_density_g_cm3"].to_numpy(np.float64)
    coarse = np.nan_to_num(table["coarse_fraction"].to_numpy(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        fine = fine_earth_density(held, coarse, density_of) / (1 - coarse)
    fine = np.where(np.isfinite(fine) & (fine > 0), fine, np.nan)
    changed = int((np.isfinite(held) & (coarse > 0)).sum())
    lost = int((np.isfinite(held) & np.isnan(fine)).sum())
    told = f"{changed:,} bulk densities were turned into those of the fine earth ({density_of})"
    reporter.say(told + (f"; {lost:,} contradict their fragments and are left out" if lost else ""))
    return replace(profiles, table=table.assign(bulk_density_g_cm3=fine))
